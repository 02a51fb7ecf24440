//! `observer summary`: the last window that ended, or with `-f` each one as it ends.

use std::io::Write;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{Summary, WatchSummariesRequest, WatchSummariesResponse};

use super::again::Reconnect;
use super::fields::{self, Fields};
use super::options::{self, Connection, Output};
use super::selection::Selection;
use crate::client::{
    self, Answers, Chosen, Client, Error, Look, Nodes, Origin, Paint, Sort, Window, summary_columns,
    write_json, write_tables, write_whole,
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
    /// Begin with the windows since: 5m (ago), or a time such as 2026-01-31T08:12:03Z; as recorded, 10s long or longer
    #[arg(long, value_name = "TIME", value_parser = super::past::time, conflicts_with = "changes")]
    since: Option<Timestamp>,
    /// Show the windows that began before: 5m (ago), or a time
    #[arg(long, value_name = "TIME", value_parser = super::past::time, requires = "since", conflicts_with = "follow")]
    until: Option<Timestamp>,
    /// What comes first [default: worst; with json and yaml the name]
    #[arg(long, value_name = "BY", value_enum)]
    sort: Option<Sort>,
    /// After the first window, show of each what differs from the one before, and what is gone; with json and yaml by keys,
    /// as the API tells it
    #[arg(long, requires = "follow")]
    changes: bool,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    reconnect: Reconnect,
}

/// Shows summaries.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args {
        follow,
        window,
        since,
        until,
        sort,
        changes,
        selection,
        output,
        fields,
        connection,
        reconnect,
    } = args;
    let [since, until] = [since, until].map(|time| time.map(|time| SystemTime::from(time).into()));
    let fields = if changes { fields.with("key", &output) } else { fields };
    let chosen = fields.of(&output, "Summary", &summary_columns())?;
    let request = WatchSummariesRequest {
        allow: selection.allow,
        deny: selection.deny,
        follow,
        window: window.map(options::proto_window),
        field_mask: chosen.mask(if sort.is_some() { Sort::NEEDED } else { &[] }),
        changes,
        since,
        until,
    };
    if selection.print_filters {
        return Ok(write_json(out, "WatchSummariesRequest", &request)?);
    }
    if follow {
        connection.may_follow()?;
    }
    let client = connection.connect().await?;
    let mut answers = client.watch_summaries(request.clone()).await?;
    let mut shown = Shown {
        output,
        chosen,
        sort,
        held: Vec::new(),
        window: Window::default(),
        windows: 0,
        gaps: false,
        origin: Origin::default(),
        nodes: Nodes::default(),
        tabled: false,
        until: None,
    };
    loop {
        let ended = shown.show(&mut answers, out).await?;
        out.flush()?;
        let request = shown.resumed(request.clone());
        let open = async |client: Client| client.watch_summaries(request.clone()).await;
        let again =
            if follow { reconnect.open(&connection, ended, open).await? } else { ended.map(|()| None)? };
        let Some(again) = again else { break };
        answers = again;
    }
    if shown.windows == 0 && !shown.gaps && !shown.output.look().is_whole() {
        writeln!(out, "no window has ended yet: ask again in a moment, or wait for the next with -f")?;
    }
    Ok(())
}

/// What was shown so far.
struct Shown {
    output: Output,
    chosen: Chosen,
    sort: Option<Sort>,
    /// What is still to be sorted, once its window has ended.
    held: Vec<WatchSummariesResponse>,
    window: Window,
    windows: u64,
    /// Something is missing.
    gaps: bool,
    origin: Origin,
    nodes: Nodes,
    /// A table was written last.
    tabled: bool,
    /// Windows up to then were shown.
    until: Option<prost_types::Timestamp>,
}

impl Shown {
    /// The request by which a stream is opened again.
    fn resumed(&self, request: WatchSummariesRequest) -> WatchSummariesRequest {
        match self.until.filter(|_| self.origin.is_relay() && request.since.is_some()) {
            // Whatever windows of the past were told by then are no news.
            Some(until) => WatchSummariesRequest { since: Some(until), ..request },
            None => request,
        }
    }

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
            let look = fields::look(&self.output, &self.chosen);
            let again = match &message.payload {
                Some(Payload::NodeStatus(status)) => self.origin.greeted(status, &look.clock()),
                Some(Payload::Gap(gap)) => {
                    let of = if self.origin.is_relay() { message.node_name.as_str() } else { "" };
                    Some(client::of_node(of, &client::gap_words(gap, &look.clock())))
                }
                Some(Payload::WindowEnd(end)) => {
                    self.until = end.window_start.map(|start| client::after(&start, end.window_ns));
                    None
                }
                _ => None,
            };
            let of_node = match &message.payload {
                Some(Payload::NodeStatus(status)) => self.nodes.line(status),
                _ => None,
            };
            if look.is_whole() {
                self.write_whole(out, &look, message)?;
                continue;
            }
            self.gaps |= matches!(message.payload, Some(Payload::Gap(_)));
            let finished = self.window.add(message);
            // What is said of nodes, one after another, stands together.
            let stands_apart = finished.is_some() || again.is_some() || (of_node.is_some() && self.tabled);
            if self.windows > 0 && stands_apart {
                writeln!(out)?;
            }
            self.tabled &= of_node.is_none();
            for (paint, words) in again.map(|words| (Paint::Warning, words)).into_iter().chain(of_node) {
                writeln!(out, "{}", look.painter.paint(paint, words))?;
            }
            if let Some(mut finished) = finished {
                self.windows += 1;
                self.tabled = true;
                write_tables(out, &look, &mut finished, self.sort.unwrap_or(Sort::Worst))?;
            }
        }
        Ok(Ok(()))
    }

    /// Writes a message, the summaries of a window in the order that was asked for.
    fn write_whole(
        &mut self,
        out: &mut dyn Write,
        look: &Look,
        message: WatchSummariesResponse,
    ) -> std::io::Result<()> {
        let write = |message: &_| write_whole(out, look, "WatchSummariesResponse", message);
        match (&message.payload, self.sort) {
            (Some(Payload::Summary(_)), Some(_)) => {
                self.held.push(message);
                Ok(())
            }
            (Some(Payload::WindowEnd(_)), Some(sort)) => {
                let mut held = std::mem::take(&mut self.held);
                sort_messages(&mut held, sort);
                held.iter().chain([&message]).try_for_each(write)
            }
            (Some(Payload::NodeStatus(_)), _) => {
                // What an earlier stream began is never completed.
                self.held.clear();
                [&message].into_iter().try_for_each(write)
            }
            _ => [&message].into_iter().try_for_each(write),
        }
    }
}

/// Sorts what messages hold.
fn sort_messages(messages: &mut [WatchSummariesResponse], by: Sort) {
    let summary = |message: &mut WatchSummariesResponse| match message.payload.take() {
        Some(Payload::Summary(summary)) => summary,
        Some(Payload::Lost(_) | Payload::NodeStatus(_) | Payload::WindowEnd(_) | Payload::Gap(_)) | None => {
            Summary::default()
        }
    };
    let mut summaries: Vec<Summary> = messages.iter_mut().map(summary).collect();
    client::sort(&mut summaries, by);
    for (message, summary) in messages.iter_mut().zip(summaries) {
        message.payload = Some(Payload::Summary(summary));
    }
}
