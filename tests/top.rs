//! `observer top` on a real terminal: from workloads down to events and back, through a restart of the daemon, and the
//! terminal is given back however it ends.

use std::path::Path;

use anyhow::{Result, ensure};
use observer_tests::client::{command, run};
use observer_tests::{Container, Daemon, Pod, Terminal, Testbed};
use rustix::process::Signal;

const ESC: &str = "\x1b";
const DOWN: &str = "\x1b[B";

/// A server, a client of it, and a container that asks where nobody listens.
struct Shop {
    daemon: Daemon,
    server: Pod,
    client: Pod,
    _running: Vec<Container>,
}

impl Shop {
    async fn open(namespace: &str) -> Result<Self> {
        let testbed = Testbed::shared().await?;
        let daemon = Daemon::on(testbed).start().await?;
        let server = testbed.pod(namespace, "server").run().await?;
        let serve = ["workload", "serve", "--port", "8080"];
        let mut running = vec![server.container("serve", serve).start_until("listening").await?];
        let client = testbed.pod(namespace, "client").run().await?;
        let (open, closed) = (format!("{}:8080", server.ip()?), format!("{}:8081", server.ip()?));
        let kinds: [(&str, &str, &[&str]); 3] = [
            ("ask", &open, &["--count", "1000000", "--interval-ms", "50", "--bytes", "1000"]),
            ("hold", &open, &["--hold", "1000"]),
            ("fail", &closed, &["--count", "1000000", "--interval-ms", "100"]),
        ];
        for (name, to, more) in kinds {
            let argv = ["workload", "connect", "--to", to].into_iter().chain(more.iter().copied());
            running.push(client.container(name, argv).start().await?);
        }
        Ok(Self { daemon, server, client, _running: running })
    }

    fn name(&self, container: &str) -> String {
        format!("{}/{}/{container}", self.client.namespace(), self.client.name())
    }

    fn top(&self, size: (u16, u16), more: &[&str]) -> Result<Terminal> {
        top(self.daemon.socket(), size, [&["-n", self.client.namespace()], more].concat())
    }

    async fn close(self) -> Result<()> {
        self.server.remove().await?;
        self.client.remove().await
    }
}

fn top(socket: &Path, size: (u16, u16), more: Vec<&str>) -> Result<Terminal> {
    Terminal::spawn(&command(socket, ["top", "--interval", "1s"].into_iter().chain(more))?, size)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_workloads_down_to_events_and_back() -> Result<()> {
    let shop = Shop::open("top").await?;
    let mut top = shop.top((80, 24), &[])?;
    let (ask, hold, fail) = (shop.name("ask"), shop.name("hold"), shop.name("fail"));
    let all = [&ask, &hold, &fail];
    let screen = top.shows("all workloads", |screen| all.iter().all(|name| screen.contains(*name))).await?;
    ensure!(top.taken()?, "{screen}");
    ensure!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    // The one that fails comes first, with how often, and below the table why.
    let screen = top.shows("the failures", |screen| screen.contains("refused: -> ")).await?;
    let first = screen.lines().nth(4).unwrap_or_default();
    ensure!(first.starts_with("! ") && first.contains(&fail), "{screen}");
    ensure!(top.coloured(), "{screen}");

    top.press("/hold")?;
    let typed = |screen: &str| screen.contains("1 of ") && screen.contains("/hold_");
    let screen = top.shows("one workload", typed).await?;
    ensure!(screen.contains(&hold) && !screen.contains(&ask), "{screen}");
    top.press("\r")?;
    top.shows("what was searched for", |screen| screen.contains("with \"hold\"")).await?;
    top.press("\r")?;
    let server = format!("-> {}/{}:8080", shop.server.namespace(), shop.server.name());
    let title = format!("{hold}, worst first");
    let screen = top.shows("its connection", |screen| screen.contains("1 CONNECTION ")).await?;
    ensure!(screen.contains(&title), "{screen}");
    // With the edge and the connection the peer is there at least twice.
    let screen = top.shows("its edge", |screen| screen.contains("1 EDGE ")).await?;
    ensure!(screen.matches("-> top/server").count() >= 2 && screen.contains(":8080"), "{screen}");

    top.press(DOWN)?;
    top.shows("the connection in full", |screen| screen.contains(&format!("{server}  "))).await?;
    top.press("\r")?;
    let screen = top.shows("its first event", |screen| screen.contains(" tcp_connect (")).await?;
    ensure!(screen.contains("Events of ") && screen.contains("1 EVENT "), "{screen}");
    top.press(ESC)?;
    top.shows("the connection again", |screen| screen.contains(&title)).await?;
    top.press(ESC)?;
    top.shows("the search again", |screen| screen.contains("1 of ")).await?;
    top.press(ESC)?;
    top.shows("all again", |screen| all.iter().all(|name| screen.contains(*name))).await?;

    top.press("?")?;
    top.shows("help", |screen| screen.contains("any key goes back")).await?;
    top.press("x")?;
    top.shows("no help", |screen| !screen.contains("any key goes back")).await?;
    top.press("s")?;
    top.shows("another order", |screen| screen.contains("Workloads, by restarts")).await?;
    top.press("\t")?;
    top.shows("edges", |screen| screen.contains("Edges, worst first") && screen.contains(" refused "))
        .await?;
    top.resize(120, 40)?;
    let wide = |screen: &str| {
        let lines: Vec<&str> = screen.lines().collect();
        lines.len() == 40 && lines[39].contains("q quit") && screen.contains("HS-P99")
    };
    let screen = top.shows("40 rows of 120 columns", wide).await?;
    ensure!(screen.lines().any(|line| line.chars().count() > 100), "{screen}");
    top.press("q")?;
    ensure!(top.wait().await?.code() == Some(0), "{}", top.text());
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_the_screen_stays_and_events_come_when_it_goes_on() -> Result<()> {
    let shop = Shop::open("top-pause").await?;
    let mut top = shop.top((80, 24), &["--color", "never"])?;
    let ask = shop.name("ask");
    top.shows("the workload", |screen| screen.contains(&ask)).await?;
    top.press("/ask\r")?;
    top.shows("it alone", |screen| screen.contains("with \"ask\"")).await?;
    top.press("e")?;
    let screen = top.shows("its events", |screen| screen.contains(" tcp_close (")).await?;
    ensure!(screen.contains(&format!("Events of {ask}")) && !top.coloured(), "{screen}");
    top.shows("a window", |screen| screen.contains("observer top [")).await?;
    top.press("p")?;
    top.shows("a pause", |screen| screen.contains("PAUSED")).await?;
    // A screen comes in pieces: it is whole once there is no other one for a while.
    let mut paused = top.text();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let now = top.text();
        let same = |screen: &str| screen.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        if same(&now) == same(&paused) {
            break;
        }
        paused = now;
    }
    let later = top.shows("what waits", |screen| screen.contains(" new)")).await?;
    let rest = |screen: &str| screen.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    ensure!(rest(&paused) == rest(&later), "{paused}\n{later}");
    top.press(" ")?;
    top.shows("what is new", |screen| !screen.contains("PAUSED") && rest(screen) != rest(&paused)).await?;
    top.signal(Signal::TERM)?;
    ensure!(top.wait().await?.code() == Some(0), "{}", top.text());
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_comes_back_is_found_and_the_view_stays() -> Result<()> {
    let mut shop = Shop::open("top-restart").await?;
    let mut top = shop.top((80, 24), &[])?;
    let hold = shop.name("hold");
    top.shows("the workload", |screen| screen.contains(&hold)).await?;
    top.press("/hold\r")?;
    top.shows("it alone", |screen| screen.contains("with \"hold\"")).await?;
    top.press("\r")?;
    top.shows("its connection", |screen| screen.contains("1 CONNECTION ")).await?;
    shop.daemon.kill().await?;
    let waiting = "the connection to the daemon broke; waiting 60 s at most for it to come back";
    let away = ["RECONNECTING", waiting, "1 CONNECTION "];
    top.shows("that it is away", |screen| away.iter().all(|words| screen.contains(words))).await?;
    let testbed = Testbed::shared().await?;
    let listen = format!("unix://{}", shop.daemon.socket().display());
    let second = Daemon::on(testbed).arg("--listen").arg(listen).start().await?;
    top.shows("that it was started anew", |screen| screen.contains("the daemon was started anew at "))
        .await?;
    // The new one knows the connection as one that is older.
    let old = |screen: &str| {
        !screen.contains("RECONNECTING") && screen.contains("1 CONNECTION ") && screen.contains(" >")
    };
    top.shows("the connection again", old).await?;
    top.signal(Signal::HUP)?;
    ensure!(top.wait().await?.code() == Some(0), "{}", top.text());
    drop(second);
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_given_back_however_it_ends() -> Result<()> {
    let daemon = Daemon::bare().args(["--cri-endpoint", "none"]).start().await?;
    for signal in [None, Some(Signal::INT), Some(Signal::TERM), Some(Signal::HUP)] {
        let mut top = top(daemon.socket(), (80, 24), Vec::new())?;
        top.shows("a window", |screen| screen.contains("observer top [")).await?;
        ensure!(top.taken()?);
        match signal {
            Some(signal) => top.signal(signal)?,
            None => top.press("\x03")?,
        }
        ensure!(top.wait().await?.code() == Some(0), "{signal:?}: {}", top.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_it_is_told_on_the_terminal_as_it_was() -> Result<()> {
    let mut daemon = Daemon::bare().args(["--cri-endpoint", "none"]).start().await?;
    let mut top = top(daemon.socket(), (80, 24), vec!["--reconnect", "0s"])?;
    top.shows("a window", |screen| screen.contains("observer top [")).await?;
    ensure!(top.taken()?);
    daemon.kill().await?;
    ensure!(top.wait().await?.code() == Some(1), "{}", top.text());
    let screen = top
        .shows("what ended it", |screen| screen.contains("observer: watching summaries at unix://"))
        .await?;
    ensure!(!screen.contains("WORKLOADS"), "{screen}");

    let output = run(daemon.socket(), ["top"]).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(2) && output.stdout.is_empty(), "{output:?}");
    ensure!(said.contains("top needs a terminal") && said.contains("observer summary -f"), "{said}");
    Ok(())
}
