//! `observer workloads`: the containers, units and the host that the node knows.

use std::io::Write;

use observer_proto::v1::ListWorkloadsRequest;

use super::fields::{self, Fields};
use super::options::{Connection, Output};
use super::selection::Selection;
use crate::client::listing::{self, WorkloadSort};
use crate::client::write_json;

/// Flags of `observer workloads`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What comes first
    #[arg(long, value_name = "BY", value_enum, default_value = "name")]
    sort: WorkloadSort,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Lists workloads.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { sort, selection, output, fields, connection } = args;
    let chosen = fields.of(&output, "WorkloadStatus", &listing::WORKLOADS)?;
    let field_mask = chosen.mask(sort.needed());
    let request = ListWorkloadsRequest { allow: selection.allow, deny: selection.deny, field_mask };
    if selection.print_filters {
        return Ok(write_json(out, "ListWorkloadsRequest", &request)?);
    }
    let mut response = connection.connect().await?.workloads(request).await?;
    sort.sort(&mut response.workloads);
    Ok(listing::write_workloads(out, &fields::look(&output, &chosen), &response)?)
}
