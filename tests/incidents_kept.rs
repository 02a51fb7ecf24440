//! Incidents outlive their daemon, and are there for whom they concern and for nobody else.

use anyhow::{Result, ensure};
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
