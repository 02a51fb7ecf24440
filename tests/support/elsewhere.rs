//! Another machine, as far as one can be had here: the program as nobody, without a capability, in a network namespace with
//! nothing in it, with a file that a daemon exported.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::guardian::Guardian;
use crate::{Daemon, client};

/// A folder that everybody may use, with the program and what was exported.
#[derive(Debug)]
pub struct Elsewhere {
    /// The folder.
    pub folder: TempDir,
    /// The file in it.
    pub file: PathBuf,
}

impl Elsewhere {
    /// Has a daemon export this incident.
    pub async fn of(daemon: &Daemon, incident: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
        let program = folder.path().join("observer");
        fs::copy(client::observer()?, &program)?;
        let file = folder.path().join("incident.observer");
        let path = file.to_str().context("a path that is no text")?;
        let exported = client::run(daemon.socket(), ["incident", "export", incident, "--file", path]).await?;
        succeeded("export", &exported)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
        Ok(Self { folder, file })
    }

    /// Runs the program on a file.
    pub fn run(&self, args: &[&str], file: &Path) -> Result<Output> {
        let mut command = Command::new("unshare");
        command.args(["--net", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]);
        command.arg(self.folder.path().join("observer")).args(args);
        command.env("OBSERVER_SERVER", format!("file://{}", file.display()));
        command.env("XDG_CONFIG_HOME", "/nowhere").env_remove("OBSERVER_CLIENT_CONFIG");
        command.current_dir(self.folder.path());
        Guardian::shared()?.mark(&mut command).output().context("cannot run it")
    }

    /// What it prints as JSON of what was exported.
    pub fn json(&self, args: &[&str]) -> Result<Vec<Value>> {
        let text = self.text(&[args, &["-o", "json"]].concat())?;
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
            .collect()
    }

    /// What it prints of what was exported.
    pub fn text(&self, args: &[&str]) -> Result<String> {
        let output = self.run(args, &self.file)?;
        succeeded(&args.join(" "), &output)?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn succeeded(what: &str, output: &Output) -> Result<()> {
    ensure!(
        output.status.success(),
        "{what}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
