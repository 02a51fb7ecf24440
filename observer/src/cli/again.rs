//! Following goes on when the daemon went away and has come back.

use std::io::{self, Write as _};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::options::Connection;
use crate::client::{Client, Error};
use crate::config;

/// How often a daemon that is away is looked for.
const STEP: Duration = Duration::from_millis(250);
/// How long is waited unless something else was asked for.
const USUAL: Duration = Duration::from_mins(1);

/// What is done when the daemon goes away.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Reconnect {
    /// While following, when the daemon goes away: wait so long for it to come back, and go on; 0s: end
    /// [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = patience)]
    reconnect: Option<Duration>,
}

impl Reconnect {
    /// The flag was given.
    pub(super) const fn is_given(self) -> bool {
        self.reconnect.is_some()
    }

    /// Says that the stream has ended, waits for the daemon, and opens the stream again. `None` where nobody wants to
    /// wait, and the daemon had said goodbye.
    pub(super) async fn open<T>(
        self,
        connection: &Connection,
        ended: Result<(), Error>,
        open: impl AsyncFn(Client) -> Result<T, Error>,
    ) -> anyhow::Result<Option<T>> {
        // Where stderr cannot be written to, there is nobody to tell.
        let tell = async |words| _ = writeln!(io::stderr().lock(), "observer: {words}");
        self.open_telling(connection, ended, tell, open).await
    }

    /// The same with another way to say it.
    pub(super) async fn open_telling<T>(
        self,
        connection: &Connection,
        ended: Result<(), Error>,
        tell: impl AsyncFnOnce(String),
        open: impl AsyncFn(Client) -> Result<T, Error>,
    ) -> anyhow::Result<Option<T>> {
        let away = match &ended {
            Ok(()) => "the daemon stopped".to_owned(),
            Err(error) if error.is_hang_up() => "the connection to the daemon broke".to_owned(),
            Err(_) => return Ok(ended.map(|()| None)?),
        };
        let reconnect = self.reconnect.unwrap_or(USUAL);
        if reconnect.is_zero() {
            return Ok(ended.map(|()| None)?);
        }
        let patience = reconnect.as_secs_f64();
        tell(format!("{away}; waiting {patience} s at most for it to come back")).await;
        let until = Instant::now() + reconnect;
        loop {
            let opened = match connection.connect().await {
                Ok(client) => open(client).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(opened) => return Ok(Some(opened)),
                Err(error) if error.is_refusal() || Instant::now() >= until => return Err(error.into()),
                Err(_not_yet) => sleep(STEP).await,
            }
        }
    }
}

/// A duration, 0 included.
fn patience(text: &str) -> Result<Duration, &'static str> {
    config::parse_duration(text).ok_or("allowed are durations such as `30s` or `1m`, and `0s`")
}
