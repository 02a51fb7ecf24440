//! Tests of the questions and of those who answer.

use std::net::{TcpListener, TcpStream};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_goes_where_it_says_is_not_translated() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (facts, mut told) = tokio::sync::mpsc::channel(4);
    let queries = start(facts, true);
    let query = TranslationQuery {
        id: ConnectionId(5),
        netns: netns::own().unwrap(),
        pid: None,
        local: stream.local_addr().unwrap(),
        remote: stream.peer_addr().unwrap(),
        failed: false,
    };
    queries.send(query.clone()).unwrap();
    assert!(matches!(told.recv().await, Some(Fact::Sources(SOURCE, _))));
    // The kernel may have no such table; then the source says so.
    match told.recv().await {
        Some(Fact::Translation { id: ConnectionId(5), answer: Translated::No }) => {}
        Some(Fact::Translation { id: ConnectionId(5), answer: Translated::Unknown }) => {
            let Some(Fact::Sources(SOURCE, sources)) = told.recv().await else { panic!() };
            assert!(!sources[0].healthy, "{sources:?}");
        }
        other => panic!("{other:?}"),
    }
    // A namespace that nobody is in any more.
    queries.send(TranslationQuery { netns: 1, pid: Some(u32::MAX), ..query }).unwrap();
    let Some(Fact::Translation { answer, .. }) = told.recv().await else { panic!() };
    assert_eq!(answer, Translated::Unknown);
    drop(queries);
    assert_eq!(told.recv().await, None, "the thread has ended");
}
