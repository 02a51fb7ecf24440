//! Debian's Prometheus, with a storage of its own, on a loopback address.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::guardian::Guardian;
use crate::wait::{PATIENCE, eventually};
use crate::web::{encoded, get};

/// One that scrapes. Dropping it ends it.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    dir: PathBuf,
    at: SocketAddr,
}

/// A file that is there for whoever deploys the daemon.
pub fn deployed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

/// One of its programs, as the set-up has fetched it.
pub fn tool(name: &str) -> Result<Command> {
    // target/<profile>/deps/<test>
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("the test is in no target folder")?;
    let path = target.join("prometheus/bin").join(name);
    ensure!(path.is_file(), "no {}: cargo xtask setup --tests fetches it", path.display());
    let mut command = Command::new(path);
    Guardian::shared()?.mark(&mut command);
    Ok(command)
}

/// Runs promtool with this as its input, demands that it finds nothing wrong, and gives what it says.
pub fn promtool(args: &[&str], input: &[u8]) -> Result<String> {
    let dir = Guardian::shared()?.scratch("promtool")?;
    let file = dir.join("input");
    fs::write(&file, input)?;
    let output = tool("promtool")?.args(args).stdin(File::open(file)?).output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "promtool {args:?}: {said}");
    Ok(said)
}

impl Prometheus {
    /// Starts it with these jobs (a list of `scrape_configs`, in YAML), rules and features.
    pub async fn start(jobs: &str, rules: &[&Path], features: &str) -> Result<Self> {
        let files = rules.iter().map(|path| ["'", &path.to_string_lossy(), "'"].concat());
        let files = files.collect::<Vec<_>>().join(", ");
        let rules = format!("rule_files: [{files}]\n");
        let configuration = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  evaluation_interval: 1s\n{rules}\
             scrape_configs:\n{jobs}"
        );
        Self::configured(&configuration, features, &[]).await
    }

    /// Starts it with this configuration, features and further flags.
    pub async fn configured(configuration: &str, features: &str, flags: &[&str]) -> Result<Self> {
        let dir = Guardian::shared()?.scratch("prometheus")?;
        fs::write(dir.join("prometheus.yml"), configuration)?;
        // It cannot say which port it took, so it is told one that is free.
        let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = File::create(dir.join("log"))?;
        let child = tool("prometheus")?
            .current_dir(&dir)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address={at}"))
            .arg(format!("--enable-feature={features}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut prometheus = Self { child, dir, at };
        prometheus.wait_ready().await?;
        Ok(prometheus)
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let (at, log, child) = (self.at, self.dir.join("log"), &mut self.child);
        eventually(PATIENCE, "Prometheus to be ready", || {
            let (ended, log) = (child.try_wait(), &log);
            async move {
                let said = || fs::read_to_string(log).unwrap_or_default();
                ensure!(ended?.is_none(), "Prometheus ended: {}", said());
                Ok(match get(at, "/-/ready").await {
                    Ok(answer) if answer.status == 200 => Ok(()),
                    Ok(answer) => Err(answer.text()),
                    Err(error) => Err(format!("{error:#}; it said {}", said())),
                })
            }
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// What its API answers to a path.
    pub async fn api(&self, path: &str) -> Result<Value> {
        let answer = get(self.at, path).await?;
        let told: Value = serde_json::from_slice(&answer.body)
            .with_context(|| format!("{path}: {} {}", answer.status, answer.text()))?;
        ensure!(told["status"] == "success", "{path}: {told}");
        Ok(told["data"].clone())
    }

    /// The result of a query now: labels and values.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let data = self.api(&format!("/api/v1/query?query={}", encoded(query))).await?;
        match data["result"].as_array() {
            Some(result) if data["resultType"] == "vector" => Ok(result.clone()),
            _ => bail!("{query} gives no vector: {data}"),
        }
    }

    /// The one value of a query; `None` where there is none.
    pub async fn value(&self, query: &str) -> Result<Option<f64>> {
        let result = self.query(query).await?;
        ensure!(result.len() <= 1, "{query} has several results: {result:?}");
        let value = result.first().and_then(|one| one["value"][1].as_str());
        Ok(value.map(str::parse).transpose()?)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        #![allow(clippy::print_stderr, reason = "the harness shows it when the test fails, and only then")]
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        if !said.is_empty() {
            eprintln!("---- Prometheus said:\n{said}\n----");
        }
    }
}
