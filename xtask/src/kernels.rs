//! The kernels that the tests boot in virtual machines, and `cargo xtask kernels`, which runs those tests alone.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command::{cargo, check};
use crate::setup::{self, Scope};
use crate::workspace;

/// A kernel that one of Debian's suites carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// What it is called here: its series, where the suite keeps it.
    pub(crate) name: &'static str,
    /// The suite.
    pub(crate) suite: &'static str,
}

/// All of them, the oldest first.
pub(crate) const KERNELS: [Kernel; 3] = [
    Kernel { name: "6.1", suite: "bookworm" },
    Kernel { name: "6.12", suite: "trixie" },
    // Not released: its kernels follow Linux's own releases.
    Kernel { name: "newest", suite: "forky" },
];

impl Kernel {
    /// Its folder, with `vmlinuz`, `modules` and, once all is there, `version`.
    pub(crate) fn folder(&self) -> PathBuf {
        workspace::target_directory().join("kernels").join(self.name)
    }

    /// Whether it has been fetched.
    pub(crate) fn is_here(&self) -> bool {
        self.folder().join("version").is_file()
    }

    /// The test that boots it, in tests/kernels.rs.
    fn test(&self) -> String {
        format!("kernel_{}", self.name.replace('.', "_"))
    }
}

/// Sets up, builds, and runs the observer on the kernels of those names, or on all.
pub(crate) fn run(names: &[String]) -> Result<()> {
    setup::run(Scope::Tests)?;
    check(&mut cargo(&["build", "--locked", "--release", "--package", "observer"]))?;
    let mut command = cargo(&["test", "--locked", "--package", "observer-tests", "--test", "kernels"]);
    command.env("OBSERVER_BIN", workspace::observer_binary()).args(["--", "--nocapture"]);
    if !names.is_empty() {
        let chosen = KERNELS.iter().filter(|kernel| names.iter().any(|name| name == kernel.name));
        command.arg("--exact").args(chosen.map(Kernel::test));
    }
    check(&mut command).context("the observer fails on another kernel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kernel_has_its_test() {
        let tests = include_str!("../../tests/kernels.rs");
        for kernel in &KERNELS {
            assert!(tests.contains(&format!("fn {}()", kernel.test())), "{kernel:?}");
            assert!(tests.contains(&format!("(\"{}\")", kernel.name)), "{kernel:?}");
        }
    }
}
