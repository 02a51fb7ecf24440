//! `observer status`: the daemon's state.

use std::io::Write;

use super::options::{Connection, Output};
use crate::client::write_status;

/// Flags of `observer status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Shows the state.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let status = args.connection.connect().await?.status().await?;
    Ok(write_status(out, &args.output.look(), &status)?)
}
