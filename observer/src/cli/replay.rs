//! `observer replay`: serves a recording from a file, for other tools and for several commands.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;

use super::past;
use crate::client::escape;
use crate::config;
use crate::event::WallTime;
use crate::replay::{self, Replay};
use crate::serve::{ClientLimits, Listeners, SecurityFiles};

/// Flags of `observer replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file, as `observer incident export` wrote it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Serve it at this unix socket, which only you may open [default: one in a new folder of your own]
    #[arg(long, value_name = "unix://PATH", value_parser = socket)]
    listen: Option<PathBuf>,
    /// Show what is live as of this moment: a time such as 2026-01-31T08:12:03Z [default: when the incident was opened; of a
    /// part of time its end]
    #[arg(long, value_name = "TIME", value_parser = past::time)]
    at: Option<Timestamp>,
}

/// Serves until Ctrl-C or SIGTERM.
pub(super) fn serve(args: Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Args { file, listen, at } = args;
    let at = at.map(|at| WallTime(u64::try_from(at.as_nanosecond()).unwrap_or(0)));
    let replay = replay::open(&file, at)?;
    let folder = if listen.is_none() { Some(Folder::make()?) } else { None };
    let usual = folder.as_ref().map(|folder| folder.0.join("observer.sock"));
    let path = listen.or(usual).unwrap_or_default();
    let mut listeners = Listeners::new(SecurityFiles::default())?;
    listeners.unix(&path)?;
    tell(out, &file, &replay, &path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let service = replay.start();
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let ended = async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
        };
        Ok::<_, anyhow::Error>(listeners.serve(service.routes(), ClientLimits::default(), ended).await?)
    })?;
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    Ok(ExitCode::SUCCESS)
}

/// Says what is served, and how it is asked.
fn tell(out: &mut dyn Write, file: &Path, replay: &Replay, socket: &Path) -> std::io::Result<()> {
    let status = replay.status();
    let told = status.replay.unwrap_or_default();
    let time = |time: &Option<prost_types::Timestamp>| {
        let time = time.as_ref().and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
        time.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}"))
    };
    writeln!(
        out,
        "replaying {}: {}, {} to {}, shown as of {}",
        escape(&file.display().to_string()),
        escape(&status.node_name),
        time(&told.since),
        time(&told.until),
        time(&told.moment)
    )?;
    if !told.incident_id.is_empty() {
        writeln!(out, "incident {}: {}", escape(&told.incident_id), escape(&told.title))?;
    }
    writeln!(out, "ask it with --server unix://{}; Ctrl-C ends it", socket.display())?;
    out.flush()
}

fn socket(text: &str) -> Result<PathBuf, &'static str> {
    config::unix_path(text).ok_or("allowed are addresses such as unix:///tmp/replay.sock")
}

/// A new folder that is nobody else's, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let within = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
        let within = within.unwrap_or_else(std::env::temp_dir);
        let path = within.join(format!("observer-replay-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            anyhow::anyhow!("cannot make {}: {error}\nName a socket with --listen.", path.display())
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The socket and its lock are all that is in it.
        for name in ["observer.sock", "observer.sock.lock"] {
            _ = std::fs::remove_file(self.0.join(name));
        }
        _ = std::fs::remove_dir(&self.0);
    }
}
