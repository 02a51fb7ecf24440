//! Proves the client's commands against a real daemon with real pods: what they show, in which form, and to whom.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use observer_tests::client::{self, command, observer, run};
use observer_tests::events::{is, is_of, watch};
use observer_tests::guardian::Guardian;
use observer_tests::wait::PATIENCE;
use observer_tests::{Container, Daemon, Pod, Testbed};
use serde_json::{Value, json};

/// A server and a client that keeps one connection open.
struct Shop {
    daemon: Daemon,
    server: Pod,
    client: Pod,
    holder: Container,
}

impl Shop {
    async fn open(namespace: &str) -> Result<Self> {
        let testbed = Testbed::shared().await?;
        // However late the runtime says its word, an event is not told without it and then again with it.
        let daemon = Daemon::on(testbed).args(["--attribution-hold", "10s"]).start().await?;
        let lines = watch(&daemon, ["-n", namespace]).await?;
        let server = testbed.pod(namespace, "server").label("app", "server").run().await?;
        let argv = ["workload", "serve", "--port", "8080"];
        server.container("serve", argv).start_until("listening").await?;
        let client = testbed.pod(namespace, "client").run().await?;
        let to = format!("{}:8080", server.ip()?);
        let argv = ["workload", "connect", "--to", &to, "--hold", "1000"];
        let holder = client.container("hold", argv).start().await?;
        client.container("fail", ["workload", "exit", "3"]).start().await?.wait().await?;
        lines
            .wait_for("a failure", PATIENCE, |line| is_of(line, "container_stop", client.name(), "fail"))
            .await?;
        lines.wait_for("a connect", PATIENCE, |line| is(line, "tcp_connect")).await?;
        lines.wait_for("an accept", PATIENCE, |line| is(line, "tcp_accept")).await?;
        Ok(Self { daemon, server, client, holder })
    }

    async fn events(&self, args: &[&str]) -> Result<Vec<Value>> {
        let all = ["events", "--last", "5000"].into_iter().chain(args.iter().copied());
        let lines = client::json(self.daemon.socket(), all).await?;
        Ok(lines.into_iter().filter(|line| line.get("event").is_some()).collect())
    }

    async fn text(&self, args: &[&str]) -> Result<String> {
        let output = run(self.daemon.socket(), args.iter().copied()).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{args:?}: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn close(self) -> Result<()> {
        self.server.remove().await?;
        self.client.remove().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_selected_by_flags() -> Result<()> {
    let shop = Shop::open("cli-events").await?;
    let (server, client) = (format!("/{}", shop.server.name()), format!("/{}", shop.client.name()));
    let own = ["-n", "cli-events"];
    let all = shop.events(&own).await?;
    ensure!(all.len() >= 8 && all.iter().all(|line| line.to_string().contains("cli-events")), "{all:#?}");

    let both = shop.events(&["--from-pod", &client, "--to-pod", &server]).await?;
    let kinds = ["tcp_connect", "tcp_accept"];
    ensure!(both.len() == 2 && kinds.iter().all(|kind| both.iter().any(|line| is(line, kind))), "{both:#?}");
    ensure!(shop.events(&["--from-pod", &server, "--to-pod", &client]).await?.is_empty());

    let failures = shop.events(&["-n", "cli-events", "--failure-only", "-t", "process_exit"]).await?;
    ensure!(failures.len() == 1 && failures[0]["event"]["process_exit"]["code"] == 3, "{failures:#?}");

    let ip = shop.server.ip()?.to_string();
    let by_address = shop.events(&["--ip", &ip, "--port", "8080", "-t", "tcp_connect"]).await?;
    ensure!(by_address.len() == 1 && is(&by_address[0], "tcp_connect"), "{by_address:#?}");

    let id = &shop.holder.id()[..12];
    let by_id = shop.events(&["--container", id]).await?;
    ensure!(!by_id.is_empty(), "nothing of {id}");
    ensure!(by_id.iter().all(|line| line["event"]["workload"]["container"] == "hold"), "{by_id:#?}");

    let rest = shop.events(&["-n", "cli-events", "--not", "--container", "hold"]).await?;
    ensure!(
        !rest.is_empty() && rest.iter().all(|line| line["event"]["workload"]["container"] != "hold"),
        "{rest:#?}"
    );

    let two = client::json(shop.daemon.socket(), ["events", "--last", "2", "-n", "cli-events"]).await?;
    let two: Vec<&Value> = two.iter().filter(|line| line.get("event").is_some()).collect();
    ensure!(two.len() == 2 && two[1]["event"] == all.last().context("none")?["event"], "{two:#?}");

    let text = shop.text(&["events", "-n", "cli-events", "-t", "tcp_connect"]).await?;
    ensure!(text.lines().count() == 1 && text.contains(shop.server.name()), "{text}");
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_listed_and_summed_up() -> Result<()> {
    let shop = Shop::open("cli-state").await?;
    let socket = shop.daemon.socket();
    let connections = client::json(socket, ["connections", "-n", "cli-state"]).await?;
    ensure!(connections.len() == 2, "{connections:#?}");
    ensure!(connections.iter().all(|one| one["tcp"]["destination"]["port"] == 8080), "{connections:#?}");
    ensure!(shop.text(&["connections", "-n", "cli-state"]).await?.contains(shop.server.name()));

    let workloads = client::json(socket, ["workloads", "-n", "cli-state"]).await?;
    let hold = workloads.iter().find(|one| one["workload"]["container"] == "hold").context("not listed")?;
    ensure!(hold["live_connections"] == 1 && hold["connections_opened"] == 1, "{hold}");
    ensure!(hold["workload"]["container_id"] == shop.holder.id(), "{hold}");
    ensure!(shop.text(&["workloads", "-n", "cli-state"]).await?.contains(shop.client.name()));

    let status = client::json(socket, ["status"]).await?;
    ensure!(status.len() == 1 && status[0]["kernel_release"] != "", "{status:?}");
    ensure!(shop.text(&["status"]).await?.contains("Capabilities"));

    let verdicts = ["explain", "-n", "cli-state", "--fields", "edge.port,diagnosis.verdict"];
    let verdicts = client::json(socket, verdicts).await?;
    let is_whole = |one: &Value| {
        one["edge"] == json!({"port": 8080})
            && one["diagnosis"]["verdict"].is_string()
            && one.get("tcp").is_none()
    };
    ensure!(!verdicts.is_empty() && verdicts.iter().all(is_whole), "{verdicts:#?}");
    let text = shop.text(&["explain", "-n", "cli-state", "--fields", "port,workload"]).await?;
    ensure!(text.contains("\n8080  cli-state/"), "{text}");
    let text =
        shop.text(&["events", "-n", "cli-state", "-t", "tcp_connect", "--fields", "type,sequence"]).await?;
    ensure!(
        text.lines().count() == 2 && text.starts_with("TYPE") && text.contains("\ntcp_connect "),
        "{text}"
    );
    let events = shop.events(&["-n", "cli-state", "--fields", "workload.pod"]).await?;
    let pods =
        [shop.server.name(), shop.client.name()].map(|pod| json!({"event": {"workload": {"pod": pod}}}));
    ensure!(events.len() >= 8 && events.iter().all(|event| pods.contains(event)), "{events:#?}");

    let follow = shop.daemon.follow(["summary", "-f", "--window", "1s", "-n", "cli-state"])?;
    let is_live = |line: &Value| {
        let summary = &line["summary"];
        summary["workload"]["pod"] == shop.client.name() && summary["tcp"]["live"] == 1
    };
    let summary = follow.wait_for("the client's summary", PATIENCE, is_live).await?;
    ensure!(summary["summary"]["window_ns"] == 1_000_000_000, "{summary}");
    follow.wait_for("the window's end", PATIENCE, |line| line.get("window_end").is_some()).await?;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn output_to_a_pipe_is_plain_and_may_be_cut() -> Result<()> {
    let shop = Shop::open("cli-pipe").await?;
    for name in ["events", "connections", "workloads", "status", "summary"] {
        let mut command = command(shop.daemon.socket(), [name])?;
        let output = command.env("NO_COLOR", "1").output()?;
        ensure!(output.status.success() && !output.stdout.contains(&0x1b), "{name}: {output:?}");
        let output = run(shop.daemon.socket(), [name]).await?;
        ensure!(!output.stdout.contains(&0x1b), "{name} writes escapes into a pipe");
    }
    ensure!(shop.text(&["events", "--color", "always"]).await?.contains('\u{1b}'));

    // The reader is gone before the first line is written.
    let mut cut = command(shop.daemon.socket(), ["events", "--last", "5000", "-o", "json"])?;
    let mut child = cut.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    ensure!(output.status.code() == Some(0) && output.stderr.is_empty(), "{output:?}");
    shop.close().await
}

#[test]
fn doctor_needs_no_daemon() -> Result<()> {
    let output = Command::new(observer()?).args(["doctor", "-o", "json"]).output()?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    let doctor: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(doctor["sound"] == true, "{doctor}");
    let text = Command::new(observer()?).arg("doctor").output()?;
    ensure!(text.status.code() == Some(0) && !text.stdout.contains(&0x1b), "{text:?}");
    Ok(())
}

#[test]
fn help_names_the_flags() -> Result<()> {
    let selection =
        ["--namespace", "--pod", "--container", "--workload", "--service", "--ip", "--port", "--not"];
    let client = ["--server", "--context", "--tls-ca", "--timeout", "--output", "--color"];
    let daemon = ["--config", "--listen", "--cri-endpoint", "--disabled-hooks", "--process-ring-bytes"];
    let cases: [(&str, &[&str]); 9] = [
        ("daemon", &daemon),
        ("top", &[&selection[..], &["--server", "--timeout", "--color", "--interval"]].concat()),
        ("events", &[&selection[..], &client, &["--follow", "--last", "--type"]].concat()),
        ("summary", &[&selection[..], &client, &["--window", "--sort"]].concat()),
        ("connections", &[&selection[..], &client, &["--limit"]].concat()),
        ("workloads", &[&selection[..], &client].concat()),
        ("status", &client),
        ("doctor", &["--output", "--color"]),
        ("follow", &[&selection[..], &client, &["--interval"]].concat()),
    ];
    for (name, flags) in cases {
        let output = Command::new(observer()?).args([name, "--help"]).output()?;
        let text = String::from_utf8(output.stdout)?;
        let missing: Vec<_> = flags.iter().filter(|flag| !text.contains(**flag)).collect();
        ensure!(output.status.success() && missing.is_empty(), "{name}: {missing:?} not in {text}");
    }
    Ok(())
}

#[test]
fn contexts_are_listed_chosen_and_asked_without_a_daemon() -> Result<()> {
    const TEXT: &str = "# Mine.\ncontext = \"a\" # the usual one\noutput = \"json\"\n\n[contexts.a]\n\
                        server = \"unix:///nowhere/a.sock\"\n[contexts.b]\nserver = \"unix:///nowhere/b.sock\"\n";
    let folder = Guardian::shared()?.scratch("config")?;
    let file = folder.join("observer/observer.toml");
    fs::create_dir_all(folder.join("observer"))?;
    fs::write(&file, TEXT)?;
    let run = |args: &[&str], env: &[(&str, &str)]| -> Result<(i32, String, String)> {
        let mut command = Command::new(observer()?);
        for name in ["OBSERVER_SERVER", "OBSERVER_CONTEXT", "OBSERVER_CLIENT_CONFIG"] {
            command.env_remove(name);
        }
        let output = command.args(args).env("XDG_CONFIG_HOME", &folder).envs(env.iter().copied()).output()?;
        let [said, told] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        Ok((output.status.code().context("killed")?, said, told))
    };
    let (code, said, _) = run(&["context", "list", "-o", "compact"], &[])?;
    ensure!(code == 0 && said.lines().count() == 3, "{said}");
    ensure!(said.contains("*        a     unix:///nowhere/a.sock"), "{said}");
    // The file's own format, where no flag says another one.
    let (_, said, _) = run(&["context", "list"], &[])?;
    let first: Value = serde_json::from_str(said.lines().next().context("nothing")?)?;
    ensure!(first["name"] == "a" && first["current"] == true, "{said}");

    let asked = |args: &[&str], env: &[(&str, &str)]| -> Result<String> {
        let (code, _, told) = run(&[&["status"], args].concat(), env)?;
        ensure!(code == 1 && told.contains("cannot reach the observer daemon at "), "{code}: {told}");
        Ok(told)
    };
    ensure!(asked(&[], &[])?.contains("/nowhere/a.sock"));
    ensure!(asked(&[], &[("OBSERVER_CONTEXT", "b")])?.contains("/nowhere/b.sock"));
    ensure!(asked(&[], &[("OBSERVER_SERVER", "unix:///nowhere/c.sock")])?.contains("/nowhere/c.sock"));
    let env = [("OBSERVER_SERVER", "unix:///nowhere/c.sock"), ("OBSERVER_CONTEXT", "a")];
    ensure!(asked(&["--context", "b"], &env)?.contains("/nowhere/b.sock"));
    ensure!(asked(&["--server", "unix:///nowhere/d.sock"], &env)?.contains("/nowhere/d.sock"));

    let (code, said, told) = run(&["context", "use", "b"], &[])?;
    ensure!(code == 0 && said == "`b` is the current context\n" && told.is_empty(), "{said}{told}");
    ensure!(fs::read_to_string(&file)? == TEXT.replacen("\"a\" #", "\"b\" #", 1));
    ensure!(asked(&[], &[])?.contains("/nowhere/b.sock"));
    let (_, said, _) = run(&["context", "show", "-o", "compact"], &[])?;
    ensure!(said == "context: b\nserver: unix:///nowhere/b.sock\ntimeout: 5 s\n", "{said}");

    let (code, _, told) = run(&["context", "use", "x"], &[])?;
    ensure!(code == 2 && told.contains("no context `x`\nThere are a, b."), "{told}");
    fs::write(&file, "\n[contexts.a]\nsever = \"x\"\n")?;
    let (code, _, told) = run(&["status"], &[])?;
    let expected =
        format!("observer: {}:3: unknown key `contexts.a.sever`\nAllowed are server, ", file.display());
    ensure!(code == 2 && told.starts_with(&expected), "{told}");
    let (code, _, told) = run(&["status", "--client-config", "/nowhere/o.toml"], &[])?;
    ensure!(code == 2 && told.contains("cannot read the client's configuration /nowhere/o.toml"), "{told}");
    Ok(())
}
