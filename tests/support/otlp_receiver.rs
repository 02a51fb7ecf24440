//! A receiver of OTLP in Python: what it was sent, and how it is to answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::authority::Signed;
use crate::exporting::scratch;
use crate::guardian;
use crate::lines::Lines;
use crate::python::python;
use crate::wait::PATIENCE;

/// A receiver that runs.
pub struct Receiver {
    lines: Lines,
    behaviour: PathBuf,
    /// Its port for gRPC.
    pub grpc: u16,
    /// Another one for gRPC, where nothing compressed is taken.
    pub unpacked: u16,
    /// Its port for HTTP.
    pub http: u16,
}

impl Receiver {
    /// One in plain text.
    pub async fn start() -> Result<Self> {
        Self::listening(&scratch("receiver")?, [0, 0], None).await
    }

    /// One that speaks TLS, and wants certificates of that authority.
    pub async fn secured(ca: &Path, own: &Signed) -> Result<Self> {
        Self::listening(&scratch("receiver")?, [0, 0], Some((ca, own))).await
    }

    /// Goes away. What it was sent, and how it comes back.
    pub async fn leave(mut self) -> Result<(Vec<Value>, Away)> {
        self.lines.signal(rustix::process::Signal::KILL)?;
        self.lines.wait().await?;
        let folder = self.behaviour.parent().context("no folder")?.to_owned();
        Ok((self.requests(), Away { folder, ports: [self.grpc, self.http] }))
    }

    async fn listening(folder: &Path, ports: [u16; 2], tls: Option<(&Path, &Signed)>) -> Result<Self> {
        let behaviour = folder.join("behaviour.json");
        fs::write(&behaviour, "{}")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/otlp_receiver.py");
        let mut command = Command::new(python()?);
        guardian::Guardian::shared()?.mark(&mut command);
        command.arg("-B").arg(script).arg("--behaviour").arg(&behaviour);
        let [grpc, http] = ports.map(|port| port.to_string());
        command.args(["--grpc", &grpc, "--http", &http]);
        if let Some((ca, Signed { cert, key, .. })) = tls {
            command.arg("--ca").arg(ca).arg("--cert").arg(cert).arg("--key").arg(key);
        }
        let lines = Lines::spawn("the receiver", command)?;
        let told = lines.wait_for("its ports", PATIENCE, |line| line["listening"].is_object()).await?;
        let port = |name: &str| -> Result<u16> {
            Ok(u16::try_from(told["listening"][name].as_u64().context("no port")?)?)
        };
        let [grpc, unpacked, http] = [port("grpc")?, port("unpacked")?, port("http")?];
        Ok(Self { lines, behaviour, grpc, unpacked, http })
    }

    /// Has it answer so from now on: nothing for as usual.
    pub fn answer(&self, grpc: &Value, http: &Value) -> Result<()> {
        let next = self.behaviour.with_extension("next");
        fs::write(&next, json!({"grpc": grpc, "http": http}).to_string())?;
        Ok(fs::rename(next, &self.behaviour)?)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.lines.matching(|line| line["signal"].is_string())
    }

    /// Those of a protocol and signal.
    pub fn of(&self, protocol: &str, signal: &str) -> Vec<Value> {
        of(&self.requests(), protocol, signal)
    }

    /// What it said of itself.
    pub fn account(&self) -> String {
        self.lines.stderr()
    }
}

/// A receiver that went away.
pub struct Away {
    folder: PathBuf,
    ports: [u16; 2],
}

impl Away {
    /// It comes back, at the same ports.
    pub async fn back(self) -> Result<Receiver> {
        Receiver::listening(&self.folder, self.ports, None).await
    }
}

/// Of these requests, those of a protocol and signal.
pub fn of(requests: &[Value], protocol: &str, signal: &str) -> Vec<Value> {
    let is_it = |one: &&Value| one["protocol"] == protocol && one["signal"] == signal;
    requests.iter().filter(is_it).cloned().collect()
}

/// All log records, spans or metrics of these requests, each with its resource's attributes as `resource`.
pub fn items(requests: &[Value]) -> Vec<Value> {
    const PATHS: [[&str; 3]; 3] = [
        ["resource_logs", "scope_logs", "log_records"],
        ["resource_spans", "scope_spans", "spans"],
        ["resource_metrics", "scope_metrics", "metrics"],
    ];
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut items = Vec::new();
    for request in requests {
        for [resources, scopes, of] in PATHS {
            for resource in list(&request["request"], resources) {
                for scope in list(&resource, scopes) {
                    for mut item in list(&scope, of) {
                        item["resource"] = resource["resource"]["attributes"].clone();
                        items.push(item);
                    }
                }
            }
        }
    }
    items
}

/// An attribute's value as text; empty where it is not there.
pub fn attribute(attributes: &Value, key: &str) -> String {
    let found = attributes.as_array().into_iter().flatten().find(|one| one["key"] == key);
    let value = found.and_then(|one| one["value"].as_object()).and_then(|value| value.values().next());
    value.map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// A figure that JSON has as text.
pub fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}
