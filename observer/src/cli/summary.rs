//! `observer summary`: the last window that ended, or with `-f` each one as it ends.

use std::io::Write;
use std::time::Duration;

use observer_proto::v1::WatchSummariesRequest;

use super::options::{self, Connection, Output};
use super::selection::Selection;
use crate::client::{Sort, Window, write_json, write_tables};

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
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Shows summaries.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { follow, window, sort, selection, output, connection } = args;
    let window = window.map(options::proto_window);
    let request = WatchSummariesRequest { allow: selection.allow, deny: selection.deny, follow, window };
    if selection.print_filters {
        return Ok(write_json(out, "WatchSummariesRequest", &request)?);
    }
    let client = connection.connect().await?;
    let mut answers = client.watch_summaries(request).await?;
    let mut window = Window::default();
    let mut windows = 0_u64;
    while let Some(message) = answers.next(&mut || out.flush()).await? {
        let message = message?;
        if output.look().is_json() {
            write_json(out, "WatchSummariesResponse", &message)?;
        } else if let Some(mut finished) = window.add(message) {
            if windows > 0 {
                writeln!(out)?;
            }
            windows += 1;
            write_tables(out, &output.look(), &mut finished, sort)?;
        }
    }
    if windows == 0 && !output.look().is_json() {
        writeln!(out, "no window has ended yet: ask again in a moment, or wait for the next with -f")?;
    }
    Ok(())
}
