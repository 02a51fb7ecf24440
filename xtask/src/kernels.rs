//! The kernels that the tests boot in virtual machines, and `cargo xtask kernels`, which runs those tests alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, check};
use crate::setup::{self, Scope};
use crate::workspace;

/// The package that depends on a suite's newest kernel; the small one, made for virtual machines.
const CLOUD: &str = "linux-image-cloud-amd64";

/// A kernel that one of Debian's suites carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kernel<'a> {
    /// What it is called here: its series, where the suite keeps it.
    pub(crate) name: &'a str,
    /// The suite.
    pub(crate) suite: &'a str,
    /// A package of it that is, or depends on, the kernel's image.
    pub(crate) package: &'a str,
}

/// All that the tests boot, the oldest first.
pub(crate) const KERNELS: [Kernel<'static>; 3] = [
    Kernel { name: "6.1", suite: "bookworm", package: CLOUD },
    Kernel { name: "6.12", suite: "trixie", package: CLOUD },
    // Not released: its kernels follow Linux's own releases.
    Kernel { name: "newest", suite: "forky", package: CLOUD },
];

/// What may be named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// One of [`KERNELS`].
    Known(&'static str),
    /// A package of a suite of Debian's.
    Package { suite: String, package: String },
    /// A folder with `vmlinuz` and `modules`.
    Folder(PathBuf),
}

/// Reads what is named on the command line.
pub(crate) fn choice(text: &str) -> Result<Choice, String> {
    if let Some(kernel) = KERNELS.iter().find(|kernel| kernel.name == text) {
        return Ok(Choice::Known(kernel.name));
    }
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte))
    };
    if let Some((suite, package)) =
        text.split_once(':').filter(|(suite, package)| is_name(suite) && is_name(package))
    {
        return Ok(Choice::Package { suite: suite.to_owned(), package: package.to_owned() });
    }
    if text.contains('/') {
        return Ok(Choice::Folder(text.into()));
    }
    let names = KERNELS.map(|kernel| kernel.name).join(", ");
    Err(format!("it is none of {names}, no SUITE:PACKAGE of Debian's and no path of a folder"))
}

impl Kernel<'_> {
    /// Its folder, with `vmlinuz`, `modules` and, once all is there, `version`.
    pub(crate) fn folder(&self) -> PathBuf {
        folder(self.name)
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

fn folder(name: &str) -> PathBuf {
    workspace::target_directory().join("kernels").join(name)
}

/// Sets up, builds, and runs the observer on those kernels, or on all that the tests boot; of these it writes into
/// docs/kernels.md what the observer can do there.
pub(crate) fn run(choices: &[Choice]) -> Result<()> {
    setup::run(Scope::Tests)?;
    check(&mut cargo(&["build", "--locked", "--release", "--package", "observer"]))?;
    let known =
        |kernel: &&Kernel<'static>| choices.is_empty() || choices.contains(&Choice::Known(kernel.name));
    let tests: Vec<String> = KERNELS.iter().filter(known).map(Kernel::test).collect();
    if !tests.is_empty() {
        let mut command = test(&tests);
        check(command.env("OBSERVER_UPDATE_DOCS", "1")).context("the observer fails on another kernel")?;
    }
    for choice in choices {
        let name = match choice {
            Choice::Known(_) => continue,
            Choice::Package { suite, package } => fetched(suite, package)?,
            Choice::Folder(path) => linked(path)?,
        };
        println!("\n=== kernel {name}");
        let newest = KERNELS.last().map(Kernel::test);
        let mut command = test(newest.as_slice());
        check(command.env("OBSERVER_KERNEL", &name))
            .with_context(|| format!("the observer fails on {name}"))?;
    }
    Ok(())
}

/// Runs those of the tests that boot kernels.
fn test(names: &[String]) -> Command {
    let mut command = cargo(&["test", "--locked", "--package", "observer-tests", "--test", "kernels"]);
    command.env("OBSERVER_BIN", workspace::observer_binary());
    command.args(["--", "--nocapture", "--exact"]).args(names);
    command
}

/// Has that package's kernel; gives the name of its folder. It is fetched anew, as the suite may have a newer one.
fn fetched(suite: &str, package: &str) -> Result<String> {
    let name = format!("{suite}_{package}");
    setup::fetch_kernel(&Kernel { name: &name, suite, package })?;
    Ok(name)
}

/// Makes a kernel of the user's own known to the tests; gives the name of its folder.
fn linked(path: &Path) -> Result<String> {
    let path = path.canonicalize().with_context(|| format!("no folder {}", path.display()))?;
    let parts = ["vmlinuz", "modules"];
    for part in parts {
        ensure!(path.join(part).exists(), "no {part} in {}", path.display());
    }
    let name = path.display().to_string().replace('/', "_");
    let folder = folder(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for part in parts {
        symlink(path.join(part), folder.join(part))?;
    }
    fs::write(folder.join("version"), format!("{}\n", path.display()))?;
    Ok(name)
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

    #[test]
    fn kernels_are_named_in_three_ways() {
        assert_eq!(choice("6.12"), Ok(Choice::Known("6.12")));
        let package = ("bookworm-backports".to_owned(), "linux-image-cloud-amd64".to_owned());
        let expected = Choice::Package { suite: package.0, package: package.1 };
        assert_eq!(choice("bookworm-backports:linux-image-cloud-amd64"), Ok(expected));
        assert_eq!(choice("./mine"), Ok(Choice::Folder("./mine".into())));
        for wrong in ["5.4", "sid:", ":linux", "sid:a b", "sid main\n:x"] {
            assert!(choice(wrong).is_err(), "{wrong}");
        }
    }
}
