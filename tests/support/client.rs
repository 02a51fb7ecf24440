//! Clients of a daemon: a gRPC channel over its socket, and the binary's own client commands.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

use crate::guardian::Guardian;
use crate::lines::Lines;

/// Connects to whatever speaks gRPC on a unix socket; the generated clients are made from the channel.
pub async fn channel(socket: &Path) -> Result<Channel> {
    let path = socket.to_owned();
    // The address is never used, but gRPC wants one for its headers.
    Endpoint::from_static("http://localhost")
        .connect_with_connector(service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await
        .with_context(|| format!("cannot connect to {}", socket.display()))
}

/// Asks the standard health service of whatever listens on a socket; anything but serving is an error.
pub async fn serving(socket: &Path) -> Result<()> {
    let mut client = HealthClient::new(channel(socket).await?);
    let response = client.check(HealthCheckRequest::default()).await?.into_inner();
    let status = response.status();
    ensure!(status == ServingStatus::Serving, "its health is {status:?}");
    Ok(())
}

/// The observer binary: `OBSERVER_BIN`, or the one in the target folder that the tests were built into.
pub fn observer() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("OBSERVER_BIN") {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "OBSERVER_BIN is {}, which is no file", path.display());
        return Ok(path);
    }
    // target/<profile>/deps/<test>
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("the test is in no target folder")?;
    ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("observer"))
        .find(|path| path.is_file())
        .with_context(|| {
            format!("no observer below {}: cargo build -p observer, or OBSERVER_BIN", target.display())
        })
}

/// A client command of the binary, to be run against the daemon on `socket`: `["events", "-o", "json"]`.
pub fn command<'a>(socket: &Path, args: impl IntoIterator<Item = &'a str>) -> Result<Command> {
    let mut command = Command::new(observer()?);
    // What this machine's user has configured is not for tests.
    command.env("XDG_CONFIG_HOME", "/nowhere").env_remove("OBSERVER_CLIENT_CONFIG");
    Guardian::shared()?
        .mark(&mut command)
        .args(args)
        .arg("--server")
        .arg(format!("unix://{}", socket.display()));
    Ok(command)
}

/// Runs a client command to its end, whatever that is.
pub async fn run<'a>(socket: &Path, args: impl IntoIterator<Item = &'a str>) -> Result<Output> {
    let mut command = command(socket, args)?;
    tokio::task::spawn_blocking(move || command.output()).await?.context("cannot run observer")
}

/// Runs a client command with `-o json` to its end, demands success and returns its lines.
pub async fn json<'a>(socket: &Path, args: impl IntoIterator<Item = &'a str>) -> Result<Vec<Value>> {
    let output = run(socket, args.into_iter().chain(["-o", "json"])).await?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))).collect()
}

/// Starts a client command with `-o json` whose lines are read while it runs, such as `["events", "-f"]`. It ends with
/// its daemon.
pub fn follow<'a>(socket: &Path, args: impl IntoIterator<Item = &'a str>) -> Result<Lines> {
    let mut command = command(socket, args)?;
    command.args(["-o", "json", "--reconnect", "0s"]);
    Lines::spawn("observer", command)
}

/// A capability, as the status tells it, that is missing; but for failed opens, for which a kernel has to let its functions be
/// hooked, which is its own affair.
pub fn is_missing(capability: &Value) -> bool {
    capability["available"] != true && capability["name"] != "debug_open_failures"
}
