//! `observer follow`: a line an event, and the worst of each interval as a table.

use std::io::Write;
use std::time::Duration;

use observer_proto::v1::{WatchEventsRequest, WatchSummariesRequest};

use super::options::{self, Connection, Output};
use super::selection::Selection;
use crate::client::{Lines, Window, write_brief, write_json};

/// How many rows the table has.
const ROWS: usize = 15;

/// Flags of `observer follow`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show a table so often, whole seconds from 1s to 1h
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = options::window)]
    interval: Duration,
    #[command(flatten)]
    selection: Selection<true>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Follows both streams until the events end or Ctrl-C.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { interval, selection, output, connection } = args;
    let summaries = selection.for_summaries();
    let events = WatchEventsRequest { allow: selection.allow, deny: selection.deny, follow: true, last: 0 };
    let summaries = WatchSummariesRequest {
        allow: summaries.allow,
        deny: summaries.deny,
        follow: true,
        window: Some(options::proto_window(interval)),
    };
    if selection.print_filters {
        write_json(out, "WatchEventsRequest", &events)?;
        return Ok(write_json(out, "WatchSummariesRequest", &summaries)?);
    }
    let client = connection.connect().await?;
    let (mut events, mut summaries) =
        tokio::try_join!(client.watch_events(events), client.watch_summaries(summaries))?;
    let mut lines = Lines::new(&output.look());
    let mut window = Window::default();
    let mut summaries_end = false;
    loop {
        // Flushed after each message: a follower looks on.
        let mut nothing = || Ok(());
        let mut idle = || Ok(());
        tokio::select! {
            message = events.next(&mut nothing) => match message? {
                Some(message) => lines.write(out, &message?)?,
                None => return Ok(()),
            },
            message = summaries.next(&mut idle), if !summaries_end => match message? {
                Some(message) => write_summary(out, &output, &mut window, message?)?,
                None => summaries_end = true,
            },
        }
        out.flush()?;
    }
}

fn write_summary(
    out: &mut dyn Write,
    output: &Output,
    window: &mut Window,
    message: observer_proto::v1::WatchSummariesResponse,
) -> std::io::Result<()> {
    // Asked anew each time: the terminal may have another size by now.
    let look = output.look();
    if look.is_json() {
        return write_json(out, "WatchSummariesResponse", &message);
    }
    let Some(mut finished) = window.add(message) else { return Ok(()) };
    writeln!(out)?;
    write_brief(out, &look, &mut finished, ROWS)?;
    writeln!(out)
}
