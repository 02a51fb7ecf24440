//! Fetches a newer containerd than the system's: one that tells its clients of containers by itself.

use std::fs;

use anyhow::{Context, Result};

use super::archive::{PrivateApt, entries, field, put_in_place, workplace};
use crate::workspace;

/// Its package, and the suite that has it at 2.1 or later.
const PACKAGE: &str = "containerd";
const SUITE: &str = "forky";

/// Where it is: `bin` with containerd and its shim, and, once all is there, `version`.
fn folder() -> std::path::PathBuf {
    workspace::target_directory().join("containerd-newest")
}

/// Whether it has been fetched.
pub(super) fn is_here() -> bool {
    folder().join("version").is_file()
}

/// What to do where this cannot be done.
pub(super) fn by_hand() -> String {
    let folder = folder();
    let folder = folder.display();
    format!(
        "a containerd of 2.0 or later: put containerd, containerd-shim-runc-v2 and ctr into {folder}/bin, and its version \
         into {folder}/version"
    )
}

/// Downloads it and puts its programs into its folder.
pub(super) fn fetch() -> Result<()> {
    let folder = folder();
    let work = workplace(&folder)?;
    let apt = PrivateApt::new(&work.join("apt"), SUITE)?;
    let text = apt.show(PACKAGE)?;
    let version = field(&text, "Version").context("a package without a version")?;
    println!("setup: {PACKAGE} is {version} of {SUITE}");
    let programs = apt.unpack(&[PACKAGE.to_owned()], &work)?.join("usr/bin");
    let bin = work.join("new/bin");
    fs::create_dir_all(&bin)?;
    for program in entries(&programs)? {
        let name = program.file_name().context("a program without a name")?;
        fs::rename(&program, bin.join(name))?;
    }
    put_in_place(&work, version, &folder)
}
