//! A program on a terminal of its own: what it draws is read as a terminal would, and keys are typed into it.

use std::fs::{File, OpenOptions};
use std::future::ready;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use vt100::Parser;

use crate::guardian::Guardian;
use crate::wait::{PATIENCE, eventually};

/// A terminal and the program on it. Dropping it kills that.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    /// Where the keys go in and what is drawn comes out.
    master: File,
    /// Held open, so that the terminal is there after its program.
    _line: OwnedFd,
    seen: Arc<Mutex<Screen>>,
}

/// What has been drawn.
struct Screen(Parser);

impl std::fmt::Debug for Screen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0.screen().contents())
    }
}

impl Terminal {
    /// Starts a program on a terminal of so many columns and rows.
    pub fn spawn(program: &Command, (columns, rows): (u16, u16)) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let line = OwnedFd::from(OpenOptions::new().read(true).write(true).open(path)?);
        let (columns, rows) = (cells(columns)?, cells(rows)?);
        tcsetwinsize(&master, winsize(columns, rows))?;
        // It becomes the program, in a session of its own whose terminal this is: signals of the terminal reach it.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args());
        command
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .env_remove("LC_ALL")
            .env_remove("NO_COLOR");
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let end = || line.try_clone().map(Stdio::from);
        let child = Guardian::shared()?
            .mark(&mut command)
            .stdin(end()?)
            .stdout(end()?)
            .stderr(end()?)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let seen = Arc::new(Mutex::new(Screen(Parser::new(rows, columns, 0))));
        let master = File::from(master);
        let (mut output, shared) = (master.try_clone()?, Arc::clone(&seen));
        thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).0.process(&buffer[..read]);
            }
        });
        Ok(Self { child, master, _line: line, seen })
    }

    /// Types keys: the bytes that a terminal sends for them.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.master.write_all(keys.as_bytes())?)
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let (columns, rows) = (cells(columns)?, cells(rows)?);
        // What the program draws for it comes after that.
        self.with(|screen| screen.set_size(rows, columns));
        Ok(tcsetwinsize(&self.master, winsize(columns, rows))?)
    }

    /// What is on the screen now.
    pub fn text(&self) -> String {
        self.with(|screen| screen.contents())
    }

    /// Waits until the screen fulfils a condition; gives what is on it then.
    pub async fn shows(&self, what: &str, is_it: impl Fn(&str) -> bool) -> Result<String> {
        let look = || {
            let text = self.text();
            ready(Ok(if is_it(&text) { Ok(text) } else { Err(Shown(text)) }))
        };
        eventually(PATIENCE, &format!("the screen to show {what}"), look).await
    }

    /// It is the program's: on its other screen, without a cursor, each key told at once.
    pub fn taken(&self) -> Result<bool> {
        let apart = self.with(|screen| screen.alternate_screen() && screen.hide_cursor());
        Ok(apart && !self.cooked()?)
    }

    /// It is as it was before the program.
    pub fn given_back(&self) -> Result<bool> {
        let apart = self.with(|screen| screen.alternate_screen() || screen.hide_cursor());
        Ok(!apart && self.cooked()?)
    }

    /// Whether any of the cells has a colour.
    pub fn coloured(&self) -> bool {
        self.with(|screen| {
            let (rows, columns) = screen.size();
            let mut cells =
                (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
            let plain = vt100::Color::Default;
            cells.any(|(row, column)| {
                screen
                    .cell(row, column)
                    .is_some_and(|cell| cell.fgcolor() != plain || cell.bgcolor() != plain)
            })
        })
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_raw(self.child.id() as i32).context("no pid")?, signal)?)
    }

    /// Waits for the program's end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let ended =
            || ready(self.child.try_wait().map(|status| status.ok_or("still running")).map_err(Into::into));
        let status = eventually(PATIENCE, "the program to end", ended).await?;
        // All that it has written is read.
        eventually(PATIENCE, "the terminal to be given back", || {
            ready(self.given_back().map(|back| if back { Ok(()) } else { Err(Shown(self.text())) }))
        })
        .await?;
        Ok(status)
    }

    fn cooked(&self) -> Result<bool> {
        let modes = tcgetattr(self.master.as_fd())?.local_modes;
        Ok(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG))
    }

    fn with<T>(&self, look: impl FnOnce(&mut vt100::Screen) -> T) -> T {
        look(self.seen.lock().unwrap_or_else(PoisonError::into_inner).0.screen_mut())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            _ = self.child.kill();
            _ = self.child.wait();
        }
    }
}

/// A screen as an error shows it.
struct Shown(String);

impl std::fmt::Debug for Shown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "\n{}", self.0)
    }
}

fn cells(count: u16) -> Result<NonZeroU16> {
    ensure!(count > 1, "too small for a terminal");
    NonZeroU16::new(count).context("no cells")
}

fn winsize(columns: NonZeroU16, rows: NonZeroU16) -> Winsize {
    Winsize { ws_col: columns.get(), ws_row: rows.get(), ws_xpixel: 0, ws_ypixel: 0 }
}
