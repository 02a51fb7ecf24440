//! An exported file as tables in Parquet.

use std::fs;
use std::io::Write;
use std::path::Path;

use observer_proto::v1::{Event, Summary};
use prost::Message as _;

use super::file::NewFile;
use crate::client::escape;
use crate::client::parquet::{EVENTS, SUMMARIES, Table};
use crate::event::{WallTime, Window};
use crate::filter::Filters;
use crate::record::export;
use crate::record::{self, Place, Recorded, Store};
use crate::units::plural;
use crate::wire::{self, back};

/// Writes both tables into a folder.
pub(super) fn write(file: &[u8], folder: &Path, force: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let recording = export::load(file)
        .map_err(|error| anyhow::anyhow!("what the daemon sent is no whole file: {error}"))?;
    fs::create_dir_all(folder)
        .map_err(|error| anyhow::anyhow!("cannot make {}: {error}", folder.display()))?;
    // Both are begun before one is written: nothing is left where one of them may not be.
    let mut events = NewFile::create(&folder.join("events.parquet"), force)?;
    let mut summaries = NewFile::create(&folder.join("summaries.parquet"), force)?;
    // Blocks are exported whole, so that a file has somewhat more than was asked for.
    let (store, range) = (&recording.store, recording.range());
    let written = events_of(store, range, &mut events).map_err(|error| events.told(error))?;
    let summed = summaries_of(store, range, &mut summaries).map_err(|error| summaries.told(error))?;
    events.keep()?;
    summaries.keep()?;
    let folder = escape(&folder.display().to_string()).into_owned();
    writeln!(out, "{folder}/events.parquet: {}", plural(written, "row"))?;
    writeln!(out, "{folder}/summaries.parquet: {}", plural(summed, "row"))?;
    Ok(())
}

fn events_of(store: &Store, [since, until]: [WallTime; 2], file: &mut NewFile) -> anyhow::Result<u64> {
    let mut table = Table::new("events", EVENTS, file).map_err(plain)?;
    let (mut place, mut rows) = (Place::default(), 0);
    while let Some(chunk) = store.forward(place)? {
        place = chunk.after;
        for item in chunk.items {
            let Recorded::Event { event, .. } = item else { continue };
            let event = Event::decode(event)?;
            let at = event.time.as_ref().map_or(WallTime(0), back::wall_time);
            if at < since || at > until {
                continue;
            }
            table.add(&event).map_err(plain)?;
            rows += 1;
        }
    }
    table.finish().map_err(plain)?;
    Ok(rows)
}

fn summaries_of(store: &Store, range: [WallTime; 2], file: &mut NewFile) -> anyhow::Result<u64> {
    let mut table = Table::new("summaries", SUMMARIES, file).map_err(plain)?;
    let mut rows = 0;
    let mut failed = Ok(());
    record::for_each_window(store, range, |mut window| {
        window.show_idle();
        failed = add_window(&mut table, &window, &mut rows);
        failed.is_ok()
    })?;
    failed?;
    table.finish().map_err(plain)?;
    Ok(rows)
}

fn add_window<W: Write + Send>(
    table: &mut Table<Summary, W>,
    window: &Window,
    rows: &mut u64,
) -> anyhow::Result<()> {
    for (_, summary) in wire::summaries(window, &Filters::default(), record::CLOCKS) {
        // The same message in the client's types.
        table.add(&Summary::decode(summary.encode_to_vec().as_slice())?).map_err(plain)?;
        *rows += 1;
    }
    Ok(())
}

/// The system's own error, where that is what it is.
fn plain(error: parquet::errors::ParquetError) -> anyhow::Error {
    let parquet::errors::ParquetError::External(source) = error else { return error.into() };
    match source.downcast::<std::io::Error>() {
        Ok(error) => (*error).into(),
        Err(other) => anyhow::anyhow!("{other}"),
    }
}
