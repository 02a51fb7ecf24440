//! `observer diff`: what became better or worse from one part of a recording to another.

mod part;

use std::io::Write;

use observer_proto::v1::{CompareWindowsRequest, CompareWindowsResponse};

use super::fields::{self, Fields};
use super::options::{Connection, Output};
use super::selection::Selection;
use crate::client::{Client, compared_columns, write_comparison, write_json, write_whole};
use crate::filter::Filters;
use crate::record;
use crate::record::export::{self, Recording};
use crate::replay;
use part::Part;

/// Flags of `observer diff`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What is compared with: an exported file, an incident's id, or a part of time such as -20m..-10m or
    /// 2026-01-31T08:00Z..08:10Z
    #[arg(value_name = "A", value_parser = part::parse, allow_hyphen_values = true)]
    a: Part,
    /// What is compared, likewise
    #[arg(value_name = "B", value_parser = part::parse, allow_hyphen_values = true)]
    b: Part,
    /// List also what is the same, and what there is too little of
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Compares.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { a, b, all, selection, output, fields, connection } = args;
    let chosen = fields.of(&output, "Comparison", &compared_columns())?;
    let look = fields::look(&output, &chosen);
    let response = if let (Some(a), Some(b)) = (a.range(), b.range()) {
        let (allow, deny) = (selection.allow, selection.deny);
        let request = CompareWindowsRequest { a: Some(a), b: Some(b), allow, deny };
        if selection.print_filters {
            return Ok(write_json(out, "CompareWindowsRequest", &request)?);
        }
        connection.connect().await?.compare(request).await?
    } else {
        let filters = Filters::of_summaries(&selection.allow, &selection.deny)?;
        let mut client = None;
        let mut sides = Vec::new();
        for part in [a, b] {
            sides.push(recording(part, &connection, &mut client).await?);
        }
        compare(&sides, &filters)?
    };
    if look.is_whole() {
        let shown = response.comparisons.iter().filter(|one| all || crate::client::differs(one.verdict()));
        let mut shown = shown;
        return Ok(shown.try_for_each(|one| write_whole(out, &look, "Comparison", one))?);
    }
    Ok(write_comparison(out, &look, &response, all)?)
}

/// A side that is compared here: a file, or what the daemon has of it.
async fn recording(
    part: Part,
    connection: &Connection,
    client: &mut Option<Client>,
) -> anyhow::Result<Recording> {
    let range = match part {
        Part::File(path) => return Ok(replay::read(&path)?),
        Part::Range(range) => range,
    };
    if client.is_none() {
        *client = Some(connection.connect().await?);
    }
    let mut file = Vec::new();
    if let Some(client) = client {
        client.export(part::exported(range), |piece| file.write_all(piece)).await?;
    }
    export::load(file.as_slice())
        .map_err(|error| anyhow::anyhow!("what the daemon sent is no whole file: {error}"))
}

fn compare(sides: &[Recording], filters: &Filters) -> anyhow::Result<CompareWindowsResponse> {
    let [a, b] = sides else { anyhow::bail!("there are two sides") };
    let side = |of: &Recording| (of.store.clone(), of.header.node_name.clone());
    // Blocks are exported whole, so that a file has somewhat more than was asked for.
    let response = record::compare(&[side(a), side(b)], [a.range(), b.range()], filters, &|| true)?;
    for (name, side) in [("A", &response.a), ("B", &response.b)] {
        if side.as_ref().is_none_or(|side| side.windows == 0) {
            anyhow::bail!("{name}: no window of that time is recorded");
        }
    }
    Ok(response)
}
