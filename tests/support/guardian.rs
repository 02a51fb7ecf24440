//! The guardian: a process that outlives a test and removes all that the test made, however the test ended.
//!
//! It waits for the end of its standard input, which the kernel closes with the test process, and it is the
//! subreaper of containerd, so that no shim and no container can slip away from it. A guardian that was killed
//! itself is made up for by the next one's [`sweep`].

mod cleanup;
mod process_table;
mod watch;

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, Weak};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};

pub(crate) use cleanup::remove_pod_cgroups;
pub use cleanup::{far_files, leftovers, sweep};
pub use process_table::ProcessStat;
pub use watch::run;
pub(crate) use watch::{containerd_config, containerd_programs};

/// What the folder of every testbed is called, before its id.
pub const PREFIX: &str = "observer-testbed-";

/// The variable in the environment of processes that a guardian has to kill, with its id as the value.
const MARK: &str = "TESTBED_GUARDIAN";

/// All that is alive in this process, for the handler that runs when it exits.
static ALIVE: Mutex<Vec<Weak<Guardian>>> = Mutex::new(Vec::new());

/// One guardian, the folder that it removes in the end, and the id that marks all that is its own.
#[derive(Debug)]
pub struct Guardian {
    id: String,
    dir: PathBuf,
    process: Mutex<Option<Connection>>,
}

#[derive(Debug)]
struct Connection {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Guardian {
    /// Removes what dead tests left and starts a guardian with a folder of its own.
    pub fn start() -> Result<Arc<Self>> {
        ensure!(rustix::process::geteuid().is_root(), "these tests need root: run them with sudo");
        let _lock = lock()?;
        sweep().context("cannot remove what an earlier testbed left")?;
        let id = format!("{:08x}", random() as u32);
        let dir = std::env::temp_dir().join(format!("{PREFIX}{id}"));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot create {}", dir.display()))?;
        let own = ProcessStat::read(std::process::id()).context("no /proc entry of the test itself")?;
        fs::write(dir.join("owner"), format!("{own}\n"))?;

        let log = File::create(dir.join("guardian.log"))?;
        let mut child = Command::new(program("testbed-guardian")?)
            .args([&id, &dir.display().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // A test that another test started is that one's to kill, but this guardian is to outlive it.
            .env_remove(MARK)
            // Away from the terminal's process group, which Ctrl-C ends as a whole.
            .process_group(0)
            .spawn()
            .context("cannot start the guardian")?;
        let requests = child.stdin.take().context("the guardian has no input")?;
        let answers = BufReader::new(child.stdout.take().context("the guardian has no output")?);
        let connection = Connection { child, requests, answers };
        let guardian = Arc::new(Self { id, dir, process: Mutex::new(Some(connection)) });
        guardian.request("hello")?;
        register(&guardian);
        Ok(guardian)
    }

    /// The guardian of this test process, for what needs no containerd.
    pub fn shared() -> Result<&'static Arc<Self>> {
        static SHARED: OnceLock<Result<Arc<Guardian>>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))
    }

    /// Eight hexadecimal digits that no other living testbed has.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder that goes away with it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new folder below it whose name starts with `name`.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(format!("{name}-{:08x}", random() as u32));
        fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// Marks a command, so that what it starts is killed in the end if it still runs then. There is no moment at which
    /// it could be missed: until a child has become its program it holds the guardian's input open.
    pub fn mark<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(MARK, &self.id)
    }

    /// Has a named network namespace removed in the end.
    pub fn own_netns(&self, name: &str) -> Result<()> {
        self.request(&format!("netns {name}"))
    }

    /// Has a link removed in the end.
    pub fn own_link(&self, name: &str) -> Result<()> {
        self.request(&format!("link {name}"))
    }

    /// Starts containerd with the configuration in the folder, as a child of the guardian.
    pub fn start_containerd(&self) -> Result<()> {
        self.request("containerd start")
    }

    /// Ends containerd alone, as an upgrade or a crash does: its containers go on.
    pub fn stop_containerd(&self) -> Result<()> {
        self.request("containerd stop")
    }

    /// Has everything removed and waits until it is.
    pub fn close(&self) {
        let Some(connection) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let Connection { mut child, requests, answers } = connection;
        drop(requests);
        drop(answers);
        if !child.wait().is_ok_and(|status| status.success()) {
            complain(&self.dir);
        }
    }

    fn request(&self, line: &str) -> Result<()> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = process.as_mut().context("the guardian was closed")?;
        writeln!(connection.requests, "{line}").context("the guardian is gone")?;
        let mut answer = String::new();
        connection.answers.read_line(&mut answer)?;
        match answer.trim() {
            "ok" => Ok(()),
            "" => bail!("the guardian died: see {}", self.dir.join("guardian.log").display()),
            error => bail!("guardian: {line}: {error}"),
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.close();
    }
}

/// One of this package's own programs, built beside the tests.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    // A test is in target/<profile>/deps, a program in target/<profile>.
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no program {name} beside {}: cargo build -p observer-tests", own.display()))
}

/// A random number.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Holds off every other testbed of this machine while it lives: for taking shared names and removing old ones.
pub fn lock() -> Result<File> {
    // The folder itself is locked, because a lock file would be one more thing to leave behind.
    let dir = File::open(std::env::temp_dir())?;
    flock(&dir, FlockOperation::LockExclusive).context("cannot lock the temporary folder")?;
    Ok(dir)
}

/// Has `guardian` closed when this process exits, which drops no statics.
fn register(guardian: &Arc<Guardian>) {
    #![allow(unsafe_code, reason = "the C library is what runs handlers at exit")]
    static ONCE: Once = Once::new();
    extern "C" fn close_all() {
        let alive = std::mem::take(&mut *ALIVE.lock().unwrap_or_else(PoisonError::into_inner));
        for guardian in alive.iter().filter_map(Weak::upgrade) {
            guardian.close();
        }
    }
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(guardian));
    ONCE.call_once(|| {
        // SAFETY: the handler is a plain function that does not unwind; nothing of it is unloaded before exit.
        unsafe { libc::atexit(close_all) };
    });
}

#[allow(clippy::print_stderr, reason = "a test's output is where leftovers have to be told")]
fn complain(dir: &Path) {
    eprintln!("the guardian of {} could not remove everything; the next testbed tries again", dir.display());
}
