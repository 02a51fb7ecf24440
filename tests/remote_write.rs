//! Two of Debian's Prometheus with deploy/prometheus/remote-write.yaml: one scrapes the daemon and writes to the other one,
//! which then answers what the daemon told.

#[path = "prometheus/questions.rs"]
mod questions;
#[path = "prometheus/told.rs"]
#[allow(dead_code, reason = "quantiles are of no interest here")]
mod told;

use std::fs;

use anyhow::{Result, ensure};
use observer_tests::prometheus::{deployed, promtool};
use observer_tests::wait::PATIENCE;
use observer_tests::web::{encoded, metrics_address};
use observer_tests::{Daemon, Prometheus, Testbed, eventually};

use self::questions::{NAMESPACE, agree, counts, questions};
use self::told::Told;

const FEATURES: &str = "exemplar-storage,native-histograms";
const CONNECTIONS: &str = "100";

/// The configuration that is there for users, with this machine's addresses.
fn configuration(scraped: &str, written: &str) -> Result<String> {
    let mut text = fs::read_to_string(deployed("prometheus/remote-write.yaml"))?;
    for (told, here) in [
        ("127.0.0.1:9966", scraped),
        ("metrics.example.org:9090", written),
        ("scrape_interval: 30s", "scrape_interval: 1s"),
    ] {
        ensure!(text.matches(told).count() == 1, "not once {told} in {text}");
        text = text.replace(told, here);
    }
    Ok(text)
}

#[test]
fn the_configuration_is_one_of_prometheus() -> Result<()> {
    let file = deployed("prometheus/remote-write.yaml");
    promtool(&["check", "config", &file.to_string_lossy()], b"")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_elsewhere_is_what_the_daemon_told() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).args(["--http-listen", "127.0.0.1:0"]).start().await?;
    let far = Prometheus::configured("{}", FEATURES, &["--web.enable-remote-write-receiver"]).await?;
    let text = configuration(&metrics_address(&daemon)?.to_string(), &far.address().to_string())?;
    let near = Prometheus::configured(&text, FEATURES, &[]).await?;
    // What is scraped beside the observer stays here.
    eventually(PATIENCE, "the daemon to be scraped", async || {
        let up = far.query("up").await?;
        Ok(if up.len() == 1 && up[0]["metric"]["job"] == "observer" { Ok(()) } else { Err(up) })
    })
    .await?;
    let told = Told::start(&daemon).await?;

    let server = testbed.pod(NAMESPACE, "far-server").run().await?;
    let serve = server.container("serve", ["workload", "serve", "--port", "8080"]);
    let _serve = serve.start_until("listening").await?;
    let client = testbed.pod(NAMESPACE, "far-client").run().await?;
    for (name, port) in [("connect", 8080), ("refused", 9)] {
        let to = format!("{}:{port}", server.ip()?);
        let argv = ["workload", "connect", "--to", &to, "--count", CONNECTIONS, "--bytes", "4000"];
        client.container(name, argv).start().await?.wait().await?;
    }
    ensure!(client.container("fails", ["workload", "exit", "3"]).start().await?.wait().await?.code == 3);
    eventually(PATIENCE, "all to be told", async || {
        let sums = told.of(client.name()).sums;
        let all = ["opened", "closed", "failed/refused"]
            .map(|name| sums.get(name).copied().unwrap_or(0) + 5 >= 100);
        Ok(if all == [true; 3] && sums.get("exits/3") == Some(&1) { Ok(()) } else { Err(sums) })
    })
    .await?;
    for pod in [&client, &server] {
        let name = pod.name();
        let all = [questions(name), counts(name, true)].concat();
        for prometheus in [&near, &far] {
            agree(prometheus, &told, name, &all).await?;
        }
    }

    // Clusters are told apart, and an incident's name comes along.
    let query = format!("observer_container_stops_total{{pod=\"{}\",cluster=\"cluster-1\"}}", client.name());
    ensure!(near.query(&query).await?.is_empty(), "the name of the cluster is for others");
    ensure!(far.query(&query).await?.len() == 1);
    let path = format!("/api/v1/query_exemplars?query={}&start=0&end=9999999999", encoded(&query));
    eventually(PATIENCE, "an exemplar", async || {
        let data = far.api(&path).await?;
        let is_told = data[0]["exemplars"][0]["labels"]["incident_id"].is_string();
        Ok(if is_told { Ok(()) } else { Err(data) })
    })
    .await?;
    client.remove().await?;
    server.remove().await
}
