//! The daemon's bounds: memory keeps below its setting under any load, and all tables are documented.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{GetStatusRequest, LossSource, Status};
use observer_tests::crowd::listed;
use observer_tests::edges::EdgeSum;
use observer_tests::losses::own;
use observer_tests::wait::PATIENCE;
use observer_tests::{Crowd, Daemon, Edges, NetnsPair, eventually};
use tokio::sync::Mutex;

/// One load at a time: a daemon sees all of the machine.
static ALONE: Mutex<()> = Mutex::const_new(());
/// The listening port of each crowd.
const PORTS: [u16; 3] = [7401, 7402, 7403];
/// Connections of a crowd; each is two sockets.
const CONNECTIONS: u64 = 5000;
const RATE: u64 = 2000;
/// Far less than that many need.
const MOST: u64 = 48 << 20;

async fn status(daemon: &Daemon) -> Result<Status> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_below_its_bound_and_totals_exact() -> Result<()> {
    let _alone = ALONE.lock().await;
    let pair = NetnsPair::new()?;
    let netns = &pair.left().netns;
    let daemon = Daemon::bare().args(["--max-memory", "48MiB"]).start().await?;
    ensure!(status(&daemon).await?.most_resident_bytes == MOST);
    // What the start took is no load.
    fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5")?;
    let edges = Edges::start(&daemon).await?;
    let mut crowds = Vec::new();
    for port in PORTS {
        crowds.push(Crowd::start(netns, port, CONNECTIONS, RATE)?);
    }
    for crowd in &mut crowds {
        crowd.opened()?;
    }
    let opened = EdgeSum { opened: CONNECTIONS, ..EdgeSum::default() };
    for port in PORTS {
        eventually(PATIENCE, "all to be counted", async || {
            let told = edges.of(port).map(|sum| EdgeSum { live: 0, ..sum });
            Ok(if told == [opened; 2] { Ok(()) } else { Err(told) })
        })
        .await?;
    }
    let full = status(&daemon).await?;
    let losses: Vec<_> = own(&full).into_iter().map(|loss| (loss.source(), loss.kind.as_str())).collect();
    ensure!(losses.contains(&(LossSource::Table, "connections")), "{losses:?}");
    ensure!(losses.iter().all(|(source, _)| *source == LossSource::Table), "{losses:?}");
    let there = listed(&daemon, &PORTS).await?;
    for crowd in &mut crowds {
        crowd.send(100)?;
        crowd.close(CONNECTIONS)?;
    }
    let bytes = CONNECTIONS * 100;
    let closed = EdgeSum { closed: CONNECTIONS, sent_bytes: bytes, received_bytes: bytes, ..opened };
    for port in PORTS {
        edges.reach(port, closed).await?;
    }
    // What else the machine does may find no room for an edge of its own.
    let told = status(&daemon).await?.losses;
    let of_others = told.iter().any(|loss| loss.source() == LossSource::Table && loss.kind != "connections");
    ensure!(edges.lost_events() == 0 || of_others, "{} events lost: {told:?}", edges.lost_events());
    let (now, most) = daemon.memory()?;
    println!(
        "{there} of {} sockets listed; {} KiB at most, {} KiB now",
        6 * CONNECTIONS,
        most >> 10,
        now >> 10
    );
    ensure!(there > 0 && there < 6 * CONNECTIONS, "{there} are listed");
    ensure!(most <= MOST, "{most} bytes");

    // Later ones find room.
    drop(crowds);
    let port = 7404;
    let later = Crowd::start(netns, port, 100, RATE)?;
    later.opened()?;
    eventually(PATIENCE, "later ones to be listed", async || {
        let listed = listed(&daemon, &[port]).await?;
        Ok(if listed == 200 { Ok(()) } else { Err(listed) })
    })
    .await
}

/// How many bytes of events are in memory.
async fn remembered(daemon: &Daemon) -> Result<u64> {
    let tables = status(daemon).await?.tables;
    Ok(tables.iter().find(|table| table.name == "history_bytes").context("no such table")?.entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_give_way_before_tables_stop() -> Result<()> {
    const MOST: u64 = 72 << 20;
    /// More than may stay beside that many sockets.
    const REMEMBERED: u64 = 14 << 20;
    const PASSING: u64 = 2000;
    const STAYING: u64 = 9000;
    let _alone = ALONE.lock().await;
    let pair = NetnsPair::new()?;
    let netns = &pair.left().netns;
    let daemon = Daemon::bare().args(["--max-memory", "72MiB"]).start().await?;
    fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5")?;
    // Connections that come and go leave nothing but their events.
    let before = eventually(PATIENCE, "enough events", async || {
        let mut crowd = Crowd::start(netns, 7411, PASSING, RATE)?;
        crowd.opened()?;
        crowd.close(PASSING)?;
        let bytes = remembered(&daemon).await?;
        Ok(if bytes > REMEMBERED { Ok(bytes) } else { Err(bytes) })
    })
    .await?;
    let ports = [7412, 7413];
    let mut crowds = Vec::new();
    for port in ports {
        crowds.push(Crowd::start(netns, port, STAYING, RATE)?);
    }
    for crowd in &crowds {
        crowd.opened()?;
    }
    eventually(PATIENCE, "all to be listed", async || {
        let there = listed(&daemon, &ports).await?;
        Ok(if there == 4 * STAYING { Ok(()) } else { Err(there) })
    })
    .await?;
    let told = status(&daemon).await?;
    ensure!(own(&told).is_empty(), "{:?}", told.losses);
    let (after, (now, most)) = (remembered(&daemon).await?, daemon.memory()?);
    println!(
        "{} KiB of events, then {}; {} KiB at most, {} now",
        before >> 10,
        after >> 10,
        most >> 10,
        now >> 10
    );
    ensure!(after < before && after > 3 << 20, "{before} bytes of events, then {after}");
    ensure!(most <= MOST, "{most} bytes");
    Ok(())
}

/// The names in the first column of a section's table.
fn documented(text: &str, section: &str) -> Result<BTreeSet<String>> {
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).context("no such section")?;
    let rows = rest.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    Ok(cells.flat_map(|cell| cell.split(',')).map(|name| name.trim().trim_matches('`').to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_the_status_are_those_of_the_documentation() -> Result<()> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md"))?;
    let daemon = Daemon::bare().arg("--dns").start().await?;
    let status = status(&daemon).await?;
    let told: BTreeSet<String> = status.tables.iter().map(|table| table.name.clone()).collect();
    ensure!(told == documented(&text, "Tables")?, "the status has {told:#?}");
    ensure!(status.tables.iter().all(|table| table.capacity > 0), "{:#?}", status.tables);
    let told: BTreeSet<String> = status.kernel_maps.iter().map(|map| map.name.clone()).collect();
    ensure!(told == documented(&text, "Maps in the kernel")?, "the status has {told:#?}");
    let sum: u64 = status.kernel_maps.iter().map(|map| map.bytes).sum();
    ensure!(status.kernel_bytes > sum && sum > 20 << 20, "{} bytes, maps of {sum}", status.kernel_bytes);
    Ok(())
}
