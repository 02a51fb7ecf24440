//! Sources as a whole, and what is made of them together.

mod dns;
mod merge;
mod service;

use std::time::Duration;

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

type Receiver = watch::Receiver<Arc<FoundNodes>>;

fn keys(found: &FoundNodes) -> Vec<&str> {
    found.nodes.keys().map(String::as_str).collect()
}

/// Waits until the only source says that, and gives what is found then.
async fn until(receiver: &mut Receiver, healthy: bool, message: &str) -> Arc<FoundNodes> {
    let says = |found: &Arc<FoundNodes>| {
        let [source] = &found.sources[..] else { panic!("{found:?}") };
        source.healthy == healthy && source.message.contains(message)
    };
    let found = tokio::time::timeout(PATIENCE, receiver.wait_for(says)).await;
    let found = found.ok().map(|found| Arc::clone(&found.unwrap()));
    found.unwrap_or_else(|| panic!("not {message}: {:?}", receiver.borrow()))
}

#[tokio::test]
async fn what_is_listed_is_there_at_once() {
    let mut tasks = JoinSet::new();
    let nodes = ["tls://b:1", "tcp://127.0.0.1:7", "tls://[0::1]:1", "tls://b:1", "tls://[::1]:1"];
    let nodes = nodes.map(|text| parse_node(text).unwrap()).to_vec();
    let settings = Settings { nodes, ..Settings::default() };
    let mut receiver = start(settings, &mut tasks);
    let found = Arc::clone(&receiver.borrow());
    assert_eq!(keys(&found), ["tcp://127.0.0.1:7", "tls://[::1]:1", "tls://b:1"]);
    let source = IdentitySource {
        name: "list",
        endpoint: "settings".to_owned(),
        healthy: true,
        message: "3 daemons".to_owned(),
    };
    assert_eq!(found.sources, [source]);
    assert!(found.nodes.values().all(|found| found.tls_name.is_none() && found.node_name.is_none()));
    // Nothing changes; but that is not the end.
    let changed = tokio::time::timeout(Duration::from_millis(50), receiver.changed());
    assert!(changed.await.is_err());
    drop(receiver);
    tokio::time::timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_real_name_has_its_addresses() {
    let mut tasks = JoinSet::new();
    let settings = Settings { dns: vec!["localhost:4400".parse().unwrap()], ..Settings::default() };
    let mut receiver = start(settings, &mut tasks);
    let found = until(&mut receiver, true, "daemon").await;
    assert!(found.nodes.len() <= 2, "{found:?}");
    let local = &found.nodes["tls://127.0.0.1:4400"];
    assert_eq!(local.server, Server::Secured { host: "127.0.0.1".to_owned(), port: 4400 });
    assert_eq!(local.tls_name.as_deref(), Some("localhost"));
    assert_eq!(found.sources[0].endpoint, "localhost:4400");
}
