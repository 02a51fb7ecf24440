//! Which nodes a call asks, how long it waits for them, and what becomes of their answers.

use std::sync::atomic::AtomicUsize;

use observer_proto::v1;
use tonic::Code;

use super::super::find::Found;
use super::super::node::Link;
use super::*;
use crate::client::Server;

const PATIENCE: Duration = Duration::from_secs(3);

/// A daemon that is listed as `port`; it says its name when it is connected.
fn listed(port: u16) -> Arc<Node> {
    let server = Server::Secured { host: "192.0.2.1".to_owned(), port };
    Arc::new(Node::new(Found { server, node_name: None, tls_name: None }))
}

/// The same, whose node Kubernetes has named.
fn named(port: u16, name: &str) -> Arc<Node> {
    let server = Server::Secured { host: "192.0.2.1".to_owned(), port };
    Arc::new(Node::new(Found { server, node_name: Some(name.to_owned()), tls_name: None }))
}

fn connected(name: &str, port: u16) -> Arc<Node> {
    let node = named(port, name);
    node.stand(Link::Up(Up::of_nobody(name)));
    node
}

fn asker() -> Asker {
    Asker::told("dns:ops", &Scope::All, Room::new()).unwrap()
}

type Answer = Result<v1::ListIncidentsResponse, Status>;

/// Asks those nodes, which answer one after another, each so long after it was asked.
async fn asked(
    nodes: &[Arc<Node>],
    chosen: &Chosen,
    pace: Pace,
    answers: Vec<(Duration, Answer)>,
) -> Result<Answers<v1::ListIncidentsResponse>, Status> {
    let at = AtomicUsize::new(0);
    let answers = Arc::new(answers);
    ask(&asker(), nodes, chosen, pace, |_| {
        let (at, answers) = (at.fetch_add(1, Ordering::Relaxed), Arc::clone(&answers));
        async move {
            let (after, answer) = answers[at].clone();
            tokio::time::sleep(after).await;
            answer
        }
    })
    .await
}

/// An answer, that long after it was asked for.
fn told_after(after: Duration) -> (Duration, Answer) {
    (after, Ok(v1::ListIncidentsResponse::default()))
}

fn told() -> (Duration, Answer) {
    told_after(Duration::ZERO)
}

fn at_once(answer: Answer) -> (Duration, Answer) {
    (Duration::ZERO, answer)
}

fn names<T>(answers: &Answers<T>) -> (Vec<&str>, Vec<&str>) {
    let answered = answers.given.iter().map(|answer| &*answer.up.name);
    (answered.collect(), answers.missing.iter().map(|one| &*one.node_name).collect())
}

#[tokio::test(start_paused = true)]
async fn one_that_refuses_is_missing_and_the_others_answer() {
    let nodes = [connected("a", 1), connected("b", 2), connected("c", 3)];
    let wrong = || Err(Status::invalid_argument("order: there is none"));
    let denied = || Err(Status::permission_denied("nobody here"));
    let pace = Pace::usual(PATIENCE);
    let all = Chosen::default();
    let answers = vec![told(), at_once(wrong()), at_once(denied())];
    let some = asked(&nodes, &all, pace, answers).await.unwrap();
    assert_eq!(names(&some), (vec!["a"], vec!["b", "c"]));
    assert_eq!(some.missing[0].message, "order: there is none");

    // Where all refuse, it is in their words; not where one of them may have answered something else.
    let answers = vec![at_once(wrong()), at_once(wrong()), at_once(wrong())];
    let refused = asked(&nodes, &all, pace, answers).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "order: there is none"));
    let answers = vec![at_once(denied()), at_once(denied()), at_once(denied())];
    assert_eq!(asked(&nodes, &all, pace, answers).await.unwrap_err().code(), Code::PermissionDenied);
    let answers = vec![at_once(denied()), at_once(Err(Status::unavailable("it stops"))), at_once(wrong())];
    assert_eq!(names(&asked(&nodes, &all, pace, answers).await.unwrap()), (vec![], vec!["a", "b", "c"]));
    // Who has nothing of the kind has answered.
    let nothing = || at_once(Err(Status::not_found("no such incident")));
    let none = asked(&nodes, &all, pace, vec![nothing(), nothing(), at_once(denied())]).await.unwrap();
    assert_eq!(names(&none), (vec![], vec!["c"]));
}

#[tokio::test(start_paused = true)]
async fn nodes_that_nobody_has_tried_are_waited_for_together() {
    let nodes: Vec<_> = (1..=100).map(listed).chain([connected("a", 200)]).collect();
    let before = Instant::now();
    let answers = asked(&nodes, &Chosen::default(), Pace::usual(PATIENCE), vec![told()]).await;
    let answers = answers.unwrap();
    assert_eq!((answers.given.len(), answers.missing.len()), (1, 100));
    assert!(before.elapsed() < 2 * PATIENCE, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_name_nobody_knows_may_be_the_one_that_is_asked() {
    let nodes = [listed(1), named(2, "b"), connected("a", 3)];
    let chosen = Chosen::node(Some("a"));
    let answers = asked(&nodes, &chosen, Pace::usual(PATIENCE), vec![told()]).await.unwrap();
    assert_eq!(names(&answers), (vec!["a"], vec!["tls://192.0.2.1:1"]));
}

#[tokio::test(start_paused = true)]
async fn where_one_answer_is_enough_the_silent_are_not_waited_for() {
    let nodes = [connected("a", 1), connected("b", 2), connected("c", 3)];
    let silent = || told_after(Duration::from_mins(5));
    let pace = Pace { patience: 10 * PATIENCE, one_is_enough: true, ..Pace::usual(PATIENCE) };
    let before = Instant::now();
    let answers =
        vec![silent(), told_after(Duration::from_secs(2)), told_after(Duration::from_millis(2_500))];
    let answers = asked(&nodes, &Chosen::default(), pace, answers).await.unwrap();
    // Another one that has it as well is still heard.
    assert_eq!(names(&answers), (vec!["b", "c"], vec!["a"]));
    assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_room_is_said_to_be_missing() {
    let nodes = [connected("a", 1), connected("b", 2), connected("c", 3)];
    let long = |mib: usize| {
        let node_name = "x".repeat(mib << 20);
        at_once(Ok(v1::ListIncidentsResponse { node_name, ..v1::ListIncidentsResponse::default() }))
    };
    let answers = vec![long(40), long(40), long(10)];
    let answers = asked(&nodes, &Chosen::default(), Pace::usual(PATIENCE), answers).await.unwrap();
    assert_eq!((answers.given.len(), answers.missing.len()), (2, 1));
    let message = &answers.missing[0].message;
    assert!(message.contains("--limit") && message.contains("64 MiB of one call"), "{message}");
}

#[test]
fn more_namespaces_than_a_daemon_takes_are_refused_here() {
    let sees = |count: usize| {
        let namespaces = (0..count).map(|number| format!("namespace-{number:05}")).collect();
        Asker::told("dns:ops", &Scope::Namespaces(Arc::new(namespaces)), Room::new())
    };
    let most = sees(450).unwrap();
    assert!(most.request(()).metadata().get_bin(CALLER).unwrap().as_encoded_bytes().len() < 12 << 10);
    let refused = sees(1_000).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("1000 namespaces"), "{}", refused.message());
}
