//! The command line: one subcommand a file, their exit codes, and how errors are told.

mod again;
mod connections;
mod context;
mod daemon;
mod debug;
mod diff;
pub(crate) mod doctor;
mod events;
mod explain;
mod export;
mod fields;
mod follow;
#[cfg(test)]
mod golden;
mod incident;
mod options;
mod pages;
mod past;
mod recorded;
mod relay;
mod replay;
mod selection;
mod status;
mod summary;
#[cfg(test)]
mod tests;
mod top;
mod workloads;

use std::future::Future;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::client::Color;
use crate::client::contexts::{self, Contexts, File};
use crate::{client, config};
use options::{Env, Output};

/// Something was asked for in a wrong way; clap's own errors end so too.
const USAGE: u8 = 2;

/// Flags that do not go together, with what to do instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Shows what the containers of this machine do on the network and as processes.
#[derive(Debug, clap::Parser)]
#[command(name = "observer", version, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Watch this machine and serve what happens (as root)
    Daemon(Box<config::Flags>),
    /// Watch workloads and edges on the whole terminal, the worst first, and go down to their events
    Top(Box<top::Args>),
    /// Show events: what happened, or with -f what happens
    Events(Box<events::Args>),
    /// Show summaries of workloads and their edges over a window
    Summary(Box<summary::Args>),
    /// Say whose fault it is: a verdict on each edge of a pod, with the figures of the last minute
    Explain(Box<explain::Args>),
    /// Look closely at some pods for a while: how long they take to answer, dropped packets, signals, failed opens
    Debug(Box<debug::Args>),
    /// List the connections that are alive, or the sockets that listen
    Connections(Box<connections::Args>),
    /// List the workloads that the node knows
    Workloads(Box<workloads::Args>),
    /// Show the daemon's state: what it can see, what it lost, what it costs; or a relay's, and how its nodes are
    Status(status::Args),
    /// Show what this kernel and machine can do; needs no daemon
    Doctor(doctor::Args),
    /// Follow events, with a summary table each interval
    Follow(Box<follow::Args>),
    /// List, show, open, close and delete incidents: what went wrong, and the story of it
    Incident(Box<incident::Args>),
    /// Compare two parts of a recording, before and after a deploy, say: what became better or worse by more than noise
    Diff(Box<diff::Args>),
    /// Serve an exported recording as the daemon serves what happens, for other tools; needs no daemon and no root
    Replay(replay::Args),
    /// Answer for the daemons of many nodes as if they were one, for all client commands
    Relay(Box<relay::Args>),
    /// Choose the daemon that is asked, of those in the client's configuration
    Context(context::Args),
    /// Print the script that completes commands in bash, zsh or fish
    Completion(pages::Completion),
    /// Write the man pages into a folder
    Man(pages::Man),
}

/// Runs the subcommand.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let mut command = cli.command;
    command.settle(&|name| {
        // A value that is no text is refused as such, with its name, rather than passed over.
        std::env::var_os(name)
            .map(|value| value.to_string_lossy().into_owned())
            .filter(|value| !value.is_empty())
    })?;
    let mut out = BufWriter::new(io::stdout().lock());
    let result = match command {
        Command::Daemon(flags) => daemon::start(&flags),
        Command::Events(args) => match args.recording().map(Path::to_owned) {
            // Nobody is waited for but who writes it: Ctrl-C ends that, too.
            Some(input) => events::read(*args, &input, &mut out).map(|()| ExitCode::SUCCESS),
            None => block_on(events::run(*args, &mut out)),
        },
        Command::Top(args) => block_on(top::run(*args, &mut out)),
        Command::Summary(args) => block_on(summary::run(*args, &mut out)),
        Command::Debug(args) => block_on_whole(debug::run(*args, &mut out)),
        Command::Explain(args) => block_on(explain::run(*args, &mut out)),
        Command::Connections(args) => block_on(connections::run(*args, &mut out)),
        Command::Workloads(args) => block_on(workloads::run(*args, &mut out)),
        Command::Status(args) => block_on(status::run(args, &mut out)),
        Command::Doctor(args) => doctor::diagnose().and_then(|found| doctor::run(&args, &found, &mut out)),
        Command::Follow(args) => block_on(follow::run(*args, &mut out)),
        Command::Incident(args) => block_on(incident::run(*args, &mut out)),
        Command::Diff(args) => block_on(diff::run(*args, &mut out)),
        Command::Replay(args) => replay::serve(args, &mut out),
        Command::Relay(args) => relay::serve(&args),
        Command::Context(args) => context::run(&args, &mut out).map(|()| ExitCode::SUCCESS),
        Command::Completion(args) => pages::complete(&args, &mut out),
        Command::Man(args) => pages::write_manual(&args),
    };
    // What was written before an error belongs before its message.
    let flushed = out.flush();
    let code = result?;
    flushed?;
    Ok(code)
}

/// What says how a command's output looks.
enum Shown<'a> {
    Output(&'a mut Output),
    Color(&'a mut Option<Color>),
    /// It is no text for people.
    Nothing,
}

impl Command {
    /// Has the client's configuration and the environment fill in what the command line does not say.
    fn settle(&mut self, env: Env<'_>) -> anyhow::Result<()> {
        // Nobody is asked for what was recorded.
        let asks = !matches!(self, Self::Events(args) if args.recording().is_some());
        let (connection, shown) = match self {
            Self::Events(args) => (Some(&mut args.connection), Shown::Output(&mut args.output)),
            Self::Summary(args) => (Some(&mut args.connection), Shown::Output(&mut args.output)),
            Self::Explain(args) => (Some(&mut args.connection), Shown::Output(&mut args.output)),
            Self::Debug(args) => (Some(&mut args.connection), Shown::Output(&mut args.output)),
            Self::Connections(args) => (Some(&mut args.connection), Shown::Output(&mut args.output)),
            Self::Workloads(args) => (Some(&mut args.connection), Shown::Output(&mut args.output)),
            Self::Status(args) => (Some(&mut args.connection), Shown::Output(&mut args.output)),
            Self::Follow(args) => (Some(&mut args.connection), Shown::Output(&mut args.output)),
            Self::Top(args) => (Some(&mut args.connection), Shown::Color(&mut args.color)),
            Self::Incident(args) => {
                let (connection, output) = args.shared();
                (Some(connection), output.map_or(Shown::Nothing, Shown::Output))
            }
            Self::Diff(args) => (Some(&mut args.connection), Shown::Output(&mut args.output)),
            Self::Doctor(args) => (None, Shown::Output(&mut args.output)),
            Self::Context(args) => return Ok(args.settle(env)?),
            Self::Daemon(_) | Self::Relay(_) | Self::Replay(_) | Self::Completion(_) | Self::Man(_) => {
                return Ok(());
            }
        };
        let named = connection.as_ref().and_then(|connection| connection.config());
        let contexts = Contexts::load(&File::find(named, env))?;
        match shown {
            Shown::Output(output) => output.settle(&contexts),
            Shown::Color(color) => *color = color.or(contexts.color),
            Shown::Nothing => {}
        }
        match connection.filter(|_| asks) {
            Some(connection) => Ok(connection.settle(&contexts, env)?),
            None => Ok(()),
        }
    }
}

/// Tells an error on stderr, and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // Nobody reads on (`observer events | head`): there is nobody to tell either.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    // Where stderr cannot be written to, the exit code has to do.
    let mut stderr = io::stderr().lock();
    // Those of client and configuration have their cause within their words already.
    let whole = error.is::<client::Error>()
        || error.is::<config::Error>()
        || error.is::<contexts::Error>()
        || error.is::<crate::replay::Error>()
        || error.is::<client::recorded::Error>();
    _ = if whole { writeln!(stderr, "observer: {error}") } else { writeln!(stderr, "observer: {error:#}") };
    if is_usage(error) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<config::Error>()
        || error.is::<Usage>()
        || error.downcast_ref::<contexts::Error>().is_some_and(contexts::Error::is_usage)
        || error.is::<top::NoTerminal>()
        || error.downcast_ref::<client::Error>().is_some_and(client::Error::is_usage)
}

/// Runs a client's work that sees to Ctrl-C itself.
fn block_on_whole(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a client's work until it is done, or until Ctrl-C, which is how following ends.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            result = work => result,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(anyhow::Error::from),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
