//! `observer events`: the last events, or with `-f` those that come.

use std::io::Write;

use observer_proto::v1::WatchEventsResponse;

use super::again::Reconnect;
use super::fields::{self, Fields};
use super::options::{Connection, Output};
use super::past::Past;
use super::selection::Selection;
use crate::client::{Answers, Client, Error, Lines, write_json};

/// Flags of `observer events`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Go on with events as they happen
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    past: Past,
    #[command(flatten)]
    selection: Selection<true>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    reconnect: Reconnect,
}

/// Shows events.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { follow, past, selection, output, fields, connection, reconnect } = args;
    let chosen = fields.of(&output, "Event", &[])?;
    let mut request = past.request(follow);
    (request.allow, request.deny) = (selection.allow, selection.deny);
    request.field_mask = chosen.mask(&[]);
    if selection.print_filters {
        return Ok(write_json(out, "WatchEventsRequest", &request)?);
    }
    let client = connection.connect().await?;
    let mut answers = client.watch_events(request.clone()).await?;
    let mut lines = Lines::new(&fields::look(&output, &chosen));
    loop {
        let ended = show(&mut answers, &mut lines, out).await?;
        out.flush()?;
        if !follow {
            return Ok(ended?);
        }
        request = lines.resumed(request);
        let open = async |client: Client| client.watch_events(request.clone()).await;
        let Some(again) = reconnect.open(&connection, ended, open).await? else { return Ok(()) };
        answers = again;
    }
}

/// Writes what comes, until the stream ends.
async fn show(
    answers: &mut Answers<WatchEventsResponse>,
    lines: &mut Lines,
    out: &mut dyn Write,
) -> std::io::Result<Result<(), Error>> {
    while let Some(message) = answers.next(&mut || out.flush()).await? {
        match message {
            Ok(message) => lines.write(out, &message)?,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}
