//! Twenty thousand live sockets: none is missing, each byte is counted once, and to read them costs little.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{GetStatusRequest, LossSource, Lost, Status};
use observer_tests::crowd::{established, listed};
use observer_tests::edges::EdgeSum;
use observer_tests::losses::own;
use observer_tests::wait::PATIENCE;
use observer_tests::{Crowd, Daemon, Edges, NetnsPair, eventually, passes};
use tokio::sync::Mutex;

/// One crowd at a time.
static ALONE: Mutex<()> = Mutex::const_new(());
/// The listening port of each crowd.
const PORTS: [u16; 2] = [7101, 7102];
/// Connections of a crowd; each is two sockets.
const CONNECTIONS: u64 = 5000;
/// Connections opened in a second, by each of two.
const RATE: u64 = 2000;
/// What one pass may cost: three times what it may on a machine that does nothing else.
const PASS: Duration = Duration::from_millis(3 * 50);
/// What the daemon may hold.
const MEMORY: u64 = 60 << 20;

async fn status(daemon: &Daemon) -> Result<Status> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_live_sockets_are_all_there_and_cost_little() -> Result<()> {
    let _alone = ALONE.lock().await;
    let pair = NetnsPair::new()?;
    let netns = &pair.left().netns;
    let daemon = Daemon::bare().start().await?;
    let edges = Edges::start(&daemon).await?;
    let idle = passes::median(&passes::measure(&daemon, &edges, 3).await?);

    let mut crowds = Vec::new();
    for port in PORTS {
        crowds.push(Crowd::start(netns, port, CONNECTIONS, RATE)?);
    }
    for crowd in &crowds {
        crowd.opened()?;
    }
    let mut expected = EdgeSum { opened: CONNECTIONS, live: CONNECTIONS, ..EdgeSum::default() };
    for crowd in &crowds {
        edges.reach(crowd.port(), expected).await?;
    }
    let (here, listed) = (established(netns)?, listed(&daemon, &PORTS).await?);
    ensure!([here, listed] == [4 * CONNECTIONS; 2], "ss counts {here}, listed are {listed}");

    let used = passes::measure(&daemon, &edges, 8).await?;
    let pass = passes::median(&used).saturating_sub(idle);
    let (resident, most) = daemon.memory()?;
    println!(
        "a pass over {here} sockets took {pass:?} of processor time; in a second {used:?}, idle {idle:?}"
    );
    println!("{} KiB resident, {} KiB at most", resident >> 10, most >> 10);
    ensure!(pass < PASS, "a pass took {pass:?}");
    ensure!(resident < MEMORY, "{resident} bytes resident");

    for (round, bytes) in [100_u64, 1].into_iter().enumerate() {
        for crowd in &mut crowds {
            crowd.send(bytes)?;
        }
        expected.sent_bytes += CONNECTIONS * bytes;
        expected.received_bytes += CONNECTIONS * bytes;
        for crowd in &crowds {
            edges.reach(crowd.port(), expected).await.with_context(|| format!("round {round}"))?;
        }
    }
    for close in [1000, CONNECTIONS - 1000] {
        for crowd in &mut crowds {
            crowd.close(close)?;
        }
        expected.closed += close;
        expected.live -= close;
        for crowd in &crowds {
            edges.reach(crowd.port(), expected).await?;
        }
    }
    let status = status(&daemon).await?;
    let told = own(&status);
    ensure!(told.is_empty() && edges.lost().is_empty() && edges.lost_events() == 0, "lost: {told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_table_has_no_room_for_is_told_and_counted_all_the_same() -> Result<()> {
    const ROOM: u64 = 1000;
    const CONNECTIONS: u64 = 1500;
    /// Connections of the machine that are older than the daemon may find no room either, and were not opened.
    const OLDER: u64 = 200;
    let _alone = ALONE.lock().await;
    let pair = NetnsPair::new()?;
    let daemon = Daemon::bare().args(["--max-connections", &ROOM.to_string()]).start().await?;
    let edges = Edges::start(&daemon).await?;
    let port = 7111;
    let mut crowd = Crowd::start(&pair.left().netns, port, CONNECTIONS, RATE)?;
    crowd.opened()?;

    let ours = EdgeSum { opened: CONNECTIONS, ..EdgeSum::default() };
    let told = eventually(PATIENCE, "the lost ones to be told", async || {
        let full = Full::read(&daemon).await?;
        let opened = edges.of(port).map(|sum| EdgeSum { live: 0, ..sum }) == [ours; 2];
        let all = opened && full.entries == ROOM && full.lost + ROOM >= 2 * CONNECTIONS;
        Ok(if all { Ok(full) } else { Err((edges.of(port), full)) })
    })
    .await?;
    let there = listed(&daemon, &[port]).await?;
    println!("{there} of {} sockets are listed: {told:?}", 2 * CONNECTIONS);
    ensure!(there <= ROOM && there + told.lost <= told.opened + OLDER, "{there} are listed: {told:?}");

    // Those that end make room for others, which are not lost a second time.
    crowd.close(CONNECTIONS / 10)?;
    let left = CONNECTIONS - CONNECTIONS / 10;
    eventually(PATIENCE, "the table to be full again", async || {
        let full = Full::read(&daemon).await?;
        let closed = edges.of(port).map(|sum| sum.closed) == [CONNECTIONS / 10; 2];
        Ok(if closed && full.entries == ROOM { Ok(()) } else { Err((edges.of(port), full)) })
    })
    .await?;
    crowd.send(50)?;
    crowd.close(left)?;
    let bytes = left * 50;
    edges
        .reach(port, EdgeSum { closed: CONNECTIONS, sent_bytes: bytes, received_bytes: bytes, ..ours })
        .await?;
    let again = Full::read(&daemon).await?;
    ensure!(again.lost <= again.opened + OLDER, "{told:?}, later {again:?}");
    ensure!(edges.lost_events() == 0, "{} events lost", edges.lost_events());
    Ok(())
}

/// A full table of connections. The machine's other connections are in it, too.
#[derive(Debug)]
struct Full {
    entries: u64,
    /// What found no room.
    lost: u64,
    /// Connections of the whole machine that were opened or accepted.
    opened: u64,
}

impl Full {
    /// Any other loss is an error.
    async fn read(daemon: &Daemon) -> Result<Self> {
        let status = status(daemon).await?;
        let of_table = |loss: &Lost| loss.source() == LossSource::Table && loss.kind == "connections";
        let lost = own(&status);
        ensure!(lost.iter().all(|loss| of_table(loss)), "{lost:?}");
        let table = status.tables.iter().find(|table| table.name == "connections").context("no table")?;
        let opened =
            status.events.iter().filter(|event| matches!(&*event.r#type, "tcp_connect" | "tcp_accept"));
        Ok(Self {
            entries: table.entries,
            lost: lost.iter().map(|loss| loss.count).sum(),
            opened: opened.map(|event| event.count).sum(),
        })
    }
}
