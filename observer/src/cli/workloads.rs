//! `observer workloads`: the containers, units and the host that the node knows.

use std::io::Write;

use observer_proto::v1::ListWorkloadsRequest;

use super::options::{Connection, Output};
use super::selection::Selection;
use crate::client::{listing, write_json};

/// Flags of `observer workloads`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Lists workloads.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { selection, output, connection } = args;
    let request = ListWorkloadsRequest { allow: selection.allow, deny: selection.deny };
    if selection.print_filters {
        return Ok(write_json(out, "ListWorkloadsRequest", &request)?);
    }
    let response = connection.connect().await?.workloads(request).await?;
    Ok(listing::write_workloads(out, &output.look(), &response)?)
}
