//! OpenTelemetry's Collector, as the set-up has built it, with the configuration in deploy/collector.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;

use crate::guardian::Guardian;
use crate::wait::{PATIENCE, eventually};

/// Files of deploy/collector as they are for this machine.
#[derive(Debug)]
pub struct Configuration {
    dir: PathBuf,
    files: Vec<PathBuf>,
}

/// One that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    log: PathBuf,
}

/// The folder of the files that are there for whoever deploys the daemon.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/collector")
}

/// The program, as the set-up has built it.
pub fn otelcol() -> Result<Command> {
    // target/<profile>/deps/<test>
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("the test is in no target folder")?;
    let path = target.join("collector/bin/otelcol");
    ensure!(path.is_file(), "no {}: cargo xtask setup --tests builds it", path.display());
    let mut command = Command::new(path);
    Guardian::shared()?.mark(&mut command);
    Ok(command)
}

impl Configuration {
    /// These files in their order, each text replaced by another one; it has to be in one of them.
    pub fn of(files: &[&str], replaced: &[(&str, &str)]) -> Result<Self> {
        let mut all = Self { dir: Guardian::shared()?.scratch("collector")?, files: Vec::new() };
        let mut left: Vec<&str> = replaced.iter().map(|(told, _)| *told).collect();
        for file in files {
            let mut text = fs::read_to_string(folder().join(file))?;
            left.retain(|told| !text.contains(told));
            for (told, here) in replaced {
                text = text.replace(told, here);
            }
            all.add(file, &text)?;
        }
        ensure!(left.is_empty(), "{files:?} have no {left:?}");
        Ok(all)
    }

    /// A configuration that is no file of these.
    pub fn text(text: &str) -> Result<Self> {
        let mut all = Self { dir: Guardian::shared()?.scratch("collector")?, files: Vec::new() };
        all.add("whole.yaml", text)?;
        Ok(all)
    }

    fn add(&mut self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text)?;
        self.files.push(path);
        Ok(())
    }

    fn command(&self, subcommand: Option<&str>) -> Result<Command> {
        let mut command = otelcol()?;
        command.args(subcommand);
        for file in &self.files {
            command.arg("--config").arg(file);
        }
        // Its own metrics would take a port of everybody's.
        command.args(["--config", "yaml:service::telemetry::metrics::level: none"]);
        command.current_dir(&self.dir).stdin(Stdio::null());
        for name in ["CLICKHOUSE_USER", "CLICKHOUSE_PASSWORD", "CLUSTER_NAME"] {
            command.env(name, "set-here");
        }
        Ok(command)
    }

    /// What the Collector says of it; nothing where it is right.
    pub fn judged(&self) -> Result<String> {
        let output = self.command(Some("validate"))?.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() == said.is_empty(), "{}: {said}", output.status);
        Ok(said)
    }

    /// Starts it and waits until it listens there.
    pub async fn start(&self, at: SocketAddr) -> Result<Collector> {
        let log = self.dir.join("log");
        let file = File::create(&log)?;
        let child = self.command(None)?.stdout(file.try_clone()?).stderr(file).spawn()?;
        let mut collector = Collector { child, log };
        eventually(PATIENCE, "the Collector to listen", || {
            let ended = collector.child.try_wait();
            let said = collector.said();
            async move {
                ensure!(ended?.is_none(), "the Collector ended: {said}");
                Ok(TcpStream::connect(at).await.map(drop).map_err(|error| (error.to_string(), said)))
            }
        })
        .await?;
        Ok(collector)
    }
}

impl Collector {
    /// What it wrote.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        #![allow(clippy::print_stderr, reason = "the harness shows it when the test fails, and only then")]
        let _ = self.child.kill();
        let _ = self.child.wait();
        eprintln!("---- the Collector said:\n{}\n----", self.said());
    }
}
