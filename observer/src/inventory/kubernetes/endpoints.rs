//! The endpoints of one Service, listed and followed for whoever wants to ask each of them.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{self, EndpointSlice};
use tokio::sync::mpsc;

use super::super::cluster::Resource;
use super::ApiAccess;
use super::access::Access;
use super::convert::named;
use super::health::Health;
use super::keep::Keeper;
use super::query::Query;
use super::tell::{News, Stopped, Teller};

/// Endpoints of one slice that are kept: as many as Kubernetes allows in one.
const MOST_ENDPOINTS: usize = 1000;
/// And its ports.
const MOST_PORTS: usize = 100;

/// News of a Service's endpoints. A list names all slices that there are, between `Listing` and `Listed`; what it does
/// not name is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndpointNews {
    /// A list begins. One that began before and did not end was broken off.
    Listing,
    /// These are there, as they are now.
    Has(Vec<Slice>),
    /// The slice of this UID is gone, or has nothing to tell any more.
    Gone(String),
    /// The list is complete.
    Listed,
    /// What was told is followed, at the API of this address.
    Followed { api: String },
    /// They cannot be asked for at the API of this address, for this reason.
    Fails { api: String, reason: String },
}

/// A part of a Service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Names it for good.
    pub(crate) uid: String,
    /// Its TCP ports, by name; where there is only one, the name may be empty.
    pub(crate) ports: Vec<(String, u16)>,
    /// Who is there.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Endpoints that have no IP address, or are too many.
    pub(crate) left_out: usize,
}

/// One that stands behind a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Where.
    pub(crate) address: IpAddr,
    /// The node that it is on.
    pub(crate) node_name: Option<String>,
    /// The UID of what it is, most often a pod: one with two families of addresses is in two slices.
    pub(crate) target: Option<String>,
}

/// Lists and follows the endpoints of a Service until nobody listens. Both are names that Kubernetes allows.
pub(crate) fn follow_endpoints(
    access: ApiAccess,
    namespace: &str,
    service: &str,
    news: mpsc::Sender<EndpointNews>,
) -> impl Future<Output = ()> + Send + use<> {
    let access = Arc::new(Access::new(access));
    let teller = Endpoints { access: Arc::clone(&access), news };
    Keeper::new(Query::endpoints_of(namespace, service), &access, teller).run()
}

struct Endpoints {
    access: Arc<Access>,
    news: mpsc::Sender<EndpointNews>,
}

impl Teller for Endpoints {
    type Object = Slice;

    fn resource(&self) -> Resource {
        Resource::EndpointSlices
    }

    fn object(&self, text: &str) -> Result<Option<Slice>, serde_json::Error> {
        serde_json::from_str(text).map(slice)
    }

    async fn tell(&mut self, news: News<Slice>) -> Result<(), Stopped> {
        let news = match news {
            News::Listing => EndpointNews::Listing,
            News::Has(slices) => EndpointNews::Has(slices),
            News::Gone(uid) => EndpointNews::Gone(uid),
            News::Listed => EndpointNews::Listed,
        };
        self.news.send(news).await.map_err(|_closed| Stopped)
    }

    async fn report(&mut self, news: Health) {
        let api = self.access.endpoint();
        let news = match news {
            Health::Followed => EndpointNews::Followed { api },
            Health::Fails(reason) => EndpointNews::Fails { api, reason },
        };
        // Nobody listens any more: then this is about to be stopped.
        let _closed = self.news.send(news).await;
    }
}

/// What a slice tells; `None` where that is nothing.
fn slice(slice: EndpointSlice) -> Option<Slice> {
    let EndpointSlice { address_type: _, endpoints, metadata, ports } = slice;
    let ports = ports.unwrap_or_default().into_iter();
    let of_tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    let numbered = of_tcp.filter_map(|port| {
        let number = u16::try_from(port.port?).ok().filter(|number| *number > 0)?;
        Some((named(port.name).unwrap_or_default(), number))
    });
    let ports = numbered.take(MOST_PORTS).collect();
    let there: Vec<_> = endpoints.unwrap_or_default().into_iter().filter(is_there).collect();
    let all = there.len();
    let endpoints: Vec<_> = there.into_iter().filter_map(endpoint).take(MOST_ENDPOINTS).collect();
    let left_out = all - endpoints.len();
    let uid = named(metadata.uid).filter(|_| all > 0)?;
    Some(Slice { uid, ports, endpoints, left_out })
}

/// One that is about to end is there for as long as it serves. One that does not serve and is not about to end is: that it
/// does not answer is told by whoever asks it.
fn is_there(endpoint: &v1::Endpoint) -> bool {
    let Some(conditions) = &endpoint.conditions else { return true };
    let ends = conditions.terminating == Some(true);
    // As the API says: what is not told is true, and `serving` is `ready` where only that is told. But one that is about to
    // end is never ready.
    let serves = conditions.serving.unwrap_or(!ends && conditions.ready.unwrap_or(true));
    serves || !ends
}

fn endpoint(endpoint: v1::Endpoint) -> Option<Endpoint> {
    // Addresses beyond the first have no meaning.
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let address = Some(address.to_canonical()).filter(|address| !address.is_unspecified())?;
    let target = endpoint.target_ref.and_then(|target| named(target.uid));
    Some(Endpoint { address, node_name: named(endpoint.node_name), target })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(endpoints: &Value, ports: &Value) -> Option<Slice> {
        let object = json!({ "addressType": "IPv4", "metadata": { "uid": "u" }, "endpoints": endpoints, "ports": ports });
        slice(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_slice_tells_who_is_there_and_at_which_ports() {
        let endpoints = json!([
            { "addresses": ["10.0.0.1", "10.9.9.9"], "nodeName": "n1", "targetRef": { "kind": "Pod", "uid": "p1" } },
            { "addresses": ["::ffff:10.0.0.2"] },
            { "addresses": ["fd00::3"], "nodeName": "" },
            { "addresses": ["node.example"] },
            { "addresses": ["0.0.0.0"] },
            { "addresses": [] },
        ]);
        let ports = json!([
            { "name": "grpc", "port": 4400 },
            { "name": "", "port": 1, "protocol": "TCP" },
            { "name": "dns", "port": 53, "protocol": "UDP" },
            { "name": "wrong", "port": 70_000 },
            { "name": "none" },
        ]);
        let end = |address: &str, node_name: Option<&str>, target: Option<&str>| Endpoint {
            address: address.parse().unwrap(),
            node_name: node_name.map(str::to_owned),
            target: target.map(str::to_owned),
        };
        let expected = Slice {
            uid: "u".to_owned(),
            ports: vec![("grpc".to_owned(), 4400), (String::new(), 1)],
            endpoints: vec![
                end("10.0.0.1", Some("n1"), Some("p1")),
                end("10.0.0.2", None, None),
                end("fd00::3", None, None),
            ],
            left_out: 3,
        };
        assert_eq!(told(&endpoints, &ports), Some(expected));
        assert_eq!(told(&json!([]), &json!([])), None);
        assert_eq!(told(&Value::Null, &Value::Null), None);
    }

    #[test]
    fn who_ends_and_does_not_serve_is_gone() {
        let cases = [
            (json!({}), true),
            (json!({ "ready": true, "serving": true, "terminating": false }), true),
            (json!({ "ready": false, "serving": false, "terminating": false }), true),
            (json!({ "ready": false }), true),
            (json!({ "ready": false, "serving": true, "terminating": true }), true),
            (json!({ "ready": false, "serving": false, "terminating": true }), false),
            (json!({ "ready": false, "terminating": true }), false),
            (json!({ "terminating": true }), false),
        ];
        for (conditions, there) in cases {
            let endpoints = json!([{ "addresses": ["10.0.0.1"], "conditions": conditions }]);
            assert_eq!(told(&endpoints, &Value::Null).is_some(), there, "{conditions}");
        }
    }

    #[test]
    fn no_more_endpoints_are_kept_than_a_slice_may_have() {
        let many: Vec<_> = (0..1_005)
            .map(|at| json!({ "addresses": [format!("10.0.{}.{}", at / 256, at % 256)] }))
            .collect();
        let slice = told(&many.into(), &Value::Null).unwrap();
        assert_eq!((slice.endpoints.len(), slice.left_out), (1_000, 5));
    }
}
