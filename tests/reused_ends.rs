//! Ends that are used again: the same addresses and ports right after a close, and an address that another pod gets.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType, Filter};
use observer_tests::owners::is_pod;
use observer_tests::wait::{PATIENCE, eventually, eventually_blocking};
use observer_tests::watch::{ends, tcp, to_port};
use observer_tests::{Daemon, NetnsPair, Packets, Pod, Testbed, Watch, client};
use rustix::net::{AddressFamily, SocketType, bind, connect, ipproto, socket, sockopt};

/// The same client's port each time.
const OWN_PORT: u16 = 40_400;
const PORT: u16 = 8111;
const ROUNDS: usize = 30;

/// A connection from a port of one's own choice, which may just have been used.
fn dial(from: SocketAddr, to: SocketAddr) -> Result<TcpStream> {
    eventually_blocking(PATIENCE, "the ends to be free", || {
        let dialled = || -> rustix::io::Result<TcpStream> {
            let fd = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP))?;
            sockopt::set_socket_reuseaddr(&fd, true)?;
            bind(&fd, &from)?;
            connect(&fd, &to)?;
            Ok(TcpStream::from(fd))
        };
        Ok(dialled())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_with_the_same_ends_are_told_apart() -> Result<()> {
    let daemon = Daemon::bare().start().await?;
    let ours = Filter { ports: vec![u32::from(PORT)], ..Filter::default() };
    let watch = Watch::filtered(&daemon, vec![ours], Vec::new()).await?;
    let pair = NetnsPair::new()?;
    let (from, to) =
        (SocketAddr::from((pair.left().ip, OWN_PORT)), SocketAddr::from((pair.right().ip, PORT)));
    let listener = pair.right().netns.run(|| Ok(TcpListener::bind(to)?))?;
    let netns = pair.left().netns.clone();
    let talk = tokio::task::spawn_blocking(move || -> Result<()> {
        for round in 1..=ROUNDS {
            let mut asking = netns.run(|| dial(from, to))?;
            let mut asked = listener.accept()?.0;
            asking.write_all(&vec![b'q'; round])?;
            let mut read = vec![0; round];
            asked.read_exact(&mut read)?;
            match round % 3 {
                // By a reset: nothing is left of it.
                0 => sockopt::set_socket_linger(&asking, Some(Duration::ZERO))?,
                // The server closes first, and its end stays in TIME_WAIT until the next SYN takes it.
                1 | 2 => {
                    asked.shutdown(Shutdown::Write)?;
                    ensure!(asking.read(&mut [0])? == 0, "something came");
                }
                _ => {}
            }
            drop(asking);
            drop(asked);
        }
        Ok(())
    });
    talk.await??;
    // Attempts while the ends were still in use are told as well, each as a failure.
    let kinds = [EventType::TcpConnect, EventType::TcpAccept, EventType::TcpClose];
    let ours = |event: &Event| to_port(event, PORT) && kinds.contains(&event.r#type());
    watch.wait_count("all events", 4 * ROUNDS, ours).await?;
    watch.settle(ours).await?;
    ensure!(watch.lost().is_empty(), "{:?}", watch.lost());
    let events = watch.events(ours);
    ensure!(events.len() == 4 * ROUNDS, "{} events", events.len());
    let same = (from.to_string(), to.to_string());
    for outgoing in [true, false] {
        let side = |event: &&Event| tcp(event).is_some_and(|tcp| tcp.outgoing == outgoing);
        let mut opened = Vec::new();
        let mut closed = Vec::new();
        for event in events.iter().filter(side) {
            let tcp = tcp(event).context("no tcp")?;
            ensure!(ends(tcp) == same, "{event:?}");
            match &event.detail {
                Some(Detail::TcpConnect(_) | Detail::TcpAccept(_)) => opened.push(tcp.connection_id.clone()),
                Some(Detail::TcpClose(close)) => {
                    let counters = close.counters.context("no counters")?;
                    closed.push((tcp.connection_id.clone(), counters.sent_bytes + counters.received_bytes));
                }
                _ => anyhow::bail!("{event:?}"),
            }
        }
        let distinct: BTreeSet<&String> = opened.iter().collect();
        ensure!(distinct.len() == ROUNDS, "{opened:?}");
        // Each closes as the connection that it was opened as, with its own bytes.
        closed.sort_unstable_by_key(|(_, bytes)| *bytes);
        let expected: Vec<(String, u64)> = opened.into_iter().zip(1..).collect();
        ensure!(closed == expected, "{closed:?} instead of {expected:?}");
    }
    let left = client::json(daemon.socket(), ["connections", "--port", &PORT.to_string()]).await?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

/// Has the next pod get the lowest address that is free.
fn begin_addresses_anew(testbed: &Testbed) -> Result<()> {
    let dir = testbed.dir().join("addresses").join(testbed.network().bridge());
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("last_reserved_ip") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

async fn hold(pod: &Pod, to: &str) -> Result<()> {
    pod.container("hold", ["workload", "connect", "--to", to, "--bytes", "10", "--hold", "600"])
        .start()
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_names_the_pod_that_had_it_when_the_connection_was_made() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let ours = Filter { namespaces: vec!["reused".to_owned()], ..Filter::default() };
    let watch = Watch::filtered(&daemon, vec![ours], Vec::new()).await?;
    let former = testbed.pod("reused", "former").run().await?;
    let server = testbed.pod("reused", "server").run().await?;
    let serve = server.container("serve", ["workload", "serve", "--port", "8080"]);
    let serve = serve.start_until("listening").await?;
    let (address, to) = (former.ip()?, format!("{}:8080", server.ip()?));
    let of_server = |event: &Event| event.workload.as_ref().is_some_and(|own| own.pod == server.name());
    let accepted = |event: &Event| of_server(event) && event.r#type() == EventType::TcpAccept;
    let closed = |event: &Event| of_server(event) && event.r#type() == EventType::TcpClose;
    hold(&former, &to).await?;
    watch.wait_count("the former pod's connection", 1, accepted).await?;

    // What is not acknowledged would be sent again, later and later, and hold the end up.
    eventually(PATIENCE, "all to be acknowledged", async || {
        let text = server.netns().output("ss", ["-Htin", "state", "established", "sport", "=", ":8080"])?;
        let unacknowledged = text.split_whitespace().nth(1) != Some("0");
        Ok(if text.contains("bytes_sent:10 ") && !unacknowledged { Ok(()) } else { Err(text) })
    })
    .await?;
    // Its end is not heard of: the server's side stays.
    let former_name = former.name().to_owned();
    let loss = server.lose(100, &Packets::tcp())?;
    former.remove().await?;
    begin_addresses_anew(testbed)?;
    let latter = testbed.pod("reused", "latter").run().await?;
    ensure!(latter.ip()? == address, "{} instead of {address}", latter.ip()?);
    drop(loss);
    hold(&latter, &to).await?;
    watch.wait_count("the latter pod's connection", 2, accepted).await?;
    let lines = eventually(PATIENCE, "both", async || {
        let lines = client::json(daemon.socket(), ["connections", "--pod", server.name()]).await?;
        let lines: Vec<_> =
            lines.into_iter().filter(|line| line["workload"]["pod"] == server.name()).collect();
        Ok(if lines.len() == 2 { Ok(lines) } else { Err(lines) })
    })
    .await?;
    let mut peers: Vec<_> =
        lines.iter().map(|line| line["tcp"]["source"]["workload"]["pod"].clone()).collect();
    peers.sort_unstable_by_key(|peer| peer != former_name.as_str());
    ensure!(peers == [former_name.as_str(), latter.name()], "{lines:#?}");

    serve.stop(Duration::ZERO).await?;
    watch.wait_count("both closes", 2, closed).await?;
    watch.settle(closed).await?;
    for kind in [EventType::TcpAccept, EventType::TcpClose] {
        let events = watch.events(|event| of_server(event) && event.r#type() == kind);
        ensure!(events.len() == 2, "{events:#?}");
        let peer = |event: &Event| tcp(event).and_then(|tcp| tcp.source.as_ref()?.workload.clone());
        let of_former = events.iter().filter_map(peer).filter(|peer| peer.pod == former_name).count();
        let of_latter =
            events.iter().filter_map(peer).filter(|peer| is_pod(Some(peer), &latter).is_ok()).count();
        ensure!((of_former, of_latter) == (1, 1), "{events:#?}");
    }
    latter.remove().await?;
    server.remove().await
}
