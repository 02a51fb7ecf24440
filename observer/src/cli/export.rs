//! `observer incident export`: an incident, or a part of time, as one file, or as tables for other tools.

mod file;
mod tables;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use observer_proto::v1::export_incident_request::Of;
use observer_proto::v1::{ExportEnd, ExportHeader, ExportIncidentRequest, TimeRange};

use super::options::Connection;
use super::selection::Selection;
use super::{Usage, past};
use crate::client::{escape, write_json};
use crate::record::export::Reader;
use crate::units::{bytes, plural};
use file::NewFile;

/// Flags of `observer incident export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The incident's id [default: the time of --since and --until]
    #[arg(value_name = "ID", required_unless_present = "since")]
    id: Option<String>,
    /// Instead of an incident, what was recorded since: 5m (ago), or a time such as 2026-01-31T08:12:03Z
    #[arg(long, value_name = "TIME", value_parser = past::time, conflicts_with = "id")]
    since: Option<Timestamp>,
    /// And by then: 5m (ago), or a time [default: now]
    #[arg(long, value_name = "TIME", value_parser = past::time, requires = "since")]
    until: Option<Timestamp>,
    /// Write to this file, - for the standard output; with --format parquet into this folder [default: the id, or the node and
    /// the time, with .observer behind it, or -parquet]
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// What is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "observer")]
    format: Format,
    /// Replace what is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    selection: Selection<true>,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One file for `observer replay`, `observer diff` and --server file://
    Observer,
    /// Two tables for notebooks, events.parquet and summaries.parquet
    Parquet,
}

/// Exports.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { id, since, until, file, format, force, selection, connection } = args;
    let name = name(id.as_deref(), since);
    let bound = |time: Option<Timestamp>| time.map(|time| SystemTime::from(time).into());
    let range = TimeRange { since: bound(since), until: bound(until) };
    let of = id.map_or(Of::Range(range), Of::Id);
    let request = ExportIncidentRequest { of: Some(of), allow: selection.allow, deny: selection.deny };
    if selection.print_filters {
        return Ok(write_json(out, "ExportIncidentRequest", &request)?);
    }
    let to_stdout = file.as_deref() == Some(Path::new("-"));
    match format {
        Format::Observer if to_stdout => {
            let client = connection.connect().await?;
            client.export(request, |piece| out.write_all(piece)).await?;
            Ok(())
        }
        Format::Observer => {
            let path = file.unwrap_or_else(|| PathBuf::from(format!("{name}.observer")));
            let mut new = NewFile::create(&path, force)?;
            let client = connection.connect().await?;
            client.export(request, |piece| new.write_all(piece)).await.map_err(|error| new.told(error))?;
            let (header, end) = checked(&new)?;
            let size = new.keep()?;
            Ok(tell(out, &path, &header, end, size)?)
        }
        Format::Parquet if to_stdout => {
            Err(Usage("--file - with --format parquet: there are two tables\nName a folder.".to_owned())
                .into())
        }
        Format::Parquet => {
            let folder = file.unwrap_or_else(|| PathBuf::from(format!("{name}-parquet")));
            let mut whole = Vec::new();
            let client = connection.connect().await?;
            client.export(request, |piece| whole.write_all(piece)).await?;
            tables::write(&whole, &folder, force, out)
        }
    }
}

/// What a file is called that nobody named.
fn name(id: Option<&str>, since: Option<Timestamp>) -> String {
    // A relay's clients may name the node before it.
    let id = id.map(|id| id.replace('/', "-"));
    let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    match (id, since) {
        (Some(id), _) if !id.starts_with('.') && id.chars().all(letter) => id,
        (None, Some(since)) => since.strftime("recording-%Y%m%dT%H%M%SZ").to_string(),
        (Some(_) | None, _) => "recording".to_owned(),
    }
}

/// What was written, read again: a stream that ended early is no file.
fn checked(new: &NewFile) -> anyhow::Result<(ExportHeader, ExportEnd)> {
    let read = || {
        let mut reader = Reader::open(io::BufReader::new(new.again()?))?;
        while reader.next()?.is_some() {}
        Ok((reader.header().clone(), reader.end().copied().unwrap_or_default()))
    };
    read().map_err(|error: crate::record::export::Error| {
        anyhow::anyhow!("what the daemon sent is no whole file: {error}")
    })
}

fn tell(
    out: &mut dyn Write,
    path: &Path,
    header: &ExportHeader,
    end: ExportEnd,
    size: u64,
) -> io::Result<()> {
    let ExportEnd { parts: _, events, windows } = end;
    let path = escape(&path.display().to_string()).into_owned();
    let [events, windows] = [plural(events, "event"), plural(windows, "window")];
    writeln!(out, "{path}: {events} and {windows} of {}, {}", escape(&header.node_name), bytes(size))?;
    if header.filtered {
        writeln!(out, "what filters or your access left out is not in it")?;
    }
    Ok(())
}
