//! The flags that every client command shares: which daemon, and how the output looks.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::Usage;
use crate::client::contexts::{Contexts, Flags};
use crate::client::{self, Chosen, Client, Color, Format, Look, Painter, Server, Target, TimeFormat, Tls};
use crate::config;

/// Which daemon is asked.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// The daemon, or a relay over many: unix:///path, tls://host:port, or on this machine in plain text tcp://127.0.0.1:port; or file://PATH: an
    /// exported recording instead of a daemon [env: OBSERVER_SERVER] [default: the context's, else unix:///run/observer/observer.sock]
    #[arg(long, value_name = "ADDRESS")]
    server: Option<Server>,
    /// Ask the daemon of this context of the client's configuration [env: OBSERVER_CONTEXT] [default: the
    /// current one, unless a daemon is named]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The client's configuration [env: OBSERVER_CLIENT_CONFIG] [default: ~/.config/observer/observer.toml]
    #[arg(long, value_name = "FILE")]
    client_config: Option<PathBuf>,
    /// The authority that the daemon's certificate is of (PEM)
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// This client's certificate (PEM), with --tls-key
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of this client's certificate (PEM), with --tls-cert
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The name in the daemon's certificate, where that is not the host's
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Wait so long for the connection and for each first answer [default: the context's, else 5s]
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    timeout: Option<Duration>,
    /// What all of these and the environment come to, once that is settled.
    #[arg(skip)]
    target: Option<Target>,
}

/// How the output looks.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// The format [default: compact]
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum)]
    format: Option<Format>,
    /// Colours; auto: on a terminal, unless NO_COLOR is set [default: auto]
    #[arg(long, value_name = "WHEN", value_enum)]
    color: Option<Color>,
    /// How times are written [default: time on a terminal, else rfc3339]
    #[arg(long, value_name = "FORMAT", value_enum)]
    time_format: Option<TimeFormat>,
}

/// A variable of the environment; an empty one is none.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Color {
    /// Whether there are, on a terminal or elsewhere.
    pub(super) fn enabled(self, terminal: bool) -> bool {
        match self {
            Self::Auto => terminal && !is_dumb() && set("NO_COLOR").is_none(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// The terminal is one that does nothing but print.
pub(super) fn is_dumb() -> bool {
    set("TERM").is_some_and(|term| term == "dumb")
}

/// A variable of the environment that is not empty.
pub(super) fn set(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

impl Connection {
    /// Where the client's configuration is, if the command line says so.
    pub(super) fn config(&self) -> Option<&Path> {
        self.client_config.as_deref()
    }

    /// Works out whom to ask.
    pub(super) fn settle(
        &mut self,
        contexts: &Contexts,
        env: Env<'_>,
    ) -> Result<(), client::contexts::Error> {
        self.target = Some(contexts.target(self.flags(), env)?);
        Ok(())
    }

    /// The flag of these that was given, if one was: none of them is of use where nobody is asked.
    pub(super) fn given(&self) -> Option<&'static str> {
        let Self {
            server,
            context,
            client_config: _,
            tls_ca,
            tls_cert,
            tls_key,
            tls_server_name,
            timeout,
            target: _,
        } = self;
        let flags = [
            ("--server", server.is_some()),
            ("--context", context.is_some()),
            ("--tls-ca", tls_ca.is_some()),
            ("--tls-cert", tls_cert.is_some()),
            ("--tls-key", tls_key.is_some()),
            ("--tls-server-name", tls_server_name.is_some()),
            ("--timeout", timeout.is_some()),
        ];
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// Refuses to follow a recording, which has an end.
    pub(super) fn may_follow(&self) -> Result<(), Usage> {
        match self.target.as_ref().map(|target| &target.server) {
            Some(Server::File(path)) => Err(Usage(format!(
                "--follow with {}: a recording has an end, and nothing new comes\nLeave --follow out.",
                path.display()
            ))),
            Some(Server::Unix(_) | Server::Loopback(_) | Server::Secured { .. }) | None => Ok(()),
        }
    }

    /// Connects to the daemon.
    pub(super) async fn connect(&self) -> Result<Client, client::Error> {
        Client::connect(self.target.clone().unwrap_or_default()).await
    }

    fn flags(&self) -> Flags {
        let Self {
            server,
            context,
            client_config: _,
            tls_ca,
            tls_cert,
            tls_key,
            tls_server_name,
            timeout,
            target: _,
        } = self.clone();
        let tls = Tls { ca: tls_ca, cert: tls_cert, key: tls_key, server_name: tls_server_name };
        Flags { server, context, tls, timeout }
    }
}

impl Output {
    /// The format.
    pub(super) fn format(&self) -> Format {
        self.format.unwrap_or(Format::Compact)
    }

    /// Takes from the client's configuration what the command line does not say.
    pub(super) fn settle(&mut self, contexts: &Contexts) {
        self.format = self.format.or(contexts.output);
        self.color = self.color.or(contexts.color);
        self.time_format = self.time_format.or(contexts.time_format);
    }

    /// How the output looks on this stdout, now.
    pub(super) fn look(&self) -> Look {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let size = rustix::termios::tcgetwinsize(&stdout).ok().filter(|_| terminal);
        let enabled = self.color.unwrap_or(Color::Auto).enabled(terminal);
        let usual = if terminal { TimeFormat::Time } else { TimeFormat::Rfc3339 };
        Look {
            format: self.format(),
            painter: Painter { enabled },
            width: size.map(|size| size.ws_col).filter(|columns| *columns > 0),
            times: self.time_format.unwrap_or(usual),
            zone: TimeZone::system(),
            chosen: Chosen::All,
        }
    }
}

/// A duration that is not 0.
pub(super) fn positive(text: &str) -> Result<Duration, &'static str> {
    config::parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or("allowed are durations above 0, such as `500ms` or `5s`")
}

/// A window: whole seconds.
pub(super) fn window(text: &str) -> Result<Duration, &'static str> {
    config::parse_duration(text)
        .filter(|window| window.subsec_nanos() == 0 && (1..=3_600).contains(&window.as_secs()))
        .ok_or("allowed are whole seconds from 1s to 1h, such as `10s`")
}

/// The API's form of a window.
pub(super) fn proto_window(window: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::try_from(window.as_secs()).unwrap_or(i64::MAX), nanos: 0 }
}
