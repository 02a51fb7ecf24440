//! Tests of how often a request is sent, and what becomes of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::exporters::{Protocol, Tls};
use crate::event::WallTime;
use crate::export::secret::Secret;
use crate::room::Room;
use crate::serve::Book;

/// A sender of logs by HTTP, and what it shares with others.
fn sender(to: SocketAddr, secrets: Vec<(http::HeaderName, Secret)>) -> Sender {
    let receiver = Receiver {
        endpoint: format!("http://{to}").parse().unwrap(),
        protocol: Protocol::Http,
        gzip: true,
        timeout: Duration::from_secs(5),
        tls: Tls::default(),
        headers: Vec::new(),
        secrets,
    };
    let link = Link {
        requests: mpsc::channel(1).0,
        book: Book::default(),
        node_name: "n1".into(),
        start_time: WallTime(0),
        window: Duration::from_secs(10),
        queue: (16, 1 << 20),
        streams: Arc::default(),
        room: Room::default(),
        stopping: CancellationToken::new(),
    };
    let state = State::new("otlp.a", "otlp", "here");
    Sender::new(Signal::Logs, receiver, Queue::new(1 << 20), link, state, Troubled::default())
}

/// Has it send these, each of so many items, until it ends.
async fn sent(sender: Sender, all: &[u64]) {
    for items in all {
        sender.state.hold(*items);
        let request = vec![7; 100].into();
        assert_eq!(sender.queue.put(Batch { request, items: *items, together: None }), 0);
    }
    sender.queue.end();
    sender.run().await;
}

fn lost(state: &State, reason: &str) -> u64 {
    let told = state.status();
    assert_eq!(told.queued, 0);
    told.lost.iter().filter(|(of, _)| *of == reason).map(|(_, count)| count).sum()
}

/// A receiver that answers each request with the next of these statuses, and keeps the tokens that it was shown.
async fn receiver(statuses: &[u16]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, mut left) = (Arc::<Mutex<Vec<String>>>::default(), VecDeque::from(statuses.to_vec()));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Some(status) = left.pop_front() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            // The body is short, and comes with its head or right after it.
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(length > 0);
                request.extend_from_slice(&buffer[..length]);
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let token = text.lines().find_map(|line| line.strip_prefix("api-key: "));
            kept.lock().unwrap().push(token.unwrap_or_default().to_owned());
            let answer = format!("HTTP/1.1 {status} Some\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, seen)
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_given_up_after_a_while() {
    let sender = sender(nobody(), Vec::new());
    let (state, begun) = (sender.state.clone(), Instant::now());
    sent(sender, &[7]).await;
    assert_eq!(lost(&state, "expired"), 7);
    let took = begun.elapsed();
    assert!(took >= PATIENCE && took < PATIENCE + Duration::from_mins(2), "{took:?}");
    assert!(state.status().retries > 5);
}

#[tokio::test]
async fn what_waits_to_be_sent_again_is_lost_when_the_daemon_stops() {
    let sender = sender(nobody(), Vec::new());
    let (state, stopping) = (sender.state.clone(), sender.link.stopping.clone());
    let sending = tokio::spawn(sent(sender, &[7, 8]));
    while state.status().retries == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stopping.cancel();
    tokio::time::timeout(Duration::from_secs(10), sending).await.unwrap().unwrap();
    assert_eq!((lost(&state, "stopped"), state.status().sent), (15, 0));
}

#[tokio::test]
async fn who_is_refused_tries_once_with_another_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let file = || vec![(http::HeaderName::from_static("api-key"), Secret::File(path.clone()))];
    std::fs::write(&path, "the-old-one").unwrap();
    // Taken; refused, and taken with the new token; refused, and the token is the same.
    let (address, seen) = receiver(&[200, 401, 200, 401]).await;
    let sender = sender(address, file());
    let (state, queue) = (sender.state.clone(), sender.queue.clone());
    let running = tokio::spawn(sender.run());
    let put = |items| {
        state.hold(items);
        queue.put(Batch { request: vec![7; 100].into(), items, together: None });
    };
    let until = |count| {
        let seen = Arc::clone(&seen);
        let state = state.clone();
        async move {
            while seen.lock().unwrap().len() < count || state.status().queued > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    put(1);
    until(1).await;
    std::fs::write(&path, "the-new-one").unwrap();
    put(2);
    until(3).await;
    put(4);
    until(4).await;
    queue.end();
    running.await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["the-old-one", "the-old-one", "the-new-one", "the-new-one"]);
    assert_eq!((state.status().sent, lost(&state, "refused")), (3, 4));
    assert!(!format!("{:?}", state.status()).contains("-one"));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_again_and_again_is_said_now_and_then() {
    let mut said = Said::default();
    let mut count = 0;
    for _ in 0..3_600 {
        count += u32::from(said.is_due());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(count, 6);
}

#[test]
fn whoever_asks_for_no_pause_is_not_asked_without_one() {
    let mut backoff = Backoff::default();
    let pauses: Vec<Duration> = (0..20).map(|_| pause(Some(Duration::ZERO), &mut backoff)).collect();
    assert!(pauses.iter().all(|pause| *pause >= Duration::from_millis(250)), "{pauses:?}");
    // Within the time that a request is tried for, it is so a few times.
    assert!(pauses.iter().sum::<Duration>() >= PATIENCE, "{pauses:?}");
    let asked = Duration::from_mins(1);
    assert!(pause(Some(asked), &mut Backoff::default()) > asked);
}
