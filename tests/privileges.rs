//! Proves docs/privileges.md, which it reads: the daemon does everything with the documented capabilities, keeps what is
//! said there and nothing else, and says of each one that is left out what is missing then, and nothing more.

#[path = "privileges/documented.rs"]
mod documented;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use documented::{Row, documented, has_only, names};
use observer_tests::client::{self, observer};
use observer_tests::daemon::{DaemonBuilder, only};
use observer_tests::events::{arguments, detail, is, is_of, nothing_lost, watch};
use observer_tests::guardian::Guardian;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, Testbed, eventually, workload};
use serde_json::Value;

/// Nobody's, and not root.
const SOMEBODY: u32 = 65_534;

/// A daemon with the documented capabilities but one.
fn without(rows: &[Row], left_out: &str) -> DaemonBuilder {
    Daemon::bare().capabilities(names(rows, |row| row.capability != left_out))
}

async fn status(daemon: &Daemon) -> Result<Value> {
    client::json(daemon.socket(), ["status"]).await?.pop().context("no status")
}

/// What is missing, by name.
fn missing(answer: &Value) -> Result<BTreeMap<String, Value>> {
    let all = answer["capabilities"].as_array().context("no capabilities")?;
    let missing = all.iter().filter(|one| client::is_missing(one));
    let missing: Option<_> =
        missing.map(|one| Some((one["name"].as_str()?.to_owned(), one.clone()))).collect();
    missing.context("a capability without a name")
}

/// What the doctor says with these capabilities.
fn doctor(names: &[&str]) -> Result<Value> {
    let words = only(names.iter().copied());
    let (program, rest) = words.split_first().context("no program")?;
    let output = Command::new(program).args(rest).arg(observer()?).args(["doctor", "-o", "json"]).output()?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_capabilities_are_enough() -> Result<()> {
    let rows = documented()?;
    let all = names(&rows, |_| true);
    ensure!(all.len() >= 5 && !all.contains(&"CAP_SYS_ADMIN"), "{all:?}");
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).arg("--dns").capabilities(all.clone()).start().await?;
    let (answer, doctor) = (status(&daemon).await?, doctor(&all)?);
    ensure!(missing(&answer)?.is_empty() && missing(&doctor)?.is_empty(), "{answer:#}\n{doctor:#}");
    ensure!(doctor["sound"] == true, "{doctor}");
    let told: BTreeSet<&str> = answer["capabilities"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["name"].as_str())
        .collect();
    ensure!(rows.iter().flat_map(|row| &row.told_by).all(|name| told.contains(name)), "{told:?}");

    let lines = watch(&daemon, ["-n", "privileges"]).await?;
    let server = testbed.pod("privileges", "server").run().await?;
    let serve = server.container("serve", ["workload", "serve", "--port", "8080"]);
    let serve = serve.start_until("listening").await?;
    let client = testbed.pod("privileges", "client").run().await?;
    let to = format!("{}:8080", server.ip()?);
    let connect = client.container("connect", ["workload", "connect", "--to", &to, "--bytes", "1000"]);
    connect.start().await?.wait().await?;
    serve.exec(["true"]).await?;
    for (event_type, pod, container) in [
        ("container_start", &server, "serve"),
        ("process_exec", &server, "serve"),
        ("container_start", &client, "connect"),
        ("tcp_connect", &client, "connect"),
        ("tcp_accept", &server, "serve"),
        ("tcp_close", &client, "connect"),
        ("process_exit", &client, "connect"),
        ("container_stop", &client, "connect"),
    ] {
        let is_it = |line: &Value| is_of(line, event_type, pod.name(), container);
        lines.wait_for(&format!("{event_type} of {container}"), PATIENCE, is_it).await?;
    }
    let entered = |line: &Value| is(line, "process_exec") && arguments(line) == ["true"];
    let exec = lines.wait_for("the exec from outside", PATIENCE, entered).await?;
    ensure!(exec["event"]["workload"]["container"] == "serve", "{exec}");
    let connect = lines.wait_for("the connection", PATIENCE, |line| is(line, "tcp_connect")).await?;
    ensure!(detail(&connect)["tcp"]["destination"]["workload"]["pod"] == server.name(), "{connect}");
    nothing_lost(&lines)?;

    has_only(&daemon, &names(&rows, |row| row.kept), &all)?;
    server.remove().await?;
    client.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn root_keeps_no_more_than_is_documented() -> Result<()> {
    let rows = documented()?;
    let kept = names(&rows, |row| row.kept);
    let daemon = Daemon::bare().start().await?;
    has_only(&daemon, &kept, &[])?;
    // The one for connection tracking, which may have been needed for loading.
    let rest: Vec<&str> = kept.iter().copied().filter(|name| *name != "CAP_NET_ADMIN").collect();
    let daemon = Daemon::bare().args(["--no-conntrack", "--dns"]).start().await?;
    has_only(&daemon, &rest, &[])?;
    let answer = status(&daemon).await?;
    ensure!(missing(&answer)?.is_empty(), "{answer:#}");
    ensure!(!answer.to_string().contains("service_backends"), "{answer:#}");
    // Only who asks for it keeps the one that opens everything.
    let daemon = Daemon::bare().arg("--enter-namespaces").start().await?;
    let more = [&kept[..], &["CAP_SYS_ADMIN"]].concat();
    has_only(&daemon, &more, &[])?;
    ensure!(missing(&status(&daemon).await?)?.is_empty());
    let asked = names(&rows, |_| true);
    let daemon = Daemon::bare().arg("--enter-namespaces").capabilities(asked).start().await?;
    let missing = missing(&status(&daemon).await?)?;
    ensure!(missing.keys().eq(["other_namespaces"]), "{missing:#?}");
    Ok(())
}

/// Gives the folder of the daemon's socket, which is among its arguments, to somebody, and becomes what follows.
const AS_SOMEBODY: &str = "for word in \"$@\"; do case $word in unix://*) socket=${word#unix://}; chown 65534 ${socket%/*};; esac; done
    exec \"$@\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_privileges_will_do_with_them_as_ambient_ones() -> Result<()> {
    let rows = documented()?;
    let all = names(&rows, |_| true);
    let words = all.iter().map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    let words = words.collect::<Vec<_>>().concat();
    let sets = ["bounding-set", "inh-caps", "ambient-caps"].map(|set| format!("--{set}=-all{words}"));
    let user = [format!("--reuid={SOMEBODY}"), format!("--regid={SOMEBODY}"), "--clear-groups".to_owned()];
    let shell = ["sh", "-c", AS_SOMEBODY, "sh", "setpriv"].map(str::to_owned);
    let launcher = shell.into_iter().chain(user).chain(sets);
    let mut daemon =
        Daemon::bare().args(["--dns", "--cri-endpoint", "none"]).through(launcher).start().await?;
    let answer = status(&daemon).await?;
    ensure!(missing(&answer)?.is_empty(), "{answer:#}");
    has_only(&daemon, &names(&rows, |row| row.kept), &all)?;
    // It removes its socket, as the folder is its user's.
    ensure!(daemon.stop().await?.success() && !daemon.socket().exists(), "{}", daemon.stderr());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_one_that_is_left_out_is_missed_as_documented() -> Result<()> {
    let rows = documented()?;
    for row in &rows {
        let of_doctor = doctor(&names(&rows, |other| other.capability != row.capability))?;
        if row.told_by.is_empty() {
            let mut daemon = without(&rows, row.capability).spawn()?;
            let ended = daemon.wait().await?;
            let said = daemon.stderr();
            ensure!(ended.code() == Some(1) && said.lines().count() == 1, "{ended}: {said}");
            ensure!(said.contains(&format!("this process lacks {};", row.capability)), "{said}");
            let missing = missing(&of_doctor)?;
            let privileges = missing.get("privileges").context("it is not missed")?;
            let text = |field: &str| privileges[field].as_str().unwrap_or_default().to_owned();
            ensure!(text("reason").ends_with(row.capability), "{privileges}");
            ensure!(text("consequence") == row.without, "{privileges}");
            ensure!(of_doctor["sound"] == false, "{of_doctor}");
            continue;
        }
        let daemon = without(&rows, row.capability).arg("--dns").start().await?;
        for answer in [status(&daemon).await?, of_doctor] {
            let missing = missing(&answer)?;
            let expected: BTreeSet<&str> = row.told_by.iter().copied().collect();
            ensure!(
                missing.keys().map(String::as_str).eq(expected),
                "without {}: {missing:#?}",
                row.capability
            );
            for one in missing.values() {
                let text = |field: &str| one[field].as_str().unwrap_or_default();
                ensure!(text("reason").ends_with(&format!("this process lacks {}", row.capability)), "{one}");
                ensure!(
                    !text("consequence").is_empty() && row.without.contains(text("consequence")),
                    "{one}"
                );
                ensure!(text("remedy") == format!("grant it {}", row.capability), "{one}");
            }
        }
        let kept = names(&rows, |other| other.kept && other.capability != row.capability);
        has_only(&daemon, &kept, &names(&rows, |other| other.capability != row.capability))?;
    }
    Ok(())
}

/// The path of the program of a process that is older than the daemon, as the daemon tells it.
async fn older_path(builder: DaemonBuilder, port: u16) -> Result<Value> {
    let serve = workload::on_host(["serve", "--port", &port.to_string()])?;
    serve.wait_for("it to listen", PATIENCE, |line| line.get("listening").is_some()).await?;
    let daemon = builder.start().await?;
    let lines = watch(&daemon, ["-t", "tcp_accept"]).await?;
    let to = format!("127.0.0.1:{port}");
    workload::on_host(["connect", "--to", &to, "--bytes", "10"])?.output().await?;
    let is_it = |line: &Value| detail(line)["tcp"]["destination"]["port"] == port;
    let accept = lines.wait_for("the connection", PATIENCE, is_it).await?;
    let process = &accept["event"]["process"];
    ensure!(process["pid"] == serve.pid() && process["comm"] == "workload", "{accept}");
    Ok(process["binary"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_older_processes_need_cap_sys_ptrace() -> Result<()> {
    let rows = documented()?;
    let path = older_path(without(&rows, ""), 7941).await?;
    ensure!(path.as_str().is_some_and(|path| path.ends_with("/workload")), "{path}");
    let path = older_path(without(&rows, "CAP_SYS_PTRACE"), 7942).await?;
    ensure!(path.is_null(), "{path}");
    Ok(())
}

/// What the source of that name says.
async fn source(daemon: &Daemon, name: &str) -> Result<Value> {
    let status = status(daemon).await?;
    let sources = status["identity_sources"].as_array().context("no sources")?;
    Ok(sources.iter().find(|source| source["name"] == name).cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_others_need_cap_dac_read_search() -> Result<()> {
    let rows = documented()?;
    let folder = Guardian::shared()?.scratch("engine")?;
    for name in ["containers", "image"] {
        fs::create_dir(folder.join(name))?;
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    chown(&folder, Some(SOMEBODY), Some(SOMEBODY))?;
    for (left_out, name, healthy) in [("", "docker", true), ("CAP_DAC_READ_SEARCH", "engines", false)] {
        let daemon = without(&rows, left_out).arg("--container-folder").arg(&folder).start().await?;
        eventually(PATIENCE, "the folder to be looked at", async || {
            let found = source(&daemon, name).await?;
            let as_expected = found["healthy"].as_bool().unwrap_or(false) == healthy && !found.is_null();
            Ok(if as_expected { Ok(()) } else { Err(found) })
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_connection_tracking_needs_cap_net_admin() -> Result<()> {
    let rows = documented()?;
    let pair = NetnsPair::new()?;
    let (left, right) = (pair.left(), pair.right());
    let serve = workload::in_netns(&right.netns, ["serve", "--port", "80"])?;
    serve.wait_for("it to listen", PATIENCE, |line| line.get("listening").is_some()).await?;
    let to = format!("{}:80", right.ip);
    for (left_out, healthy) in [("", true), ("CAP_NET_ADMIN", false)] {
        let daemon = without(&rows, left_out).start().await?;
        let lines = watch(&daemon, ["-t", "tcp_connect", "--ip", &right.ip.to_string()]).await?;
        workload::in_netns(&left.netns, ["connect", "--to", &to, "--bytes", "10"])?.output().await?;
        lines.wait_for("the connection", PATIENCE, |line| is(line, "tcp_connect")).await?;
        eventually(PATIENCE, "the source's health", async || {
            let found = source(&daemon, "conntrack").await?;
            let told = found["message"].as_str().unwrap_or_default();
            let permitted = !told.contains("Operation not permitted");
            let as_expected = found["healthy"].as_bool().unwrap_or(false) == healthy && permitted == healthy;
            Ok(if as_expected { Ok(()) } else { Err(found) })
        })
        .await?;
    }
    Ok(())
}
