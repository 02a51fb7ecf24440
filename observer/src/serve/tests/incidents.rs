//! The service of incidents: what is listed and watched, and what is refused.

use std::sync::Arc;

use observer_proto::served;
use observer_proto::served::incidents_server::Incidents as _;
use observer_proto::served::watch_incidents_response::Payload;
use observer_proto::v1::{self, Incident, IncidentState, Workload, WorkloadKind};
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request as Call};

use super::caller;
use crate::serve::access::ClientLimits;
use crate::serve::{Book, Service, Settings};

fn service() -> (Service, Book) {
    let (requests, _nobody) = mpsc::channel(1);
    let book = Book::default();
    (Service::new(Settings::new("node-1".into()), requests).with_incidents(book.clone()), book)
}

/// A call of somebody who may see all.
fn call<T>(message: T) -> Call<T> {
    let mut call = Call::new(message);
    call.extensions_mut().insert(Arc::new(caller(ClientLimits::default())));
    call
}

fn incident(second: i64, state: IncidentState, pod: &str) -> Arc<Incident> {
    let at = |second| Some(Timestamp { seconds: second, nanos: 0 });
    let (namespace, pod) = ("shop".to_owned(), pod.to_owned());
    let kind = WorkloadKind::Pod.into();
    Arc::new(Incident {
        id: format!("20261128-{second:06}-1"),
        state: state.into(),
        workloads: vec![Workload { kind, namespace, pod, ..Workload::default() }],
        open_time: at(second),
        window_end: at(second + 60),
        ..Incident::default()
    })
}

#[tokio::test]
async fn incidents_are_listed_by_state_pod_and_time_the_newest_first() {
    let (service, book) = service();
    book.put_told(incident(100, IncidentState::Closed, "web-1"));
    book.put_told(incident(200, IncidentState::Open, "cart-1"));
    book.put_told(incident(300, IncidentState::Open, "web-2"));
    let ids = async |request: served::ListIncidentsRequest| {
        let answer = service.list_incidents(call(request)).await.unwrap().into_inner();
        let second = |one: served::Incident| one.open_time.unwrap().seconds;
        (answer.incidents.into_iter().map(second).collect::<Vec<_>>(), answer.total)
    };
    let all = served::ListIncidentsRequest::default;
    assert_eq!(ids(all()).await, (vec![300, 200, 100], 3));
    let open = v1::IncidentState::Open.into();
    assert_eq!(ids(served::ListIncidentsRequest { state: open, ..all() }).await, (vec![300, 200], 2));
    let pods = vec!["shop/web".to_owned()];
    assert_eq!(ids(served::ListIncidentsRequest { pods, ..all() }).await, (vec![300, 100], 2));
    let namespaces = vec!["pay".to_owned()];
    assert_eq!(ids(served::ListIncidentsRequest { namespaces, ..all() }).await, (vec![], 0));
    let since = Some(Timestamp { seconds: 260, nanos: 0 });
    assert_eq!(ids(served::ListIncidentsRequest { since, ..all() }).await, (vec![300, 200], 2));
    assert_eq!(ids(served::ListIncidentsRequest { limit: 1, ..all() }).await, (vec![300], 3));
}

#[tokio::test]
async fn what_is_not_there_or_too_long_is_refused() {
    let (service, book) = service();
    book.put_told(incident(100, IncidentState::Closed, "web-1"));
    let code = |status: tonic::Status| status.code();
    let asked = service.get_incident(call(served::GetIncidentRequest { id: "x".repeat(1_000) })).await;
    let error = asked.unwrap_err();
    assert!(error.message().len() < 200, "{error}");
    assert_eq!(code(error), Code::NotFound);
    let note = "n".repeat(1_001);
    let open = served::OpenIncidentRequest { note: note.clone(), ..served::OpenIncidentRequest::default() };
    assert_eq!(code(service.open_incident(call(open)).await.unwrap_err()), Code::InvalidArgument);
    let close = served::CloseIncidentRequest { id: "20261128-000100-1".to_owned(), note };
    assert_eq!(code(service.close_incident(call(close)).await.unwrap_err()), Code::InvalidArgument);
    let delete = served::DeleteIncidentRequest { id: "20261128-000999-1".to_owned() };
    assert_eq!(code(service.delete_incident(call(delete)).await.unwrap_err()), Code::NotFound);
    let nobody = Call::new(served::ListIncidentsRequest::default());
    assert_eq!(code(service.list_incidents(nobody).await.unwrap_err()), Code::Unauthenticated);
}

#[tokio::test]
async fn a_watcher_gets_what_is_open_and_then_each_change() {
    let (service, book) = service();
    book.put_told(incident(100, IncidentState::Closed, "web-1"));
    book.put_told(incident(200, IncidentState::Open, "web-2"));
    book.put_told(incident(300, IncidentState::Open, "cart-1"));
    let pods = vec!["shop/web".to_owned()];
    let request = served::WatchIncidentsRequest { pods, ..served::WatchIncidentsRequest::default() };
    let mut stream = service.watch_incidents(call(request)).await.unwrap().into_inner();
    let mut next = async || stream.next().await.map(|message| message.unwrap().payload.unwrap());
    assert!(matches!(next().await, Some(Payload::NodeStatus(_))));
    assert!(matches!(next().await, Some(Payload::Incident(one)) if one.id.contains("000200")));
    book.put_told(incident(400, IncidentState::Open, "cart-1"));
    book.put_told(incident(200, IncidentState::Closed, "web-2"));
    book.delete("20261128-000300-1").unwrap();
    book.delete("20261128-000200-1").unwrap();
    book.stop();
    let closed = i32::from(IncidentState::Closed);
    assert!(matches!(next().await, Some(Payload::Incident(one)) if one.state == closed));
    assert!(matches!(next().await, Some(Payload::Deleted(id)) if id.contains("000200")));
    assert!(matches!(next().await, Some(Payload::NodeStatus(_))));
    assert!(next().await.is_none());
}
