//! The flags that every client command shares: which daemon, and how the output looks.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::client::{self, Client, Format, Look, Painter, Server, TimeFormat};
use crate::config::{self, DEFAULT_SOCKET};

/// Which daemon is asked.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// The daemon: unix:///path or http://127.0.0.1:port
    #[arg(long, env = "OBSERVER_SERVER", hide_env_values = true, value_name = "ADDRESS", default_value = DEFAULT_SOCKET)]
    server: Server,
    /// Wait so long for the connection and for each first answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = positive)]
    timeout: Duration,
}

/// How the output looks.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// The format
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value = "compact")]
    format: Format,
    /// Colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    color: Color,
    /// How times are written [default: time on a terminal, else rfc3339]
    #[arg(long, value_name = "FORMAT", value_enum)]
    time_format: Option<TimeFormat>,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

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
    /// Connects to the daemon.
    pub(super) async fn connect(&self) -> Result<Client, client::Error> {
        Client::connect(self.server.clone(), self.timeout).await
    }
}

impl Output {
    /// How the output looks on this stdout, now.
    pub(super) fn look(&self) -> Look {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let size = rustix::termios::tcgetwinsize(&stdout).ok().filter(|_| terminal);
        let enabled = self.color.enabled(terminal);
        let usual = if terminal { TimeFormat::Time } else { TimeFormat::Rfc3339 };
        Look {
            format: self.format,
            painter: Painter { enabled },
            width: size.map(|size| size.ws_col).filter(|columns| *columns > 0),
            times: self.time_format.unwrap_or(usual),
            zone: TimeZone::system(),
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
