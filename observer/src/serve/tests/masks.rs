//! Masks: what a client gets of an item, and what it is told of a wrong one.

use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::watch_summaries_response::Payload as SummaryPayload;
use prost_types::FieldMask;
use tonic::Code;
use tonic::transport::Channel;

use super::calls::{SECOND, channel, start};
use super::v1;

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
}

async fn events(
    client: &mut ObserverClient<Channel>,
    field_mask: Option<FieldMask>,
) -> Vec<v1::WatchEventsResponse> {
    let request = v1::WatchEventsRequest { last: 2, field_mask, ..v1::WatchEventsRequest::default() };
    let mut stream = client.watch_events(request).await.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        told.push(message);
    }
    told
}

#[tokio::test]
async fn events_have_what_was_asked_for_and_their_number() {
    let daemon = start();
    let mut client = ObserverClient::new(channel(&daemon.path).await);
    let whole = events(&mut client, None).await;
    // An empty mask is none.
    let of = |messages: &[v1::WatchEventsResponse]| -> Vec<_> {
        messages.iter().map(|message| message.payload.clone()).collect()
    };
    assert_eq!(of(&events(&mut client, Some(mask(&[]))).await), of(&whole));
    let paths = ["time", "workload.pod", "tcp_connect.tcp.destination.workload.name", "tcp_close"];
    let masked = events(&mut client, Some(mask(&paths))).await;
    assert_eq!(masked.len(), whole.len());
    let mut events = 0;
    for (masked, whole) in masked.into_iter().zip(whole) {
        assert_eq!(masked.node_name, "node-1");
        let Some(Payload::Event(whole)) = whole.payload else {
            assert_eq!(masked.payload, whole.payload, "what is no event is told whole");
            continue;
        };
        events += 1;
        let Some(v1::event::Detail::TcpConnect(v1::TcpConnect { tcp, .. })) = whole.detail else { panic!() };
        let name = tcp.unwrap().destination.unwrap().workload.unwrap().name;
        assert_eq!(name, "db");
        let workload = v1::Workload { name, ..v1::Workload::default() };
        let end = v1::Endpoint { workload: Some(workload), ..v1::Endpoint::default() };
        let tcp = v1::Tcp { destination: Some(end), ..v1::Tcp::default() };
        let connect = v1::TcpConnect { tcp: Some(tcp), ..v1::TcpConnect::default() };
        let workload = v1::Workload { pod: whole.workload.unwrap().pod, ..v1::Workload::default() };
        let expected = v1::Event {
            sequence: whole.sequence,
            time: whole.time,
            workload: Some(workload),
            detail: Some(v1::event::Detail::TcpConnect(connect)),
            ..v1::Event::default()
        };
        assert_eq!(masked.payload, Some(Payload::Event(expected)));
    }
    assert_eq!(events, 2);
}

#[tokio::test]
async fn summaries_and_lists_have_what_was_asked_for() {
    let daemon = start();
    let mut client = ObserverClient::new(channel(&daemon.path).await);
    let request = v1::WatchSummariesRequest {
        window: Some(prost_types::Duration { seconds: 2, nanos: 0 }),
        field_mask: Some(mask(&["tcp.opened", "edge.port"])),
        ..v1::WatchSummariesRequest::default()
    };
    let mut stream = client.watch_summaries(request).await.unwrap().into_inner();
    let (mut summaries, mut ended) = (Vec::new(), false);
    while let Some(message) = stream.message().await.unwrap() {
        match message.payload.unwrap() {
            SummaryPayload::Summary(summary) => summaries.push(summary),
            SummaryPayload::WindowEnd(end) => {
                assert_eq!((end.summaries, end.total, end.window_ns), (2, 2, 2 * SECOND));
                ended = true;
            }
            SummaryPayload::Lost(_) | SummaryPayload::NodeStatus(_) | SummaryPayload::Gap(_) => {}
        }
    }
    let tcp = Some(v1::TcpSummary { opened: 2, ..v1::TcpSummary::default() });
    let workload = v1::Summary { tcp, ..v1::Summary::default() };
    let edge = Some(v1::Edge { port: 5432, ..v1::Edge::default() });
    let edge = v1::Summary { edge, ..workload.clone() };
    assert!(ended);
    assert_eq!(summaries, [workload, edge]);

    let field_mask = Some(mask(&["state", "workload.namespace"]));
    let request = v1::ListConnectionsRequest { field_mask, ..v1::ListConnectionsRequest::default() };
    let listed = client.list_connections(request).await.unwrap().into_inner();
    assert_eq!((listed.connections.len(), listed.total), (3, 3));
    for connection in listed.connections {
        let workload = Some(v1::Workload { namespace: "shop".to_owned(), ..v1::Workload::default() });
        let state = connection.state.clone();
        assert!(!state.is_empty());
        assert_eq!(connection, v1::Connection { workload, state, ..v1::Connection::default() });
    }
}

#[tokio::test]
async fn each_call_refuses_what_is_not_there() {
    let daemon = start();
    let mut client = ObserverClient::new(channel(&daemon.path).await);
    let field_mask = Some(mask(&["workload", "nonsense"]));
    let errors = [
        client
            .watch_events(v1::WatchEventsRequest { field_mask: field_mask.clone(), ..Default::default() })
            .await
            .map(drop),
        client
            .watch_summaries(v1::WatchSummariesRequest {
                field_mask: field_mask.clone(),
                ..Default::default()
            })
            .await
            .map(drop),
        client
            .list_connections(v1::ListConnectionsRequest {
                field_mask: field_mask.clone(),
                ..Default::default()
            })
            .await
            .map(drop),
        client
            .list_listeners(v1::ListListenersRequest { field_mask: field_mask.clone(), ..Default::default() })
            .await
            .map(drop),
        client
            .list_workloads(v1::ListWorkloadsRequest { field_mask: field_mask.clone(), ..Default::default() })
            .await
            .map(drop),
        client.explain(v1::ExplainRequest { field_mask, ..Default::default() }).await.map(drop),
    ]
    .map(Result::unwrap_err);
    let items = ["Event", "Summary", "Connection", "Listener", "WorkloadStatus", "Summary"];
    for (error, item) in errors.iter().zip(items) {
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        let words = format!("field_mask: \"nonsense\": {item} has no field \"nonsense\"; it has ");
        assert!(error.message().starts_with(&words), "{error}");
    }
}
