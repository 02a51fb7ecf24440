//! `observer status`: the daemon's state.

use std::io::Write;

use super::fields::{self, Fields};
use super::options::{Connection, Output};
use crate::client::write_status;

/// Flags of `observer status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Shows the state.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { output, fields, connection } = args;
    let chosen = fields.of(&output, "Status", &[])?;
    let status = connection.connect().await?.status().await?;
    Ok(write_status(out, &fields::look(&output, &chosen), &status)?)
}
