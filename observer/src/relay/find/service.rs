//! The endpoints of a Service, as the Kubernetes API tells them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tokio::sync::mpsc;

use super::board::Place;
use super::{Found, MOST_NODES, Port, ServiceName};
use crate::inventory::kubernetes::{ApiAccess, Endpoint, EndpointNews, Slice, follow_endpoints};

/// News that may wait, and that are taken at once.
const QUEUE: usize = 64;
/// Endpoints that are held, at most: each daemon in two families of addresses, and as many that are about to go.
const MOST_HELD: usize = 4 * MOST_NODES;

/// Keeps a Service's endpoints known for as long as it is run.
pub(super) async fn keep(api: ApiAccess, name: ServiceName, place: Place) {
    let (news, told) = mpsc::channel(QUEUE);
    let follow = follow_endpoints(api, &name.namespace, &name.name, news);
    tokio::join!(follow, take(told, Endpoints::new(name), place));
}

async fn take(mut told: mpsc::Receiver<EndpointNews>, mut endpoints: Endpoints, place: Place) {
    let mut batch = Vec::with_capacity(QUEUE);
    while told.recv_many(&mut batch, QUEUE).await > 0 {
        for news in batch.drain(..) {
            endpoints.take(news);
        }
        endpoints.tell(&place);
    }
}

/// Who an endpoint is: a pod that has addresses of both families is one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Who<'slice> {
    Target(&'slice str),
    Address(IpAddr),
}

impl<'slice> Who<'slice> {
    fn of(endpoint: &'slice Endpoint) -> Self {
        endpoint.target.as_deref().map_or(Self::Address(endpoint.address), Self::Target)
    }
}

/// All that is known of a Service's endpoints.
pub(super) struct Endpoints {
    service: ServiceName,
    slices: Slices,
    /// What a list that goes on named so far.
    listing: Option<Slices>,
    /// They were listed once.
    known: bool,
    /// Why they are not followed.
    trouble: Option<String>,
}

#[derive(Default)]
struct Slices {
    by_uid: BTreeMap<String, Slice>,
    held: usize,
}

impl Slices {
    fn put(&mut self, mut slice: Slice) {
        self.remove(&slice.uid);
        let room = MOST_HELD.saturating_sub(self.held);
        // They are missing for as long as the slice is there.
        slice.left_out += slice.endpoints.len().saturating_sub(room);
        slice.endpoints.truncate(room);
        self.held += slice.endpoints.len();
        if slice.endpoints.len() + slice.left_out > 0 {
            self.by_uid.insert(slice.uid.clone(), slice);
        }
    }

    fn remove(&mut self, uid: &str) {
        if let Some(slice) = self.by_uid.remove(uid) {
            self.held -= slice.endpoints.len();
        }
    }
}

impl Endpoints {
    pub(super) fn new(service: ServiceName) -> Self {
        Self { service, slices: Slices::default(), listing: None, known: false, trouble: None }
    }

    pub(super) fn take(&mut self, news: EndpointNews) {
        match news {
            EndpointNews::Listing => self.listing = Some(Slices::default()),
            EndpointNews::Has(slices) => {
                let into = self.listing.as_mut().unwrap_or(&mut self.slices);
                for slice in slices {
                    into.put(slice);
                }
            }
            EndpointNews::Gone(uid) => self.slices.remove(&uid),
            EndpointNews::Listed => {
                self.slices = self.listing.take().unwrap_or_default();
                self.known = true;
                self.trouble = None;
            }
            EndpointNews::Followed { api: _ } => self.trouble = None,
            EndpointNews::Fails { api, reason } => self.trouble = Some(format!("the API ({api}): {reason}")),
        }
    }

    fn tell(&self, place: &Place) {
        match (&self.trouble, self.known) {
            (Some(trouble), _) => place.fails(trouble.clone()),
            (None, false) => {}
            (None, true) => {
                let (found, lacks) = self.daemons();
                if lacks.is_empty() { place.found(found) } else { place.found_but(found, lacks.join("; ")) }
            }
        }
    }

    /// A daemon for each endpoint, and what is missing, in words.
    pub(super) fn daemons(&self) -> (BTreeMap<String, Found>, Vec<String>) {
        let mut all: BTreeMap<Who<'_>, (&Endpoint, u16)> = BTreeMap::new();
        let mut without_port = 0;
        for slice in self.slices.by_uid.values() {
            let Some(port) = self.port(slice) else {
                without_port += slice.endpoints.len();
                continue;
            };
            for endpoint in &slice.endpoints {
                let held = all.entry(Who::of(endpoint)).or_insert((endpoint, port));
                // IPv4 comes first.
                if endpoint.address < held.0.address {
                    *held = (endpoint, port);
                }
            }
        }
        let ServiceName { namespace, name, .. } = &self.service;
        let tls_name = format!("{name}.{namespace}.svc");
        let secured = |(end, port): (&Endpoint, u16)| {
            Found::secured(end.address, port, end.node_name.clone(), tls_name.clone())
        };
        let found: BTreeMap<_, _> = all.into_values().map(secured).collect();
        let lacks = self.lacks(without_port, found.is_empty());
        (found, lacks)
    }

    fn lacks(&self, without_port: usize, nobody: bool) -> Vec<String> {
        let mut lacks = Vec::new();
        if without_port > 0 {
            lacks.push(self.no_port(without_port));
        }
        let left_out: usize = self.slices.by_uid.values().map(|slice| slice.left_out).sum();
        if left_out > 0 {
            lacks.push(format!("{left_out} endpoints have no address of IP, or are too many"));
        }
        if nobody && lacks.is_empty() {
            lacks.push("the Service has no endpoint, or there is no such Service".to_owned());
        }
        lacks
    }

    fn port(&self, slice: &Slice) -> Option<u16> {
        let wanted = match &self.service.port {
            Some(Port::Number(number)) => return Some(*number),
            Some(Port::Name(name)) => Some(name),
            None => None,
        };
        let mut ports = slice.ports.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name));
        // One of several that nobody named is as good as none.
        let (first, more) = (ports.next(), ports.next());
        first.filter(|_| more.is_none()).map(|(_, number)| *number)
    }

    fn no_port(&self, count: usize) -> String {
        match &self.service.port {
            Some(Port::Name(name)) => format!("{count} endpoints have no port that is called `{name}`"),
            Some(Port::Number(_)) | None => {
                let ServiceName { namespace, name, .. } = &self.service;
                format!("{count} endpoints have several ports, or none: name one, as {namespace}/{name}:PORT")
            }
        }
    }
}
