//! `observer connections`: the connections that are alive, or the sockets that listen.

use std::io::Write;

use observer_proto::v1::{ListConnectionsRequest, ListListenersRequest};

use super::options::{Connection, Output};
use super::selection::Selection;
use crate::client::{listing, write_json};

/// Flags of `observer connections`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// At most so many, the worst first [default: as many as the daemon gives, 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// The sockets that listen, with their queues, instead
    #[arg(long, conflicts_with = "limit")]
    listeners: bool,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Lists connections.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { limit, listeners, selection, output, connection } = args;
    if listeners {
        return list_listeners(selection, &output, connection, out).await;
    }
    let limit = limit.unwrap_or(0);
    let request = ListConnectionsRequest { allow: selection.allow, deny: selection.deny, limit };
    if selection.print_filters {
        return Ok(write_json(out, "ListConnectionsRequest", &request)?);
    }
    let response = connection.connect().await?.connections(request).await?;
    Ok(listing::write_connections(out, &output.look(), &response)?)
}

async fn list_listeners(
    selection: Selection<false>,
    output: &Output,
    connection: Connection,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let request = ListListenersRequest { allow: selection.allow, deny: selection.deny };
    if selection.print_filters {
        return Ok(write_json(out, "ListListenersRequest", &request)?);
    }
    let response = connection.connect().await?.listeners(request).await?;
    Ok(listing::write_listeners(out, &output.look(), &response)?)
}
