//! `observer follow`: a line an event, and the worst of each interval as a table.

use std::io::Write;
use std::time::Duration;

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{
    NodeState, WatchEventsRequest, WatchEventsResponse, WatchSummariesRequest, WatchSummariesResponse,
};

use super::again::Reconnect;
use super::options::{self, Connection, Output};
use super::selection::Selection;
use crate::client::{Answers, Client, Error, Lines, Nodes, Window, write_brief, write_json, write_whole};

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
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    reconnect: Reconnect,
}

/// Follows both streams until the events end or Ctrl-C.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { interval, selection, output, connection, reconnect } = args;
    let summaries = selection.for_summaries();
    let mut events = WatchEventsRequest {
        allow: selection.allow,
        deny: selection.deny,
        follow: true,
        ..WatchEventsRequest::default()
    };
    let summaries = WatchSummariesRequest {
        allow: summaries.allow,
        deny: summaries.deny,
        follow: true,
        window: Some(options::proto_window(interval)),
        ..WatchSummariesRequest::default()
    };
    if selection.print_filters {
        write_json(out, "WatchEventsRequest", &events)?;
        return Ok(write_json(out, "WatchSummariesRequest", &summaries)?);
    }
    connection.may_follow()?;
    let client = connection.connect().await?;
    let mut streams =
        tokio::try_join!(client.watch_events(events.clone()), client.watch_summaries(summaries.clone()))?;
    let mut shown = Shown { lines: Lines::new(&output.look()), output, window: Window::default() };
    loop {
        let ended = shown.show(&mut streams, out).await?;
        out.flush()?;
        events = shown.lines.resumed(events);
        let open = async |client: Client| {
            tokio::try_join!(client.watch_events(events.clone()), client.watch_summaries(summaries.clone()))
        };
        let Some(again) = reconnect.open(&connection, ended, open).await? else { return Ok(()) };
        streams = again;
    }
}

/// What was shown so far.
struct Shown {
    output: Output,
    lines: Lines,
    window: Window,
}

impl Shown {
    /// Writes what comes, until the events end.
    async fn show(
        &mut self,
        (events, summaries): &mut (Answers<WatchEventsResponse>, Answers<WatchSummariesResponse>),
        out: &mut dyn Write,
    ) -> std::io::Result<Result<(), Error>> {
        let mut summaries_end = false;
        loop {
            // Flushed after each message: a follower looks on.
            let mut nothing = || Ok(());
            let mut idle = || Ok(());
            tokio::select! {
                message = events.next(&mut nothing) => match message? {
                    Some(Ok(message)) => self.lines.write(out, &message)?,
                    Some(Err(error)) => return Ok(Err(error)),
                    None => return Ok(Ok(())),
                },
                message = summaries.next(&mut idle), if !summaries_end => match message? {
                    Some(Ok(message)) => write_summary(out, &self.output, &mut self.window, message)?,
                    Some(Err(error)) => return Ok(Err(error)),
                    None => summaries_end = true,
                },
            }
            out.flush()?;
        }
    }
}

fn write_summary(
    out: &mut dyn Write,
    output: &Output,
    window: &mut Window,
    message: WatchSummariesResponse,
) -> std::io::Result<()> {
    // Asked anew each time: the terminal may have another size by now.
    let look = output.look();
    if look.is_whole() {
        return write_whole(out, &look, "WatchSummariesResponse", &message);
    }
    if let Some(Payload::NodeStatus(status)) = &message.payload
        && status.state() == NodeState::Behind
        && let Some((paint, words)) = Nodes::default().line(status)
    {
        // All else of nodes is told among the events.
        writeln!(out, "{}", look.painter.paint(paint, words))?;
    }
    let Some(mut finished) = window.add(message) else { return Ok(()) };
    writeln!(out)?;
    write_brief(out, &look, &mut finished, ROWS)?;
    writeln!(out)
}
