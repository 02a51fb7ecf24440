//! `observer context`: which daemons the client's configuration knows, and which one is asked.

use std::io::{self, Write};
use std::path::PathBuf;

use super::options::{Env, Output};
use crate::client::contexts::{Contexts, Error, File, Flags};
use crate::client::{Target, escape, listing};

/// Flags of `observer context`.
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    /// What there is, and which one is the usual one.
    #[arg(skip)]
    found: Found,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the contexts, the current one marked with a star
    List(Shown),
    /// Show what is asked where nothing else is said: the current context, its daemon and how that is reached
    Show(Shown),
    /// Make that context the current one: writes it into the client's configuration, and changes nothing else there
    Use(Use),
}

#[derive(Debug, clap::Args)]
struct Shown {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, clap::Args)]
struct Use {
    /// The context
    name: String,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, clap::Args)]
struct Config {
    /// The client's configuration [env: OBSERVER_CLIENT_CONFIG] [default: ~/.config/observer/observer.toml]
    #[arg(long, value_name = "FILE")]
    client_config: Option<PathBuf>,
}

/// What the client's configuration and the environment say.
#[derive(Debug, Default)]
struct Found {
    contexts: Contexts,
    /// The context that is used where nothing else is said.
    current: Option<String>,
    /// The environment names it, or a daemon, whatever the file says.
    by_environment: Option<&'static str>,
    /// Whom that comes to.
    target: Target,
}

impl Args {
    /// Reads the client's configuration.
    pub(super) fn settle(&mut self, env: Env<'_>) -> Result<(), Error> {
        let config = match &self.command {
            Command::List(Shown { config, .. })
            | Command::Show(Shown { config, .. })
            | Command::Use(Use { config, .. }) => config,
        };
        let contexts = Contexts::load(&File::find(config.client_config.as_deref(), env))?;
        let by_environment =
            ["OBSERVER_SERVER", "OBSERVER_CONTEXT"].into_iter().find(|name| env(name).is_some());
        // A daemon that is named leaves no context to be used.
        let current = if by_environment == Some("OBSERVER_SERVER") { None } else { contexts.usual(env) };
        let mut target = Target::default();
        match &mut self.command {
            Command::List(Shown { output, .. }) => output.settle(&contexts),
            Command::Show(Shown { output, .. }) => {
                output.settle(&contexts);
                target = contexts.target(Flags::default(), env)?;
            }
            Command::Use(_) => {}
        }
        self.found = Found { contexts, current, by_environment, target };
        Ok(())
    }
}

/// Lists, shows or chooses.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Found { contexts, current, by_environment, target } = &args.found;
    match &args.command {
        Command::List(Shown { output, .. }) => {
            Ok(listing::write_contexts(out, &output.look(), contexts, current.as_deref())?)
        }
        Command::Show(Shown { output, .. }) => {
            Ok(listing::write_target(out, &output.look(), current.as_deref(), target)?)
        }
        Command::Use(Use { name, .. }) => {
            contexts.set_current(name)?;
            writeln!(out, "`{}` is the current context", escape(name))?;
            if let Some(variable) = by_environment {
                out.flush()?;
                // Where stderr cannot be written to, there is nobody to tell.
                _ = writeln!(io::stderr().lock(), "observer: {variable} is set, and counts more");
            }
            Ok(())
        }
    }
}
