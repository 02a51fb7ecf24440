//! `observer explain`: whose fault it is, edge by edge, with the figures that say so.

use std::io::Write;

use observer_proto::v1::{ExplainRequest, ListConnectionsRequest};

use super::options::{Connection, Output};
use super::selection::{Selection, pod_pattern};
use crate::client::{write_explanation, write_json, write_whole};

/// Flags of `observer explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pods whose edges are explained: namespace/prefix, namespace/, /name or prefix [default: all, and
    /// the host]
    #[arg(value_name = "POD", value_parser = pod_pattern)]
    pods: Vec<String>,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Explains edges.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { pods, selection, output, connection } = args;
    let selection = selection.of_pods(&pods);
    let request = ExplainRequest { allow: selection.allow.clone(), deny: selection.deny.clone() };
    if selection.print_filters {
        return Ok(write_json(out, "ExplainRequest", &request)?);
    }
    let client = connection.connect().await?;
    let explanation = client.explain(request).await?;
    let look = output.look();
    if look.is_whole() {
        return Ok(explanation.edges.iter().try_for_each(|edge| write_whole(out, &look, "Summary", edge))?);
    }
    let request =
        ListConnectionsRequest { allow: selection.allow, deny: selection.deny, ..Default::default() };
    let connections = client.connections(request).await?;
    Ok(write_explanation(out, &look, &explanation, &connections)?)
}
