//! A virtual machine with another kernel than the host's: it boots in seconds, and runs shell scripts.

mod initramfs;
mod kernel;

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::guardian::{Guardian, random};
use kernel::Kernel;

/// How long a guest may take for all that a test asks of it.
const LIFE: Duration = Duration::from_mins(6);

/// How long it may take to boot, which it does in less than ten seconds; the emulator itself now and then stands
/// still in its firmware, before there is a kernel.
const BOOT: Duration = Duration::from_secs(45);

/// So often it is started until it boots.
const ATTEMPTS: usize = 3;

/// How much of the console an error shows.
const TAIL: usize = 60;

/// Held by the one guest that runs: two would starve each other, as they have no hardware to run on.
static ONE: Mutex<()> = Mutex::new(());

/// A guest. Dropping it ends it and prints what its console said last.
#[derive(Debug)]
pub struct Vm {
    child: Child,
    requests: ChildStdin,
    lines: Receiver<String>,
    console: PathBuf,
    stderr: PathBuf,
    deadline: Instant,
    /// Its kernel's package, by its exact version.
    version: String,
    _one: MutexGuard<'static, ()>,
}

/// What a script did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its exit code.
    pub code: i32,
    /// What it printed on both of its outputs, line by line.
    pub lines: Vec<String>,
}

/// What a kernel says that hangs: of processors that are busy with one thing, and of tasks that wait.
const COMPLAINTS: [&str; 4] = ["lockup", "stall", "blocked for more than", "BUG"];

/// What a kernel says that stumbled over its own code while that was being changed: on one processor of the emulator's
/// what another one writes arrives late at times, and the trap that is there meanwhile is nobody's any more.
const STALE_CODE: &str = "Oops: int3";

/// The emulator failed: the guest went silent, and its kernel, which watches itself, has not complained; or the guest ran
/// code that was no longer there.
#[derive(Debug)]
pub struct Standstill(String);

impl fmt::Display for Standstill {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Standstill {}

impl Vm {
    /// Boots one of the kernels that set-up fetches, such as `6.1`, and waits until it takes scripts.
    pub fn boot(kernel: &str) -> Result<Self> {
        let mut attempt = 1;
        loop {
            let mut vm = Self::start(kernel)?;
            match vm.line_within(BOOT, "its boot") {
                Ok(first) => {
                    ensure!(first == "ready", "{first}: {}", vm.account());
                    return Ok(vm);
                }
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    fn start(kernel: &str) -> Result<Self> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let kernel = Kernel::find(kernel)?;
        let guardian = Guardian::shared()?;
        let dir = guardian.scratch("vm")?;
        let archive = dir.join("initramfs.cpio");
        initramfs::write(&kernel, &archive)?;
        let (console, stderr) = (dir.join("console"), dir.join("stderr"));
        let mut command = Command::new("qemu-system-x86_64");
        // Room for more processors than there are, as on many hosts.
        command
            .args(["-accel", "tcg", "-cpu", "max", "-m", "1G", "-smp", "2,maxcpus=8"])
            .args(["-nodefaults", "-nographic", "-no-reboot"])
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(&archive)
            // A panic reboots at once, and with `-no-reboot` that ends the guest.
            .args(["-append", "console=ttyS0 quiet panic=-1 oops=panic mitigations=off"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-chardev", "stdio,id=host,signal=off", "-device", "virtio-serial"])
            .args(["-device", "virtserialport,chardev=host,name=host"]);
        let mut child = guardian
            .mark(&mut command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr)?)
            .spawn()
            .context("cannot start qemu-system-x86_64: cargo xtask setup --tests installs it")?;
        let requests = child.stdin.take().context("no input")?;
        let output = child.stdout.take().context("no output")?;
        let (sender, lines) = channel();
        // Ends with the guest.
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let version = kernel.version;
        let deadline = Instant::now() + LIFE;
        Ok(Self { child, requests, lines, console, stderr, deadline, version, _one: one })
    }

    /// The exact version of its kernel's package.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs a shell script to its end, whatever that is.
    ///
    /// What it leaves in the background goes on, and must have its outputs redirected.
    pub fn run(&mut self, script: &str) -> Result<Done> {
        let word = format!("end-{:016x}", random());
        let sent = writeln!(self.requests, "{word}\n{script}\n{word}").and_then(|()| self.requests.flush());
        sent.map_err(|error| anyhow!("the guest is gone ({error}): {}", self.account()))?;
        let mut lines = Vec::new();
        loop {
            let line = self.line(script)?;
            if let Some(code) = line.strip_prefix(&word) {
                // The guest ends the last line, which normally is ended already.
                if lines.last().is_some_and(String::is_empty) {
                    lines.pop();
                }
                return Ok(Done { code: code.trim().parse()?, lines });
            }
            lines.push(line);
        }
    }

    /// Runs a shell script that ends at its first failing command, demands that none fails, and returns what it printed.
    pub fn output(&mut self, script: &str) -> Result<Vec<String>> {
        let done = self.run(&format!("set -e\n{script}"))?;
        ensure!(done.code == 0, "{script}\nended with {}:\n{}", done.code, done.lines.join("\n"));
        Ok(done.lines)
    }

    /// Waits until a condition of the shell holds; otherwise the error shows what `account`, a script, prints then.
    pub fn wait_until(&mut self, what: &str, bound: Duration, condition: &str, account: &str) -> Result<()> {
        let tenths = bound.as_millis() / 100;
        let script =
            format!("for i in $(seq {tenths}); do {{ {condition}; }} && exit 0; usleep 100000; done; exit 1");
        let done = self.run(&script)?;
        if done.code != 0 {
            let account = self.run(account)?.lines.join("\n");
            return Err(anyhow!("waited {bound:?} for {what}: {}\n{account}", done.lines.join("\n")));
        }
        Ok(())
    }

    /// The next line from the guest.
    fn line(&mut self, what: &str) -> Result<String> {
        self.line_within(self.deadline.saturating_duration_since(Instant::now()), what)
    }

    fn line_within(&mut self, bound: Duration, what: &str) -> Result<String> {
        let why = match self.lines.recv_timeout(bound) {
            Ok(line) => return Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                let why = format!("the guest said nothing for {bound:?}, at most {LIFE:?} old,");
                let account = self.account();
                if !COMPLAINTS.iter().any(|complaint| account.contains(complaint)) {
                    return Err(Standstill(format!("{why} during: {what}\n{account}")).into());
                }
                why
            }
            Err(RecvTimeoutError::Disconnected) => {
                let account = self.account();
                if account.contains(STALE_CODE) {
                    return Err(Standstill(format!("the guest ended during: {what}\n{account}")).into());
                }
                "the guest ended".to_owned()
            }
        };
        Err(anyhow!("{why} during: {what}\n{}", self.account()))
    }

    /// What the console and the emulator said last.
    fn account(&self) -> String {
        let mut account = String::new();
        for (name, path) in [("console", &self.console), ("emulator", &self.stderr)] {
            let text = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
            let _ = writeln!(account, "---- the {name} of kernel {} said last:\n{tail}", self.version);
        }
        account
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        #![allow(clippy::print_stderr, reason = "the harness shows it when the test fails, and only then")]
        let _ = self.child.kill();
        let _ = self.child.wait();
        eprintln!("{}----", self.account());
    }
}
