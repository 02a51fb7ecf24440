//! `cargo xtask run`: builds the daemon, starts it, follows it, and leaves nothing behind.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitCode, ExitStatus};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Privilege, Scope};
use crate::{command, signals, workspace};

/// How often we look whether something has ended.
const STEP: Duration = Duration::from_millis(50);
/// How long the daemon may take until it listens; attaching the probes takes below one second.
const START: Duration = Duration::from_secs(15);
/// How long daemon and client may take to end once asked.
const END: Duration = Duration::from_secs(10);

/// Sets up, builds, and follows a daemon of our own until the client ends or Ctrl-C.
pub(crate) fn run(daemon_arguments: &[String]) -> Result<ExitCode> {
    let privilege = Privilege::look_and_ask();
    if privilege == Privilege::None {
        bail!(
            "the daemon needs root, and there is no sudo here: it loads programs into the kernel (CAP_BPF, CAP_PERFMON), \
             asks its connection tracking (CAP_NET_ADMIN) and reads other users' processes and files (CAP_SYS_PTRACE, \
             CAP_DAC_READ_SEARCH)\nRun `cargo xtask run` as root"
        );
    }
    setup::run(Scope::Build)?;
    println!("run: building the observer in release");
    command::check(&mut command::cargo(&["build", "--release", "--package", "observer"]))?;

    if privilege == Privilege::Sudo {
        // The build may have outlasted sudo's memory, and the daemon, in the background, could not ask.
        Privilege::look_and_ask();
    }
    signals::watch();
    let folder = PrivateFolder::new()?;
    let server = format!("unix://{}", folder.socket().display());
    println!("run: starting the daemon on {server}");
    let mut daemon = Daemon::start(&folder, &server, daemon_arguments, privilege)?;
    daemon.wait_until_it_listens(&folder)?;
    if signals::stop_was_asked() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("run: following it; Ctrl-C stops both");
    let ended = follow(&server, &mut daemon, privilege)?;
    daemon.stop();
    Ok(ended)
}

/// Runs the client in the foreground; it ends by itself, by Ctrl-C, or because the daemon has ended.
fn follow(server: &str, daemon: &mut Daemon, privilege: Privilege) -> Result<ExitCode> {
    let mut client = privileged(privilege)
        .args(["follow", "--server", server])
        .spawn()
        .context("cannot start the client `observer follow`")?;
    loop {
        if let Some(status) = client.try_wait()? {
            return Ok(exit_code(status));
        }
        if signals::stop_was_asked() {
            // The terminal has sent the signal to the client as well; `kill` to us alone has not.
            if wait_at_most(&mut client, Duration::from_millis(500)).is_none() {
                end(&mut client, privilege);
            }
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(status) = daemon.child.try_wait()? {
            end(&mut client, privilege);
            bail!(
                "the daemon ended while it was being followed ({status}); it said:\n{}",
                daemon.last_words()
            );
        }
        sleep(STEP);
    }
}

/// A folder that only this user may enter, gone when this value is.
struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    fn new() -> Result<Self> {
        // A socket's path holds 107 bytes, which a long TMPDIR would exceed.
        let usual = std::env::temp_dir();
        let parent = if usual.as_os_str().len() > 60 { Path::new("/tmp") } else { &usual };
        let path = parent.join(format!("observer-run-{}", process::id()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make the private folder {}", path.display()))?;
        Ok(Self { path })
    }

    fn socket(&self) -> PathBuf {
        self.path.join("observer.sock")
    }

    fn log(&self) -> PathBuf {
        self.path.join("daemon.log")
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("run: cannot remove {}: {error}", self.path.display());
        }
    }
}

/// The daemon, stopped when this value goes, whatever the reason.
struct Daemon {
    child: Child,
    log: PathBuf,
    privilege: Privilege,
}

impl Daemon {
    fn start(
        folder: &PrivateFolder,
        server: &str,
        arguments: &[String],
        privilege: Privilege,
    ) -> Result<Self> {
        let log = folder.log();
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        // A try leaves nothing behind, unless it is asked to.
        let records = arguments.iter().any(|argument| argument.starts_with("--record-dir"));
        let off = if records { &[][..] } else { &["--record-dir", "off"] };
        let child = privileged(privilege)
            .args(["daemon", "--listen", server])
            .args(off)
            .args(arguments)
            .stdin(process::Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C goes to the client; the daemon is stopped after it, so that the client's stream ends cleanly.
            .process_group(0)
            .spawn()
            .context("cannot start `observer daemon`")?;
        Ok(Self { child, log, privilege })
    }

    fn wait_until_it_listens(&mut self, folder: &PrivateFolder) -> Result<()> {
        for _ in 0..START.as_millis() / STEP.as_millis() {
            match UnixStream::connect(folder.socket()) {
                Ok(_) => return Ok(()),
                // It listens, and only root may speak to it: so may the client, which sudo starts.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended at its start ({status}); it said:\n{}", self.last_words());
            }
            if signals::stop_was_asked() {
                return Ok(());
            }
            sleep(STEP);
        }
        bail!("the daemon does not listen after {} s; it said:\n{}", START.as_secs(), self.last_words())
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn stop(&mut self) {
        end(&mut self.child, self.privilege);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The observer, started so that it is root.
fn privileged(privilege: Privilege) -> Command {
    let binary = workspace::observer_binary();
    if privilege == Privilege::Root {
        return Command::new(binary);
    }
    let mut command = Command::new("sudo");
    command.arg("--").arg(binary);
    command
}

/// Asks a child to end, and makes it end if it will not. Does nothing to one that has ended.
fn end(child: &mut Child, privilege: Privilege) {
    if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
        return;
    }
    terminate(child, privilege, "TERM", signals::SIGTERM);
    if wait_at_most(child, END).is_none() {
        eprintln!("run: process {} has not ended {} s after SIGTERM: killing it", child.id(), END.as_secs());
        terminate(child, privilege, "KILL", 9);
        let _ = child.wait();
    }
}

fn terminate(child: &Child, privilege: Privilege, name: &str, number: i32) {
    if privilege == Privilege::Root {
        signals::send(child.id(), number);
        return;
    }
    // The child is sudo, which belongs to root and passes the signal on.
    let sent = Command::new("sudo").args(["kill", "-s", name, &child.id().to_string()]).status();
    if !sent.is_ok_and(|status| status.success()) {
        eprintln!("run: cannot stop process {}; run: sudo kill {}", child.id(), child.id());
    }
}

fn wait_at_most(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    for _ in 0..=limit.as_millis() / STEP.as_millis() {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        sleep(STEP);
    }
    None
}

/// The client's own exit code; Ctrl-C is how a user ends it, and no failure.
fn exit_code(status: ExitStatus) -> ExitCode {
    if signals::stop_was_asked() || status.signal() == Some(signals::SIGINT) {
        return ExitCode::SUCCESS;
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
