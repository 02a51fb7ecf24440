//! `observer connections`: the connections that are alive, or the sockets that listen.

use std::io::Write;

use observer_proto::v1::{ConnectionOrder, ListConnectionsRequest, ListListenersRequest};

use super::fields::{self, Fields};
use super::options::{Connection, Output};
use super::selection::Selection;
use crate::client::{listing, write_json};

/// Flags of `observer connections`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What comes first
    #[arg(long, value_name = "BY", value_enum, default_value = "worst")]
    sort: Sort,
    /// At most so many, the first of them [default: as many as the daemon gives, 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// The sockets that listen, with their queues, instead
    #[arg(long, conflicts_with_all = ["limit", "sort"])]
    listeners: bool,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// What connections are sorted by, from large to small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// What stands still, then segments sent again, then the round-trip time
    Worst,
    /// Segments sent again
    Retransmits,
    /// Round-trip time
    Rtt,
    /// Handshake latency
    Handshake,
    /// Bytes in both directions
    Bytes,
    /// Bytes that the process has not read
    Unread,
    /// Bytes not sent or not acknowledged
    Unsent,
    /// Age
    Age,
}

impl Sort {
    const fn order(self) -> ConnectionOrder {
        match self {
            Self::Worst => ConnectionOrder::Unspecified,
            Self::Retransmits => ConnectionOrder::Retransmits,
            Self::Rtt => ConnectionOrder::Rtt,
            Self::Handshake => ConnectionOrder::Handshake,
            Self::Bytes => ConnectionOrder::Bytes,
            Self::Unread => ConnectionOrder::Unread,
            Self::Unsent => ConnectionOrder::Unsent,
            Self::Age => ConnectionOrder::Age,
        }
    }
}

/// Lists connections.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { sort, limit, listeners, selection, output, fields, connection } = args;
    if listeners {
        return list_listeners(selection, &output, &fields, connection, out).await;
    }
    let chosen = fields.of(&output, "Connection", &listing::CONNECTIONS)?;
    let field_mask = chosen.mask(&[]);
    let limit = limit.unwrap_or(0);
    let order = sort.order().into();
    let (allow, deny) = (selection.allow, selection.deny);
    let request = ListConnectionsRequest { allow, deny, limit, order, field_mask };
    if selection.print_filters {
        return Ok(write_json(out, "ListConnectionsRequest", &request)?);
    }
    let response = connection.connect().await?.connections(request).await?;
    Ok(listing::write_connections(out, &fields::look(&output, &chosen), &response)?)
}

async fn list_listeners(
    selection: Selection<false>,
    output: &Output,
    fields: &Fields,
    connection: Connection,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let chosen = fields.of(output, "Listener", &listing::LISTENERS)?;
    let field_mask = chosen.mask(&[]);
    let request = ListListenersRequest { allow: selection.allow, deny: selection.deny, field_mask };
    if selection.print_filters {
        return Ok(write_json(out, "ListListenersRequest", &request)?);
    }
    let response = connection.connect().await?.listeners(request).await?;
    Ok(listing::write_listeners(out, &fields::look(output, &chosen), &response)?)
}
