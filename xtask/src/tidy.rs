//! `cargo xtask tidy`: the project's own rules, which neither the compiler nor clippy knows.

mod paths;
mod source;

mod rules;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{command, workspace};
use source::Source;

/// Checks every Rust file of the workspace and prints what is wrong as `path:line: what, and what to do`.
pub(crate) fn run() -> Result<()> {
    let files = rust_files()?;
    let mut findings = Vec::new();
    for path in &files {
        // Git lists a file that was deleted and not yet committed.
        let Ok(text) = fs::read_to_string(workspace::root().join(path)) else { continue };
        findings.extend(rules::check(&Source::new(path, &text)));
    }
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: {} files, nothing to complain about", files.len()),
        count => bail!("tidy: {count} findings in {} files", files.len()),
    }
    Ok(())
}

/// Every Rust file that is tracked, or new and not ignored.
fn rust_files() -> Result<Vec<String>> {
    let root = workspace::root().to_string_lossy();
    let arguments = ["-C", &root, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.rs"];
    let listed = command::output("git", &arguments).with_context(|| {
        format!("cannot list the files: `git ls-files` failed in {root}; tidy needs git and a clone")
    })?;
    Ok(listed.split_terminator('\0').map(str::to_owned).collect())
}
