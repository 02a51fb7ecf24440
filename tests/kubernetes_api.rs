//! The Kubernetes API's protocol: pages, versions that are resumed or have expired, and all that breaks.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use observer_proto::v1::{Endpoint, EventType, IdentitySource};
use observer_tests::kubernetes::{Asked, Fault, MOST_MEMORY, RESOURCES, node, objects, pod, status};
use observer_tests::wait::PATIENCE;
use observer_tests::watch::{tcp, to_port};
use observer_tests::{Daemon, KubernetesApi, NetnsPair, Watch, eventually};

const FAR_NODE: &str = "node-far";
/// 599 pods, the one that is knocked at, and the daemon's node.
const CROWD: u64 = 601;
/// A daemon that asks an API, and an address to knock at.
struct Bench {
    api: KubernetesApi,
    daemon: Daemon,
    watch: Watch,
    pair: NetnsPair,
    port: u16,
}

impl Bench {
    async fn open(api: KubernetesApi, port: u16) -> Result<Self> {
        let daemon = Daemon::bare().args(api.daemon_args()).start().await?;
        let watch = Watch::of(&daemon, EventType::TcpConnectFailure).await?;
        Ok(Self { api, daemon, watch, pair: NetnsPair::new()?, port })
    }

    fn address(&self) -> IpAddr {
        self.pair.right().ip.into()
    }

    /// Makes this pod of another node the one that has the address.
    fn give_address(&self, name: &str) -> Result<()> {
        self.api.put(&pod("far", name, FAR_NODE, &[self.address()], None)).map(|_uid| ())
    }

    /// Knocks, where nobody listens, and gives whom the event says that this was.
    async fn knock(&self) -> Result<Endpoint> {
        let to = SocketAddr::from((self.pair.right().ip, self.port));
        let before = self.watch.count(|event| to_port(event, self.port));
        let refused = self.pair.left().netns.run(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)))?;
        ensure!(refused.is_err(), "somebody listens at {to}");
        self.watch.wait_count("knocks", before + 1, |event| to_port(event, self.port)).await?;
        let events = self.watch.events(|event| to_port(event, self.port));
        let last = events.last().and_then(tcp).context("no event")?;
        last.destination.clone().context("no destination")
    }

    /// Waits until the address is that pod's.
    async fn is_known_as(&self, name: &str) -> Result<()> {
        eventually(PATIENCE, &format!("{name} to be known"), async || {
            let end = self.knock().await?;
            let known = end.workload.as_ref().is_some_and(|workload| workload.pod == name);
            Ok(if known { Ok(()) } else { Err(end) })
        })
        .await
    }

    async fn source(&self) -> Result<Option<IdentitySource>> {
        let sources = status(&self.daemon).await?.identity_sources;
        Ok(sources.into_iter().find(|source| source.name == "kubernetes"))
    }

    /// Waits until the source's health is as wanted, with such a message.
    async fn is_healthy(&self, healthy: bool, words: &str) -> Result<()> {
        eventually(PATIENCE, &format!("the source to say `{words}`"), async || {
            let source = self.source().await?;
            let fits = |source: &IdentitySource| source.healthy == healthy && source.message.contains(words);
            Ok(if source.as_ref().is_some_and(fits) { Ok(()) } else { Err(source) })
        })
        .await
    }

    fn lists(&self) -> usize {
        self.api.asked().iter().filter(|asked| asked.is_list()).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_go_on_where_they_broke_off() -> Result<()> {
    let bench = Bench::open(KubernetesApi::start().await?, 8201).await?;
    bench.give_address("resume-a")?;
    bench.is_known_as("resume-a").await?;
    bench.api.all_watched().await?;
    ensure!(bench.lists() == RESOURCES, "{:#?}", bench.api.asked());

    // While nothing is connected, another pod gets the address.
    bench.api.fault(Fault::Break);
    bench.api.delete::<Pod>("far", "resume-a")?;
    bench.give_address("resume-b")?;
    bench.is_known_as("resume-b").await?;
    bench.api.all_watched().await?;

    // A bookmark tells how far it is known, though nothing has happened to any of the resources but one.
    bench.api.put(&node("node-new", "192.0.2.77".parse()?))?;
    bench.api.fault(Fault::Bookmark);
    let asked = bench.api.asked().len();
    let newest = |asked: &Asked| asked.get("resourceVersion").parse::<u64>().unwrap_or(0);
    eventually(PATIENCE, "all to go on from the bookmark", async || {
        // The bookmark has to be read before the end is.
        bench.api.fault(Fault::Bookmark);
        bench.api.fault(Fault::End);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let since = bench.api.asked().split_off(asked);
        let paths: Vec<u64> = since.iter().filter(|asked| asked.is_watch()).map(newest).collect();
        let most = paths.iter().copied().max().unwrap_or(0);
        let there = paths.iter().filter(|version| **version == most && most > 0).count();
        Ok(if there >= RESOURCES { Ok(()) } else { Err(paths) })
    })
    .await?;
    bench.api.all_watched().await?;
    ensure!(bench.lists() == RESOURCES, "listed again: {:#?}", bench.api.asked());
    ensure!(objects(&bench.daemon).await? == 3, "a pod and two nodes");
    bench.is_healthy(true, "are followed").await
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_versions_are_listed_again() -> Result<()> {
    let mut bench = Bench::open(KubernetesApi::start().await?, 8202).await?;
    bench.give_address("expire-a")?;
    for number in 0..600 {
        let address = IpAddr::from([10, 250, (number / 250) as u8, (number % 250) as u8]);
        bench.api.put(&pod("far", &format!("crowd-{number}"), FAR_NODE, &[address], None))?;
    }
    bench.is_known_as("expire-a").await?;
    bench.api.all_watched().await?;

    // By a status: what happened while the API was away is forgotten.
    bench.api.stop().await;
    bench.api.delete::<Pod>("far", "expire-a")?;
    bench.api.delete::<Pod>("far", "crowd-7")?;
    bench.give_address("expire-b")?;
    bench.api.compact();
    bench.api.come_back().await?;
    bench.is_known_as("expire-b").await?;
    bench.api.all_watched().await?;
    eventually(PATIENCE, "everything to be known once", async || {
        let known = objects(&bench.daemon).await?;
        Ok(if known == CROWD { Ok(()) } else { Err(known) })
    })
    .await?;
    let asked = bench.api.asked();
    let gone = asked.iter().filter(|asked| asked.is_watch() && asked.status == 410).count();
    ensure!(gone >= RESOURCES && bench.lists() >= 2 * RESOURCES, "{asked:#?}");
    ensure!(asked.iter().any(|asked| !asked.get("continue").is_empty()), "no second page: {asked:#?}");
    ensure!(asked.iter().all(|asked| asked.is_watch() || !asked.get("limit").is_empty()), "{asked:#?}");

    // By an event within the watch.
    let lists = bench.lists();
    bench.api.fault(Fault::Expire);
    bench.api.delete::<Pod>("far", "expire-b")?;
    bench.give_address("expire-c")?;
    bench.is_known_as("expire-c").await?;
    bench.api.all_watched().await?;
    ensure!(bench.lists() == lists + RESOURCES, "{} lists, then {}", lists, bench.lists());
    ensure!(objects(&bench.daemon).await? == CROWD, "lost or doubled");
    bench.is_healthy(true, "are followed").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_away_leaves_what_was_known() -> Result<()> {
    let mut bench = Bench::open(KubernetesApi::start().await?, 8203).await?;
    bench.give_address("away-a")?;
    bench.is_known_as("away-a").await?;
    bench.api.all_watched().await?;
    bench.is_healthy(true, "are followed").await?;

    bench.api.stop().await;
    bench.is_healthy(false, "stale since ").await?;
    let end = bench.knock().await?;
    ensure!(end.workload.as_ref().is_some_and(|workload| workload.pod == "away-a"), "{end:?}");
    ensure!(end.node_name == FAR_NODE, "{end:?}");

    bench.api.come_back().await?;
    bench.is_healthy(true, "are followed").await?;
    bench.api.all_watched().await?;
    ensure!(bench.lists() == RESOURCES, "listed again: {:#?}", bench.api.asked());

    // An API that says no is no better.
    bench.api.refuse(Some(503));
    bench.api.fault(Fault::End);
    bench.is_healthy(false, "503: the test says so").await?;
    let end = bench.knock().await?;
    ensure!(end.workload.as_ref().is_some_and(|workload| workload.pod == "away-a"), "{end:?}");
    bench.api.refuse(None);
    bench.is_healthy(true, "are followed").await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_tokens_are_taken_from_the_kubeconfig_as_it_is_now() -> Result<()> {
    let bench = Bench::open(KubernetesApi::start_secure().await?, 8205).await?;
    bench.give_address("secure-a")?;
    bench.is_known_as("secure-a").await?;
    bench.api.all_watched().await?;

    // The former token is no good any more.
    bench.api.new_token()?;
    bench.api.fault(Fault::Break);
    bench.give_address("secure-b")?;
    bench.is_known_as("secure-b").await?;
    bench.is_healthy(true, "are followed").await?;
    let refused = bench.api.asked().iter().filter(|asked| asked.status == 401).count();
    ensure!(refused > 0 && bench.lists() >= RESOURCES, "{:#?}", bench.api.asked());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_and_silence_do_no_harm() -> Result<()> {
    let mut api = KubernetesApi::start().await?;
    api.keep_silent(true);
    let bench = Bench::open(KubernetesApi::start().await?, 8204).await?;
    let silent = Daemon::bare().args(api.daemon_args()).start().await?;
    bench.give_address("harm-a")?;
    bench.is_known_as("harm-a").await?;

    for (text, name) in [
        ("this is no JSON\n".to_owned(), "harm-b"),
        ("{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"uid\":7}}}\n".to_owned(), "harm-c"),
        ("{\"type\":\"NEVER\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}\n".to_owned(), "harm-d"),
        // A pod that is none: it is left out, and the others are not.
        (
            "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"uid\":\"x\",\"resourceVersion\":\"1\"},\"spec\":[]}}\n"
                .to_owned(),
            "harm-e",
        ),
        // A line without an end.
        ("x".repeat(8 << 20), "harm-f"),
    ] {
        bench.api.all_watched().await?;
        bench.api.fault(Fault::Raw(text));
        bench.give_address(name)?;
        bench.is_known_as(name).await?;
    }
    let (now, most) = bench.daemon.memory()?;
    println!("after nonsense: {} KiB resident, {} KiB at most", now >> 10, most >> 10);
    // Five resources may each have the beginning of a line in memory.
    ensure!(most < MOST_MEMORY, "{now} bytes resident, {most} at most");

    // One that never answered is asked again as soon as its connections end.
    ensure!(status(&silent).await?.uptime_ns > 0, "the silent one's daemon does not answer");
    api.keep_silent(false);
    api.stop().await;
    api.come_back().await?;
    api.all_watched().await
}
