//! Ends of containers, asked for and told by the runtime itself.

use std::collections::VecDeque;

use k8s_cri::v1::{ContainerEventResponse, ContainerEventType, ContainerState, ContainerStatus};
use tonic::Status;

use super::*;
use crate::inventory::{EndFact, EndLookup};

type Event = Result<ContainerEventResponse, Status>;

/// A status with that code; none yet where the container runs.
fn status(id: &str, reason: &str, exit_code: Option<i32>) -> ContainerStatus {
    let state =
        if exit_code.is_some() { ContainerState::ContainerExited } else { ContainerState::ContainerRunning };
    ContainerStatus {
        id: id.into(),
        state: state.into(),
        reason: reason.into(),
        exit_code: exit_code.unwrap_or(0),
        ..ContainerStatus::default()
    }
}

fn event(id: &str, kind: ContainerEventType, statuses: Vec<ContainerStatus>) -> ContainerEventResponse {
    ContainerEventResponse {
        container_id: id.into(),
        container_event_type: kind.into(),
        containers_statuses: statuses,
        ..ContainerEventResponse::default()
    }
}

/// A runtime that shares its events, and the senders of its streams.
fn eventful(streams: usize) -> (World, Vec<mpsc::Sender<Event>>) {
    let (senders, receivers): (Vec<_>, VecDeque<_>) = (0..streams).map(|_| mpsc::channel(16)).unzip();
    (World { poses_as: Some(("containerd", "v2.1.0")), streams: Some(receivers), ..shop() }, senders)
}

impl Bench {
    fn look_up(&self, id: &str, oom_killed: bool) {
        assert!(self.handle.look_up_end(EndLookup { container_id: id.into(), oom_killed }));
    }

    async fn end(&mut self) -> (String, String, i32) {
        loop {
            match self.next().await {
                Fact::Ended(EndFact { container_id, end }) => {
                    return (container_id, end.reason, end.exit_code);
                }
                Fact::NoEnd { container_id } => return (container_id, "nobody knows".into(), -1),
                Fact::Container(_)
                | Fact::Unknown { .. }
                | Fact::PodGone { .. }
                | Fact::HostAddresses(_)
                | Fact::Engine(_)
                | Fact::Cluster(_)
                | Fact::Translation { .. }
                | Fact::Sources(..)
                | Fact::Surveyed => {}
            }
        }
    }
}

fn expected(id: &str, reason: &str, exit_code: i32) -> (String, String, i32) {
    (id.to_owned(), reason.to_owned(), exit_code)
}

#[tokio::test]
async fn an_end_is_asked_for_until_the_runtime_has_heard_of_it() {
    let (mut bench, fake) = Bench::new(shop(), true);
    bench.container("c1").await;
    bench.change(|world| world.statuses.extend([("c1".into(), status("c1", "", None))]));
    bench.look_up("c1", false);
    while fake.as_ref().unwrap().calls("container_status") < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.change(|world| world.statuses.extend([("c1".into(), status("c1", "Error", Some(3)))]));
    assert_eq!(bench.end().await, expected("c1", "Error", 3));
    bench.look_up("c9", false);
    assert_eq!(bench.end().await, expected("c9", "nobody knows", -1));
}

#[tokio::test]
async fn an_oom_kill_is_told_again_when_the_runtime_knows_of_it() {
    let (mut bench, _fake) = Bench::new(shop(), true);
    bench.container("c1").await;
    bench.change(|world| world.statuses.extend([("c1".into(), status("c1", "Error", Some(137)))]));
    bench.look_up("c1", true);
    assert_eq!(bench.end().await, expected("c1", "Error", 137));
    bench.change(|world| world.statuses.extend([("c1".into(), status("c1", "OOMKilled", Some(137)))]));
    assert_eq!(bench.end().await, expected("c1", "OOMKilled", 137));
}

#[tokio::test]
async fn without_a_runtime_nobody_knows_an_end() {
    let (mut bench, _none) = Bench::new(shop(), false);
    assert!(!bench.source().await.healthy);
    bench.look_up("c1", false);
    assert_eq!(bench.end().await, expected("c1", "nobody knows", -1));
}

#[tokio::test]
async fn an_end_that_was_owed_is_told_after_the_runtime_is_back() {
    let (mut bench, fake) = Bench::new(shop(), true);
    bench.container("c1").await;
    drop(fake);
    bench.look_up("c1", false);
    assert_eq!(bench.end().await, expected("c1", "nobody knows", -1));
    bench.change(|world| {
        world.containers[0].state = ContainerState::ContainerExited.into();
        world.statuses.extend([("c1".into(), status("c1", "Error", Some(9)))]);
    });
    let _fake = Fake::start(&bench.socket, &bench.world);
    assert_eq!(bench.end().await, expected("c1", "Error", 9));
}

#[tokio::test]
async fn events_are_followed_and_the_stream_is_asked_for_again_when_it_breaks() {
    let (world, mut streams) = eventful(2);
    let (mut bench, fake) = Bench::new(world, true);
    let fake = fake.unwrap();
    bench.container("c1").await;
    let first = streams.remove(0);
    // With the status in the event, nobody has to be asked.
    let ended = vec![status("c2", "", None), status("c1", "Error", Some(3))];
    first.send(Ok(event("c1", ContainerEventType::ContainerStoppedEvent, ended))).await.unwrap();
    assert_eq!(bench.end().await, expected("c1", "Error", 3));
    assert_eq!(fake.calls("container_status"), 0);
    // A new container is told before any survey, and a sandbox's end at once.
    bench.change(|world| world.containers.push(container("c2", "s1", "job", "job:1")));
    first.send(Ok(event("c2", ContainerEventType::ContainerStartedEvent, Vec::new()))).await.unwrap();
    assert_eq!(bench.container("c2").await.name, "job");
    let surveys = fake.calls("list_containers");
    drop(first);
    // Its end is an end of the stream alone; the next one goes on where it was, with a survey between.
    streams[0].send(Ok(event("s1", ContainerEventType::ContainerStoppedEvent, Vec::new()))).await.unwrap();
    assert_eq!(bench.source().await.message, "containerd v2.1.0");
    assert_eq!(bench.source().await.message, "containerd v2.1.0, whose events are followed");
    assert_eq!(bench.next().await, Fact::PodGone { sandbox_id: "s1".into() });
    assert_eq!(fake.calls("get_container_events"), 2);
    assert!(fake.calls("list_containers") > surveys, "what the gap hid is surveyed");
    assert_eq!(fake.calls("version"), 1, "the connection was kept");
}

async fn is_surveyed(name: &'static str, version: &'static str, calls: u32) {
    let world = World { poses_as: Some((name, version)), ..shop() };
    let (mut bench, fake) = Bench::new(world, true);
    bench.container("c1").await;
    bench.change(|world| world.containers.push(container("c9", "s1", "late", "late:1")));
    assert_eq!(bench.container("c9").await.name, "late");
    assert_eq!(fake.unwrap().calls("get_container_events"), calls, "{name} {version}");
}

#[tokio::test]
async fn a_runtime_without_events_or_with_a_queue_that_clients_share_is_surveyed() {
    tokio::join!(
        is_surveyed("containerd", "1.6.20", 0),
        is_surveyed("containerd", "v1.7.27", 0),
        is_surveyed("cri-o", "1.31.0", 1),
    );
}
