//! Tests of the client against a server in this process: answers, streams, and every kind of failure.

use std::path::Path;

use tokio::net::UnixListener;

use super::super::{Lines, testing};
use super::*;
use crate::config;

fn target(server: Server, timeout_ms: u64) -> Target {
    Target { server, timeout: Duration::from_millis(timeout_ms), ..Target::default() }
}

async fn client(dir: &Path) -> Client {
    let path = dir.join("observer.sock");
    testing::serve(&path);
    Client::connect(target(Server::Unix(path), 500)).await.unwrap()
}

async fn show(client: &Client, last: u32) -> Result<String, Error> {
    let request = WatchEventsRequest { last, ..WatchEventsRequest::default() };
    let mut answers = client.watch_events(request).await?;
    let mut lines = Lines::new(&testing::look());
    let mut out = Vec::new();
    while let Some(message) = answers.next(&mut || Ok(())).await.unwrap() {
        lines.write(&mut out, &message?).unwrap();
    }
    Ok(String::from_utf8(out).unwrap())
}

fn failed<T>(result: Result<T, Error>) -> (String, bool) {
    let error = result.err().unwrap();
    let usage = error.is_usage();
    (anyhow::Error::from(error).to_string(), usage)
}

#[tokio::test]
async fn a_stream_is_shown_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(dir.path()).await;
    assert_eq!(client.status().await.unwrap().version, "0.1.0");
    let shown = show(&client, 0).await.unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(lines[0].ends_with("tcp_connect (142 µs, pid 4312 cart)"), "{shown}");
    assert!(lines[1].contains("lost: 3 "), "{shown}");
    assert!(lines[2].ends_with("the daemon stops"), "{shown}");
    let mut summaries = client.watch_summaries(WatchSummariesRequest::default()).await.unwrap();
    assert!(summaries.next(&mut || Ok(())).await.unwrap().unwrap().is_ok());
    assert!(summaries.next(&mut || Ok(())).await.unwrap().unwrap().is_ok());
    assert!(summaries.next(&mut || Ok(())).await.unwrap().is_none());
}

#[tokio::test]
async fn the_output_is_flushed_before_there_is_a_wait() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(dir.path()).await;
    let request = WatchEventsRequest { last: 3, ..WatchEventsRequest::default() };
    let mut answers = client.watch_events(request).await.unwrap();
    // A closed pipe is noticed where the client would otherwise wait.
    let mut broken = || Err(io::ErrorKind::BrokenPipe.into());
    loop {
        match answers.next(&mut broken).await {
            Err(error) => return assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
            Ok(Some(message)) => drop(message.unwrap()),
            Ok(None) => panic!("the stream ended without a wait"),
        }
    }
}

#[tokio::test]
async fn what_the_daemon_refuses_is_told_in_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(dir.path()).await;
    let at = format!("at unix://{}/observer.sock", dir.path().display());
    let (error, usage) = failed(show(&client, 2).await);
    assert!(error.starts_with(&format!("watching events {at}: port 0: allowed are 1 to 65535\n")), "{error}");
    assert!(usage);
    let (error, usage) = failed(show(&client, 1).await);
    assert!(error.starts_with(&format!("watching events {at}: stopped\\x1b[2J\n")), "{error}");
    assert!(!usage);
    let (error, _) = failed(client.connections(ListConnectionsRequest::default()).await);
    assert!(error.contains("uid 1000 may not\nAsk as somebody for whom"), "{error}");
    let (error, _) = failed(client.workloads(ListWorkloadsRequest::default()).await);
    assert!(error.contains("is it older than this client?"), "{error}");
    let (error, _) = failed(show(&client, 4).await);
    assert_eq!(
        error,
        format!(
            "watching events {at}: no answer within 0.5 s\nIs the daemon overloaded? Wait longer with --timeout."
        )
    );
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("observer.sock");
    let server = Server::Unix(path.clone());
    let (error, _) = failed(Client::connect(target(server.clone(), 1_000)).await);
    assert_eq!(
        error,
        format!(
            "cannot reach the observer daemon at {server}: no such file\n\
             Start one with `observer daemon` as root, or name another with --server."
        )
    );
    drop(UnixListener::bind(&path).unwrap());
    let (error, _) = failed(Client::connect(target(server.clone(), 1_000)).await);
    assert!(error.contains("nobody listens there\nStart one"), "{error}");
    let source = io::ErrorKind::PermissionDenied.into();
    let (error, _) = failed::<()>(Err(Error::Unreachable { server, source }));
    assert!(error.contains("permission denied\nOnly root may open it"), "{error}");
}

#[tokio::test]
async fn somebody_who_is_no_daemon_is_an_error_soon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
        }
    });
    let status = async {
        let client = Client::connect(target(Server::Unix(path), 5_000)).await?;
        client.status().await
    };
    let (error, usage) = failed(status.await);
    assert!(!usage && error.lines().count() == 2, "{error}");
    assert!(error.contains("or is no observer daemon"), "{error}");
}

#[test]
fn addresses_of_servers() {
    for (text, shown) in [
        ("unix:///run/observer/observer.sock", "unix:///run/observer/observer.sock"),
        ("http://127.0.0.1:9000/", "tcp://127.0.0.1:9000"),
        ("http://localhost:9000", "tcp://127.0.0.1:9000"),
        ("http://[::1]:9000", "tcp://[::1]:9000"),
        ("tcp://[::1]:9000", "tcp://[::1]:9000"),
        ("http://[0:0::1]:9000/", "tcp://[::1]:9000"),
        ("tls://[0:0::1]:9000/", "tls://[::1]:9000"),
        ("tls://node-1.example.com:4250", "tls://node-1.example.com:4250"),
        ("tls://10.0.0.1:4250", "tls://10.0.0.1:4250"),
    ] {
        assert_eq!(text.parse::<Server>().unwrap().to_string(), shown);
    }
    for wrong in [
        "",
        "/run/o.sock",
        "unix://",
        "unix://relative",
        "http://10.0.0.1:1",
        "https://127.0.0.1:1",
        "http://127.0.0.1",
        "http://node-1:1",
        "tls://node-1",
        "tls://node-1:0",
        "tls://node-1:65536",
        "tls://:1",
        "tls://::1:1",
        "tls://a b:1",
        "tls://a/b:1",
    ] {
        assert!(wrong.parse::<Server>().is_err(), "{wrong}");
    }
}

#[test]
fn without_a_word_the_daemon_is_asked_at_its_own_socket_alone() {
    assert_eq!(Target::default().server.to_string(), config::DEFAULT_SOCKET);
    assert!(Target::default().tls.is_empty() && Target::default().timeout == Duration::from_secs(5));
}

#[tokio::test]
async fn plain_text_stays_on_this_machine() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    // A port of this machine is asked, which only says nothing in time.
    for server in [
        format!("tcp://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("tcp://localhost:{port}"),
    ] {
        let client = Client::connect(target(server.parse().unwrap(), 100)).await.unwrap();
        let (error, _) = failed(client.status().await);
        assert!(error.starts_with(&format!("asking for the status at {}", client.server)), "{error}");
    }
    assert!("tcp://10.0.0.1:9".parse::<Server>().unwrap_err().contains("tls://host:port"));
    let tls = Tls { ca: Some("/ca.pem".into()), ..Tls::default() };
    for server in ["unix:///run/o.sock", "http://127.0.0.1:9"] {
        let target = Target { tls: tls.clone(), ..target(server.parse().unwrap(), 100) };
        let (error, usage) = failed(Client::connect(target).await);
        assert!(usage && error.contains("TLS is for tls:// addresses alone"), "{error}");
    }
    let secured = |tls| Target { tls, ..target("tls://127.0.0.1:9".parse().unwrap(), 100) };
    let (error, usage) = failed(Client::connect(secured(tls)).await);
    assert!(usage && error.contains("--tls-ca, --tls-cert and --tls-key"), "{error}");
    let [ca, cert, key] = ["/nowhere/ca.pem", "/c", "/k"].map(|path| Some(path.into()));
    let (error, usage) = failed(Client::connect(secured(Tls { ca, cert, key, server_name: None })).await);
    assert!(
        usage
            && error
                .starts_with("cannot ask tls://127.0.0.1:9: cannot read certificates from /nowhere/ca.pem: "),
        "{error}"
    );
}
