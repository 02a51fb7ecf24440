//! A name that has addresses, fewer, none, and no answer.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::dns::keep;
use super::*;

type Answer = io::Result<Vec<IpAddr>>;

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// As the standard library words it.
fn failed(words: &str) -> Answer {
    Err(io::Error::other(format!("failed to lookup address information: {words}")))
}

/// Asks for a name that is answered like this, one after the other; the last time never.
fn asked(answers: Vec<Answer>, tasks: &mut JoinSet<()>) -> Receiver {
    let name: DnsName = "nodes.example.:7".parse().unwrap();
    let mut board = Board::default();
    let place = board.add("dns", name.to_string());
    let (shared, receiver) = board.share();
    let answers = Mutex::new(VecDeque::from(answers));
    tasks.spawn(keep(name, shared.place(place), move |host| {
        assert_eq!(host, "nodes.example.");
        let answer = answers.lock().unwrap().pop_front();
        async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    }));
    receiver
}

#[tokio::test(start_paused = true)]
async fn the_answer_counts_and_a_failure_does_not() {
    let mut tasks = JoinSet::new();
    let both = ["10.0.0.2", "::ffff:10.0.0.1", "fd00::1", "10.0.0.2", "0.0.0.0"];
    let answers = vec![
        Ok(addresses(&both)),
        failed("Temporary failure in name resolution"),
        Ok(addresses(&["10.0.0.2"])),
        failed("Name or service not known"),
        Ok(addresses(&[])),
        failed("Name does not resolve"),
        failed("something else"),
    ];
    let start = Instant::now();
    let mut receiver = asked(answers, &mut tasks);
    assert_eq!(receiver.borrow().sources[0].message, "has not answered yet");
    let found = until(&mut receiver, true, "3 daemons").await;
    assert_eq!(keys(&found), ["tls://10.0.0.1:7", "tls://10.0.0.2:7", "tls://[fd00::1]:7"]);
    assert!(found.nodes.values().all(|found| found.tls_name.as_deref() == Some("nodes.example")));
    let found = until(&mut receiver, false, "no name server has an answer; from before: 3 daemons").await;
    assert_eq!(found.nodes.len(), 3);
    let found = until(&mut receiver, true, "1 daemon").await;
    assert_eq!(keys(&found), ["tls://10.0.0.2:7"]);
    for words in ["no such name", "the name has no address", "no such name", "something else"] {
        let found = until(&mut receiver, false, &format!("{words}; from before: 1 daemon")).await;
        assert_eq!(keys(&found), ["tls://10.0.0.2:7"], "{words}");
    }
    assert_eq!(start.elapsed().as_secs(), 60, "each 10 s");
    let found = until(&mut receiver, false, "no answer within 10 s; from before: 1 daemon").await;
    assert_eq!(found.nodes.len(), 1);
    assert_eq!(start.elapsed().as_secs(), 80);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_resolves_to_nothing_is_told_plainly() {
    for (answer, words) in [
        (failed("Name or service not known"), "no such name"),
        (failed("No address associated with hostname"), "the name has no address"),
        (failed("Temporary failure in name resolution"), "no name server has an answer"),
        (Ok(addresses(&[])), "the name has no address"),
        (Ok(addresses(&["0.0.0.0", "::"])), "the name has no address"),
    ] {
        let mut tasks = JoinSet::new();
        let mut receiver = asked(vec![answer], &mut tasks);
        let found = until(&mut receiver, false, words).await;
        assert_eq!((found.nodes.len(), &*found.sources[0].message), (0, words));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_counts_and_nothing_is_asked_twice_at_a_time() {
    let name: DnsName = "nodes.example:7".parse().unwrap();
    let mut board = Board::default();
    let place = board.add("dns", name.to_string());
    let (shared, mut receiver) = board.share();
    let (sender, answer) = oneshot::channel::<Answer>();
    let answer = Mutex::new(Some(answer));
    let mut tasks = JoinSet::new();
    tasks.spawn(keep(name, shared.place(place), move |_host| {
        let answer = answer.lock().unwrap().take().expect("it is asked once");
        async move { answer.await.unwrap() }
    }));
    until(&mut receiver, false, "no answer within 10 s").await;
    tokio::time::sleep(PATIENCE).await;
    sender.send(Ok(addresses(&["10.0.0.1"]))).unwrap();
    assert_eq!(keys(&*until(&mut receiver, true, "1 daemon").await), ["tls://10.0.0.1:7"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_may_have_been_cut_is_told() {
    let many =
        |count: u32| Ok((0..count).map(|at| std::net::Ipv4Addr::from_bits((10 << 24) + at).into()).collect());
    let six = (0..2_300_u128).map(|at| std::net::Ipv6Addr::from_bits((0xfd << 120) + at).into());
    let mut tasks = JoinSet::new();
    let mut receiver = asked(vec![many(3_999), many(4_000), Ok(six.collect())], &mut tasks);
    until(&mut receiver, true, "3999 daemons").await;
    until(&mut receiver, false, "4000 daemons; an answer of DNS holds no more").await;
    until(&mut receiver, false, "2300 daemons; an answer of DNS holds no more").await;
}
