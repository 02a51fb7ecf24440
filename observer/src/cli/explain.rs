//! `observer explain`: whose fault it is, edge by edge, with the figures that say so.

use std::io::Write;

use observer_proto::v1::{ExplainRequest, ListConnectionsRequest, ListConnectionsResponse};

use super::fields::{self, Fields};
use super::options::{Connection, Output};
use super::selection::{Selection, pod_pattern};
use crate::client::{
    self, Chosen, Sort, explained_columns, write_explanation, write_json, write_missing, write_whole,
};

/// Flags of `observer explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pods whose edges are explained: namespace/prefix, namespace/, /name or prefix [default: all, and
    /// the host]
    #[arg(value_name = "POD", value_parser = pod_pattern)]
    pods: Vec<String>,
    /// What comes first [default: the gravest verdict]
    #[arg(long, value_name = "BY", value_enum)]
    sort: Option<Sort>,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Explains edges.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { pods, sort, selection, output, fields, connection } = args;
    let chosen = fields.of(&output, "Summary", &explained_columns())?;
    let selection = selection.of_pods(&pods);
    let field_mask = chosen.mask(if sort.is_some() { Sort::NEEDED } else { &[] });
    let request = ExplainRequest { allow: selection.allow.clone(), deny: selection.deny.clone(), field_mask };
    if selection.print_filters {
        return Ok(write_json(out, "ExplainRequest", &request)?);
    }
    let client = connection.connect().await?;
    let mut explanation = client.explain(request).await?;
    if let Some(sort) = sort {
        client::sort(&mut explanation.edges, sort);
    }
    let look = fields::look(&output, &chosen);
    if look.is_whole() {
        explanation.edges.iter().try_for_each(|edge| write_whole(out, &look, "Summary", edge))?;
        return Ok(write_missing(out, &look, &explanation.missing_nodes)?);
    }
    let connections = if let Chosen::Columns(_) = chosen {
        ListConnectionsResponse::default()
    } else {
        let (allow, deny) = (selection.allow, selection.deny);
        client.connections(ListConnectionsRequest { allow, deny, ..Default::default() }).await?
    };
    Ok(write_explanation(out, &look, &explanation, &connections)?)
}
