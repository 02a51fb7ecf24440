//! Tests of requests to receivers that are not there.

mod grpc;

use super::*;
use crate::config::exporters::Tls;

fn receiver(endpoint: &str) -> Receiver {
    Receiver {
        endpoint: endpoint.parse().unwrap(),
        protocol: Protocol::Http,
        gzip: false,
        timeout: Duration::from_secs(5),
        tls: Tls::default(),
        headers: Vec::new(),
        secrets: Vec::new(),
    }
}

fn nothing() -> Packed {
    Packed { body: Bytes::new(), gzip: false }
}

fn secret(value: &str) -> HeaderMap {
    let mut value: HeaderValue = value.parse().unwrap();
    value.set_sensitive(true);
    HeaderMap::from_iter([(header::AUTHORIZATION, value), (header::ACCEPT, "plain-word".parse().unwrap())])
}

#[test]
fn secrets_are_known_whole_and_in_parts() {
    assert_eq!(secrets(&secret("Bearer t0ken")), ["Bearer t0ken", "Bearer", "t0ken"]);
    assert_eq!(secrets(&secret("xyz")), [""; 0]);
}

#[tokio::test]
async fn who_is_not_there_is_asked_again() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let receiver = Receiver { protocol, ..receiver(&format!("http://{closed}")) };
        let transport = Transport::new(receiver, secret("t0ken")).unwrap();
        let answer = transport.send(Signal::Logs, nothing()).await;
        let Answer::Later { reason, after: None } = answer else { panic!("{protocol:?}: {answer:?}") };
        assert!(reason.contains("Connection refused") && !reason.contains("t0ken"), "{protocol:?}: {reason}");
    }
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let timeout = Duration::from_millis(50);
        let receiver = Receiver { protocol, timeout, ..receiver(&format!("http://{address}")) };
        let answer = Transport::new(receiver, HeaderMap::new()).unwrap().send(Signal::Logs, nothing()).await;
        let Answer::Later { reason, after: None } = answer else { panic!("{protocol:?}: {answer:?}") };
        assert!(reason.contains("50 ms"), "{protocol:?}: {reason}");
    }
}

#[test]
fn certificates_that_are_not_there_are_named_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, rustix::fs::Mode::RUSR, 0).unwrap();
    let cases = [
        ("/does/not/exist.pem".into(), "No such file"),
        // Nobody writes to it, and nobody waits for that.
        (pipe, "it is no regular file"),
        ("/dev/zero".into(), "it is no regular file"),
    ];
    for (path, why) in cases {
        let tls = Tls { ca: Some(path.clone()), ..Tls::default() };
        let made = Transport::new(Receiver { tls, ..receiver("https://localhost:1") }, HeaderMap::new());
        let error = made.err().unwrap();
        assert!(error.contains(path.to_str().unwrap()) && error.contains(why), "{error}");
    }
}
