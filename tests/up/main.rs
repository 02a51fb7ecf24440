//! Starts a testbed with two pods that talk, says where it is, and keeps it until this process ends: to try a daemon
//! by hand, and to prove that a testbed goes with its process. With `--newer` its containerd is of 2.0 or later.
#![allow(clippy::print_stdout, reason = "where the testbed is, is its output")]

use anyhow::Result;
use observer_tests::{Testbed, workload};

#[tokio::main]
async fn main() -> Result<()> {
    let newer = std::env::args().nth(1).is_some_and(|word| word == "--newer");
    let testbed = if newer { Testbed::start_newer().await? } else { Testbed::start().await? };
    let server = testbed.pod("shop", "server").label("app", "server").run().await?;
    let serve =
        server.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    let client = testbed.pod("shop", "client").label("app", "client").run().await?;
    let to = format!("{}:8080", server.ip()?);
    let argv =
        ["workload", "connect", "--to", &to, "--bytes", "1000", "--count", "1000000", "--interval-ms", "500"];
    let connect = client.container("connect", argv).start_until("connect_ns").await?;
    let host = workload::on_host(["sleep", "1000000"])?;
    let up = serde_json::json!({
        "up": testbed.id(),
        "dir": testbed.dir(),
        "cri_endpoint": testbed.cri_endpoint(),
        "pods": [server.name(), client.name()],
        "containers": [serve.id(), connect.id()],
        "host_process": host.pid(),
    });
    println!("{up}");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
