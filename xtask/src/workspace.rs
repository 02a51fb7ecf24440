//! Where the workspace is and where cargo puts what it builds.

use std::env;
use std::path::{Path, PathBuf};

/// The top folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Cargo's target directory.
pub(crate) fn target_directory() -> PathBuf {
    // A relative one is relative to where the user called cargo.
    let chosen =
        env::var_os("CARGO_TARGET_DIR").map(|chosen| std::path::absolute(&chosen).unwrap_or(chosen.into()));
    chosen.unwrap_or_else(|| root().join("target"))
}

/// The daemon and client, once built in release.
pub(crate) fn observer_binary() -> PathBuf {
    target_directory().join("release/observer")
}

/// The virtual environment of the tests' Python client.
pub(crate) fn python_environment() -> PathBuf {
    target_directory().join("test-venv")
}
