//! A client in Python, which knows nothing of the API but what the server's reflection tells it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::authority::Signed;
use crate::lines::Lines;
use crate::{Daemon, guardian};

/// The service.
pub const API: &str = "observer.v1.Observer";

/// The interpreter with grpcio: the one that the test run names, or the one of the set-up.
pub(crate) fn python() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("OBSERVER_PYTHON") {
        return Ok(PathBuf::from(path));
    }
    // target/<profile>/deps/<test>
    let own = std::env::current_exe()?;
    let path =
        own.ancestors().nth(3).context("the test is in no target folder")?.join("test-venv/bin/python");
    ensure!(path.exists(), "no {}: cargo xtask setup --tests makes it", path.display());
    Ok(path)
}

/// The command that calls a method.
pub fn command(address: &str, service: &str, method: &str, request: &Value) -> Result<Command> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/observer_client.py");
    let mut command = Command::new(python()?);
    guardian::Guardian::shared()?.mark(&mut command);
    command.arg("-B").arg(script).args([address, service, method, &request.to_string()]);
    Ok(command)
}

/// What Arrow's own reader finds in exported tables: of each the columns' types, and the rows.
pub fn tables(folder: &Path) -> Result<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_tables.py");
    let mut command = Command::new(python()?);
    guardian::Guardian::shared()?.mark(&mut command).arg("-B").arg(script).arg(folder);
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Calls a method by the daemon's unix socket.
pub fn call(daemon: &Daemon, service: &str, method: &str, request: &Value) -> Result<Lines> {
    call_at(&format!("unix://{}", daemon.socket().display()), service, method, request)
}

/// Calls a method by an address in plain text.
pub fn call_at(address: &str, service: &str, method: &str, request: &Value) -> Result<Lines> {
    Lines::spawn("the Python client", command(address, service, method, request)?)
}

/// Calls a method by TLS, with that certificate or with none, trusting that authority.
pub fn call_by_tls(
    address: &str,
    ca: &Path,
    certificate: Option<&Signed>,
    method: &str,
    request: &Value,
) -> Result<Lines> {
    let mut command = command(address, API, method, request)?;
    command.arg("--ca").arg(ca);
    if let Some(Signed { cert, key, .. }) = certificate {
        command.arg("--cert").arg(cert).arg("--key").arg(key);
    }
    Lines::spawn("the Python client", command)
}
