//! `observer daemon`: from flags to the configuration, and into the daemon.

use std::process::ExitCode;

use crate::config::{Config, Flags};

/// Reads the configuration and runs the daemon until it is told to stop.
pub(super) fn start(flags: &Flags) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, &|name| {
        // A value that is no text is refused as such, with its name, rather than passed over.
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })?;
    crate::daemon::run(&config)?;
    Ok(ExitCode::SUCCESS)
}
