//! Incidents outlive their daemon, and are there for whom they concern and for nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use observer_tests::guardian::Guardian;
use observer_tests::story::{Line, tells};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, client, eventually};
use serde_json::Value;

fn id(incident: &Value) -> &str {
    incident["id"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_outlives_its_daemon() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let folder = tempfile::tempdir()?;
    let records = folder.path().join("records").display().to_string();
    let start = async || Daemon::on(testbed).args(["--record-dir", &records]).start().await;
    let mut daemon = start().await?;
    let pod = testbed.pod("outlives", "job").run().await?;
    pod.container("app", ["workload", "exit", "3"]).start().await?;
    let is_of =
        |one: &Value| one["title"].as_str().is_some_and(|title| title.contains("failed with exit code 3"));
    let list = async |daemon: &Daemon| {
        let name = format!("outlives/{}", pod.name());
        client::json(daemon.socket(), ["incident", "list", "--pod", &name]).await
    };
    let incident = eventually(PATIENCE, "the incident", async || {
        let listed = list(&daemon).await?;
        Ok(listed.iter().find(|one| is_of(one)).cloned().ok_or(listed))
    })
    .await?;
    let by_hand =
        client::json(daemon.socket(), ["incident", "open", "-n", "outlives", "--note", "look"]).await?;
    ensure!(by_hand[0]["note"] == "look" && by_hand[0]["client"] == "uid:0", "{by_hand:?}");
    let commits = async || {
        let status = client::json(daemon.socket(), ["status"]).await?.remove(0);
        anyhow::Ok(status["recorder"]["commits"].as_u64().unwrap_or(0))
    };
    let before = commits().await?;
    eventually(PATIENCE, "all of it to be recorded", async || {
        // Each second something happens somewhere, if only this.
        let now = commits().await?;
        Ok(if now >= before + 2 { Ok(()) } else { Err(now) })
    })
    .await?;
    daemon.kill().await?;
    let daemon = start().await?;
    let listed = eventually(PATIENCE, "what is stored", async || {
        let listed = list(&daemon).await?;
        Ok(if listed.len() == 2 { Ok(listed) } else { Err(listed) })
    })
    .await?;
    for one in &listed {
        ensure!(one["state"] == "INCIDENT_STATE_CLOSED", "{one}");
        ensure!(one["incomplete"].as_str().is_some_and(|why| why.contains("the daemon ended")), "{one}");
    }
    let shown = client::json(daemon.socket(), ["incident", "show", id(&incident)]).await?.remove(0);
    let timeline = shown["timeline"].as_array().cloned().unwrap_or_default();
    let own = format!("container app of outlives/{}", pod.name());
    tells(
        &timeline,
        &[
            Line("CONTEXT", &[&own, "was started"]),
            Line("FAILURE", &[&own, "failed with exit 3"]),
            Line("GAP", &["is not recorded", "killed"]),
        ],
    )?;
    for one in &listed {
        client::run(daemon.socket(), ["incident", "delete", id(one)]).await?;
    }
    ensure!(list(&daemon).await?.is_empty(), "they are still there");
    let shown = client::run(daemon.socket(), ["incident", "show", id(&incident)]).await?;
    ensure!(String::from_utf8_lossy(&shown.stderr).contains("there is no incident"), "{shown:?}");
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_see_one_namespace_sees_what_of_an_incident_is_of_it() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let folder = tempfile::tempdir()?;
    let rules = "[[allow]]\nuids = [64021]\nnamespaces = [\"seen\"]\n";
    let access = folder.path().join("access.toml");
    fs::write(&access, rules)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let socket = folder.path().join("observer.sock");
    let daemon = Daemon::on(testbed)
        .args(["--listen".to_owned(), format!("unix://{}", socket.display())])
        .args(["--access-file".to_owned(), access.display().to_string()])
        .args(["--trigger-start-up", "0s"])
        .start()
        .await?;
    let program = folder.path().join("observer");
    fs::copy(client::observer()?, &program)?;
    let ask = |uid: u32, args: &[&str]| -> Result<Output> {
        let mut command = Command::new(&program);
        Guardian::shared()?.mark(&mut command).args(args).uid(uid).gid(uid).current_dir("/");
        Ok(command.arg("--server").arg(format!("unix://{}", socket.display())).output()?)
    };
    let hidden = testbed.pod("hidden", "secretdb").run().await?;
    let seen = testbed.pod("seen", "web").run().await?;
    let to = format!("{}:8080", hidden.ip()?);
    // Nobody listens there.
    let argv = ["workload", "connect", "--to", &to, "--count", "100000", "--interval-ms", "100"];
    seen.container("app", argv).start().await?;
    let incident = eventually(2 * PATIENCE, "the incident", async || {
        let listed = client::json(daemon.socket(), ["incident", "list", "--pod", "seen/"]).await?;
        let fails = |one: &&Value| {
            one["title"].as_str().is_some_and(|title| title.contains("connects fail (refused)"))
        };
        Ok(listed.iter().find(fails).cloned().ok_or(listed))
    })
    .await?;
    ensure!(incident["title"].as_str().is_some_and(|title| title.contains(hidden.name())), "{incident}");
    let id = id(&incident);
    for args in [&["incident", "list", "-o", "json"][..], &["incident", "show", id, "-o", "json"]] {
        let output = ask(64021, args)?;
        let told = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success() && told.contains(&format!("seen/{}: connects fail", seen.name())),
            "{told}"
        );
        ensure!(!told.contains("hidden") && !told.contains("secretdb"), "{args:?}: {told}");
    }
    // It may not end or take away what is all of theirs; and nobody else may do anything.
    for args in [&["incident", "close", id][..], &["incident", "delete", id]] {
        let words = String::from_utf8(ask(64021, args)?.stderr)?;
        ensure!(words.contains("may see the whole node"), "{args:?}: {words}");
        let words = String::from_utf8(ask(64022, args)?.stderr)?;
        ensure!(words.contains("uid:64022 may see nothing here"), "{args:?}: {words}");
    }
    let output = ask(64021, &["incident", "open", "--note", "all of it"])?;
    ensure!(!output.status.success(), "{output:?}");
    let output = ask(64021, &["incident", "open", "-n", "seen", "-n", "hidden", "-o", "json"])?;
    let opened: Value = serde_json::from_slice(&output.stdout)?;
    let names = opened["workloads"].as_array().into_iter().flatten().map(|one| &one["namespace"]);
    ensure!(names.clone().count() > 0 && names.clone().all(|name| name == "seen"), "{opened}");
    let log = daemon.stderr();
    ensure!(log.contains("call=CloseIncident allowed sees=seen"), "{log}");
    ensure!(log.contains("client=uid:64022 pid=") && log.contains("call=DeleteIncident refused"), "{log}");
    seen.remove().await?;
    hidden.remove().await
}
