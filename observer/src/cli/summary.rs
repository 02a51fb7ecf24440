//! `observer summary`: the last window that ended, or with `-f` each one as it ends.

use std::io::Write;
use std::time::Duration;

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{WatchSummariesRequest, WatchSummariesResponse};

use super::again::Reconnect;
use super::options::{self, Connection, Output};
use super::selection::Selection;
use crate::client::{
    Answers, Client, Error, Origin, Paint, Sort, Window, write_json, write_tables, write_whole,
};

/// Flags of `observer summary`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Go on with each window when it has ended
    #[arg(short, long)]
    follow: bool,
    /// The window's length, whole seconds from 1s to 1h [default: the daemon's own]
    #[arg(long, value_name = "DURATION", value_parser = options::window)]
    window: Option<Duration>,
    /// What comes first
    #[arg(long, value_name = "BY", value_enum, default_value = "worst")]
    sort: Sort,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    reconnect: Reconnect,
}

/// Shows summaries.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { follow, window, sort, selection, output, connection, reconnect } = args;
    let window = window.map(options::proto_window);
    let request = WatchSummariesRequest { allow: selection.allow, deny: selection.deny, follow, window };
    if selection.print_filters {
        return Ok(write_json(out, "WatchSummariesRequest", &request)?);
    }
    let client = connection.connect().await?;
    let mut answers = client.watch_summaries(request.clone()).await?;
    let mut shown = Shown { output, sort, window: Window::default(), windows: 0, origin: Origin::default() };
    loop {
        let ended = shown.show(&mut answers, out).await?;
        out.flush()?;
        let open = async |client: Client| client.watch_summaries(request.clone()).await;
        let again =
            if follow { reconnect.open(&connection, ended, open).await? } else { ended.map(|()| None)? };
        let Some(again) = again else { break };
        answers = again;
    }
    if shown.windows == 0 && !shown.output.look().is_whole() {
        writeln!(out, "no window has ended yet: ask again in a moment, or wait for the next with -f")?;
    }
    Ok(())
}

/// What was shown so far.
struct Shown {
    output: Output,
    sort: Sort,
    window: Window,
    windows: u64,
    origin: Origin,
}

impl Shown {
    /// Writes what comes, until the stream ends.
    async fn show(
        &mut self,
        answers: &mut Answers<WatchSummariesResponse>,
        out: &mut dyn Write,
    ) -> std::io::Result<Result<(), Error>> {
        while let Some(message) = answers.next(&mut || out.flush()).await? {
            let message = match message {
                Ok(message) => message,
                Err(error) => return Ok(Err(error)),
            };
            // Asked anew each time: the terminal may have another size by now.
            let look = self.output.look();
            let again = match &message.payload {
                Some(Payload::NodeStatus(status)) => self.origin.greeted(status, &look.clock()),
                _ => None,
            };
            if look.is_whole() {
                write_whole(out, &look, "WatchSummariesResponse", &message)?;
                continue;
            }
            let finished = self.window.add(message);
            if self.windows > 0 && (again.is_some() || finished.is_some()) {
                writeln!(out)?;
            }
            if let Some(words) = again {
                writeln!(out, "{}", look.painter.paint(Paint::Warning, words))?;
            }
            if let Some(mut finished) = finished {
                self.windows += 1;
                write_tables(out, &look, &mut finished, self.sort)?;
            }
        }
        Ok(Ok(()))
    }
}
