//! `observer events`: the last events, or with `-f` those that come.

use std::io::Write;
use std::path::{Path, PathBuf};

use observer_proto::v1::{WatchEventsRequest, WatchEventsResponse};

use super::again::Reconnect;
use super::fields::{self, Fields};
use super::options::{Connection, Output};
use super::past::Past;
use super::selection::Selection;
use super::{Usage, recorded};
use crate::client::{Answers, Client, Error, Lines, write_json};

/// Flags of `observer events`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Go on with events as they happen
    #[arg(short, long)]
    follow: bool,
    /// Read what `observer events -o json` wrote instead of asking a daemon: a file, or - for the standard
    /// input; all of it, unless something else is asked for
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(flatten)]
    past: Past,
    #[command(flatten)]
    selection: Selection<true>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    reconnect: Reconnect,
}

impl Args {
    /// The recording that is read instead of asking a daemon.
    pub(super) fn recording(&self) -> Option<&Path> {
        self.input.as_deref()
    }
}

/// Shows the events of a recording.
pub(super) fn read(args: Args, input: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { follow, input: _, past, selection, output, fields, connection, reconnect } = args;
    let chosen = fields.of(&output, "Event", &[])?;
    let flag = connection.given().or(reconnect.is_given().then_some("--reconnect"));
    if follow {
        return Err(Usage(
            "--input with --follow: a recording has an end\nLeave --follow out; for one that grows, use `tail -n +1 -f \
             FILE | observer events --input -`."
                .to_owned(),
        )
        .into());
    }
    if let Some(flag) = flag {
        return Err(Usage(format!("--input with {flag}: no daemon is asked\nLeave one of them out.")).into());
    }
    if selection.print_filters {
        let request = WatchEventsRequest { allow: selection.allow, deny: selection.deny, ..past.recorded() };
        return Ok(write_json(out, "WatchEventsRequest", &request)?);
    }
    recorded::show(input, &past, &selection, &fields::look(&output, &chosen), out)
}

/// Shows events.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { follow, input: _, past, selection, output, fields, connection, reconnect } = args;
    let chosen = fields.of(&output, "Event", &[])?;
    let mut request = past.request(follow);
    (request.allow, request.deny) = (selection.allow, selection.deny);
    request.field_mask = chosen.mask(&[]);
    if selection.print_filters {
        return Ok(write_json(out, "WatchEventsRequest", &request)?);
    }
    if follow {
        connection.may_follow()?;
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
