//! The whole CRI source against a server that is slow to know, silent, or away.

mod ends;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::{ContainerFact, Fact, Folders, Handle, Settings, start};
use super::fake::{Fake, World, container, sandbox};
use super::*;
use crate::status::IdentitySource;

struct Bench {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    world: Arc<Mutex<World>>,
    handle: Handle,
    facts: mpsc::Receiver<Fact>,
}

impl Bench {
    /// Starts the inventory; `serve` decides whether a server is there already.
    fn new(world: World, serve: bool) -> (Self, Option<Fake>) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("cri.sock");
        let world = Arc::new(Mutex::new(world));
        let fake = serve.then(|| Fake::start(&socket, &world));
        let endpoint = format!("unix://{}", socket.display()).parse().unwrap();
        let (sender, facts) = mpsc::channel(64);
        let settings = Settings {
            cri_endpoints: vec![endpoint],
            cri_endpoints_given: false,
            container_folders: Folders::Given(Vec::new()),
            conntrack: false,
            enter_namespaces: false,
            kubernetes: None,
        };
        let handle = start(settings, sender);
        (Self { _directory: directory, socket, world, handle, facts }, fake)
    }

    /// The next fact about containers, pods or sources.
    async fn next(&mut self) -> Fact {
        loop {
            let fact = timeout(Duration::from_secs(20), self.facts.recv()).await.unwrap().unwrap();
            if !matches!(fact, Fact::HostAddresses(_) | Fact::Surveyed) {
                return fact;
            }
        }
    }

    async fn source(&mut self) -> IdentitySource {
        loop {
            if let Fact::Sources(_, sources) = self.next().await {
                return sources.into_iter().next().unwrap();
            }
        }
    }

    async fn container(&mut self, id: &str) -> ContainerFact {
        loop {
            if let Fact::Container(fact) = self.next().await
                && fact.container_id == id
            {
                return fact;
            }
        }
    }

    async fn unknown(&mut self, id: &str) {
        while self.next().await != (Fact::Unknown { container_id: id.into() }) {}
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.lock().unwrap());
    }
}

fn shop() -> World {
    World {
        sandboxes: vec![sandbox("s1", "web", "10.0.0.4")],
        containers: vec![container("c1", "s1", "app", "web:1")],
        ..World::default()
    }
}

#[tokio::test]
async fn the_first_survey_tells_all() {
    let (mut bench, _fake) = Bench::new(shop(), true);
    let source = bench.source().await;
    assert_eq!((source.name, source.healthy, source.message.as_str()), ("cri", true, "fake 1"));
    let pod = bench.container("s1").await;
    assert!(pod.sandbox && pod.pod.ready);
    assert_eq!((pod.pod.namespace.as_str(), pod.pod.name.as_str()), ("shop", "web"));
    assert_eq!(pod.pod.addresses, ["10.0.0.4".parse::<std::net::IpAddr>().unwrap()]);
    let app = bench.container("c1").await;
    assert_eq!((app.name.as_str(), app.image.as_str(), app.attempt), ("app", "web:1", Some(2)));
    assert!(Arc::ptr_eq(&app.pod, &pod.pod));
}

#[tokio::test]
async fn a_new_container_takes_one_call_once_its_pod_is_known() {
    let (mut bench, fake) = Bench::new(shop(), true);
    let fake = fake.unwrap();
    bench.container("c1").await;
    bench.change(|world| {
        world.containers.push(container("c2", "s1", "job", "job:1"));
        world.calls.clear();
    });
    assert!(bench.handle.lookup("c2"));
    assert_eq!(bench.container("c2").await.pod.name, "web");
    assert_eq!((fake.calls("one_container"), fake.calls("pod_sandbox_status")), (1, 0));
}

#[tokio::test]
async fn every_lookup_is_answered() {
    let (mut bench, _fake) = Bench::new(shop(), true);
    bench.container("c1").await;
    for _ in 0..50 {
        bench.handle.lookup("c1");
        bench.handle.lookup("c1");
        bench.container("c1").await;
        bench.container("c1").await;
    }
}

#[tokio::test]
async fn an_image_told_by_id_is_named_once() {
    let (mut bench, fake) = Bench::new(shop(), true);
    bench.container("c1").await;
    let id = format!("sha256:{}", "0".repeat(64));
    bench.change(|world| {
        for name in ["c2", "c3"] {
            world.containers.push(container(name, "s1", "job", &id));
            world.image_names.insert(name.into(), "job:1".into());
        }
    });
    bench.handle.lookup("c2");
    assert_eq!(bench.container("c2").await.image, id);
    assert_eq!(bench.container("c2").await.image, "job:1");
    bench.handle.lookup("c3");
    assert_eq!(bench.container("c3").await.image, "job:1");
    assert_eq!(fake.unwrap().calls("container_status"), 1);
}

#[tokio::test]
async fn a_sandbox_is_asked_for_until_it_is_known() {
    let (mut bench, _fake) = Bench::new(shop(), true);
    bench.container("c1").await;
    bench.handle.lookup("s2");
    tokio::time::sleep(Duration::from_millis(200)).await;
    bench.change(|world| world.sandboxes.push(sandbox("s2", "late", "10.0.0.5")));
    let late = bench.container("s2").await;
    assert!(late.sandbox);
    assert_eq!(late.pod.name, "late");
}

#[tokio::test]
async fn what_is_unknown_is_found_by_a_later_survey() {
    let (mut bench, _fake) = Bench::new(shop(), true);
    bench.container("c1").await;
    bench.handle.lookup("c9");
    bench.unknown("c9").await;
    bench.change(|world| world.containers.push(container("c9", "s1", "late", "late:1")));
    assert_eq!(bench.container("c9").await.name, "late");
}

#[tokio::test]
async fn a_pod_that_goes_is_told_once() {
    let (mut bench, _fake) = Bench::new(shop(), true);
    bench.change(|world| world.sandboxes.push(sandbox("s2", "db", "10.0.0.5")));
    bench.container("s2").await;
    bench.container("c1").await;
    bench.change(|world| {
        world.sandboxes[0].state = 1;
        world.sandboxes.remove(1);
    });
    assert_eq!(bench.next().await, Fact::PodGone { sandbox_id: "s1".into() });
    assert_eq!(bench.next().await, Fact::PodGone { sandbox_id: "s2".into() });
    bench.handle.lookup("c1");
    let app = bench.container("c1").await;
    assert!(!app.pod.ready && app.pod.addresses.is_empty());
    let quiet = timeout(Duration::from_secs(6), bench.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn without_a_runtime_every_answer_is_unknown_at_once_until_one_comes() {
    let (mut bench, _none) = Bench::new(shop(), false);
    let source = bench.source().await;
    assert!(!source.healthy);
    assert!(source.message.starts_with("no CRI socket found at "), "{}", source.message);
    let asked = Instant::now();
    bench.handle.lookup("c1");
    bench.unknown("c1").await;
    assert!(asked.elapsed() < Duration::from_millis(100));
    let _fake = Fake::start(&bench.socket, &bench.world);
    assert!(bench.source().await.healthy);
    assert_eq!(bench.container("c1").await.name, "app");
}

#[tokio::test]
async fn a_runtime_that_never_answers_is_reported_and_its_lookups_end() {
    let (mut bench, _fake) = Bench::new(World { silent: true, ..shop() }, true);
    bench.handle.lookup("c1");
    let source = bench.source().await;
    assert!(!source.healthy);
    assert_eq!(source.message, "Version was not answered within 2 s; new containers show by id");
    bench.unknown("c1").await;
    bench.change(|world| world.silent = false);
    assert!(bench.source().await.healthy);
    bench.container("c1").await;
}

#[tokio::test]
async fn a_runtime_that_goes_silent_holds_up_no_more_than_one_round() {
    let (mut bench, _fake) = Bench::new(shop(), true);
    bench.container("c1").await;
    bench.change(|world| world.silent = true);
    let asked = Instant::now();
    for index in 0..100 {
        bench.handle.lookup(&format!("x{index}"));
    }
    bench.unknown("x99").await;
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_runtime_that_restarts_is_found_again() {
    let (mut bench, fake) = Bench::new(shop(), true);
    bench.container("c1").await;
    drop(fake);
    bench.handle.lookup("c2");
    assert!(!bench.source().await.healthy);
    bench.change(|world| world.containers.push(container("c2", "s1", "job", "job:1")));
    let _fake = Fake::start(&bench.socket, &bench.world);
    // The lookup has waited: nobody was told that this container is unknown.
    loop {
        let fact = bench.next().await;
        assert!(!matches!(fact, Fact::Unknown { .. }), "{fact:?}");
        if matches!(fact, Fact::Container(fact) if fact.container_id == "c2") {
            break;
        }
    }
}

#[tokio::test]
async fn everything_stops_with_the_handle() {
    let (Bench { handle, mut facts, _directory, .. }, _fake) = Bench::new(shop(), true);
    drop(handle);
    while timeout(Duration::from_secs(5), facts.recv()).await.unwrap().is_some() {}
}

#[test]
fn endpoints_are_unix_sockets_with_absolute_paths() {
    let endpoint: CriEndpoint = "unix:///run/x.sock".parse().unwrap();
    assert_eq!(endpoint.socket(), Path::new("/run/x.sock"));
    assert_eq!(endpoint.to_string(), "unix:///run/x.sock");
    for wrong in ["", "/run/x.sock", "unix://", "unix://run/x.sock", "unix:///", "tcp://localhost:1"] {
        let error = wrong.parse::<CriEndpoint>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{wrong}` is no CRI endpoint: expected unix:///absolute/path")
        );
    }
}
