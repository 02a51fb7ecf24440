//! The server over real sockets, without a daemon behind it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::event::WallTime;
use crate::export::Link;
use crate::room::Room;
use crate::serve::Book;

/// A daemon whose event loop answers whoever has the other end.
pub(super) fn link(requests: mpsc::Sender<crate::serve::Request>) -> Link {
    Link {
        requests,
        book: Book::default(),
        node_name: "n1".into(),
        start_time: WallTime(0),
        window: Duration::from_secs(10),
        queue: (16, 1 << 20),
        streams: Arc::default(),
        room: Room::default(),
        stopping: CancellationToken::new(),
    }
}

fn kept() -> Kept {
    Kept::new(&Settings::default(), &link(mpsc::channel(1).0))
}

/// Serves until it is told to stop; nobody answers for the event loop.
async fn served() -> (SocketAddr, CancellationToken) {
    serve(kept()).await
}

pub(super) async fn serve(kept: Kept) -> (SocketAddr, CancellationToken) {
    let stopping = CancellationToken::new();
    let state = State::new("metrics", "metrics", "here");
    let answers = Arc::new(Answers::new(kept, state, true));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(Connections::new(answers, None).serve(listener, stopping.clone()));
    (at, stopping)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_keeps_its_place_until_it_is_done() {
    let kept = kept();
    let answers = Answers::new(kept.clone(), State::new("metrics", "metrics", "here"), true);
    let room = answers.room();
    let held = kept.hold().await;
    for _ in 0..room + 2 {
        let request = ::http::Request::get("/metrics").body(()).unwrap();
        let answered = timeout(Duration::from_millis(100), answers.answer(request)).await;
        assert!(answered.is_err(), "the client went before it had an answer");
    }
    assert_eq!(answers.room(), 0, "as many are made as may be, and no more");
    drop(held);
    let done = async {
        while answers.room() < room {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), done).await.unwrap();
}

async fn ask(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_is_there_is_told_also_where_the_event_loop_does_not_answer() {
    let (at, _stopping) = served().await;
    let metrics = ask(at, "/metrics").await;
    assert!(
        metrics.starts_with("HTTP/1.0 200 OK") && metrics.contains("observer_event_loop_answers 0\n"),
        "{metrics}"
    );
    assert!(metrics.contains("observer_build_info{") && !metrics.contains("observer_events_total"));
    let ready = ask(at, "/readyz").await;
    assert!(
        ready.starts_with("HTTP/1.0 503") && ready.ends_with("has not finished its first second\n"),
        "{ready}"
    );
    assert!(ask(at, "/healthz").await.ends_with("\r\n\r\nok\n"));
    assert!(ask(at, "/metrics/../secret").await.starts_with("HTTP/1.0 404"));
}

#[tokio::test]
async fn whoever_says_nothing_makes_room_and_all_end_with_the_daemon() {
    let (at, stopping) = served().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    // All are accepted before this one.
    assert!(ask(at, "/healthz").await.ends_with("ok\n"));
    let ended = timeout(Duration::from_secs(10), silent[0].read(&mut [0])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "the oldest one is closed");
    let newest = silent.last_mut().unwrap();
    assert!(timeout(Duration::from_millis(50), newest.read(&mut [0])).await.is_err(), "a newer one is not");
    stopping.cancel();
    let ended = timeout(Duration::from_secs(10), newest.read(&mut [0])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "at the end all are");
    assert!(TcpStream::connect(at).await.is_err());
}
