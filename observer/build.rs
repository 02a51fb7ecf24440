//! Builds the probes for the kernel's target and leaves the object in `$OUT_DIR/probes.o`.
//!
//! `PROBES_OBJECT` names the object for `env!`. Cargo cannot do this itself: the probes want another target,
//! another profile, and a toolchain with its own `core` (see `xtask/src/toolchain.rs`).

// A build script talks to cargo over its standard output; the rest goes to the user.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is how a build script talks to cargo")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::{env, fs, io};

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

fn main() -> ExitCode {
    match build() {
        Ok(()) => {}
        Err(Failure::NotSetUp(what)) => {
            println!("cargo::error={what} Run `cargo xtask setup`, which installs it or says how.");
        }
        Err(Failure::Io(what, error)) => println!("cargo::error=building the probes: {what}: {error}"),
        Err(Failure::Compile(output)) => {
            // Many lines: cargo shows them as they are when the script fails.
            eprintln!("the probes (observer-ebpf) do not compile for {}:\n", toolchain::BPF_TARGET);
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            return ExitCode::FAILURE;
        }
    }
    for path in
        ["observer-ebpf/src", "observer-ebpf/probes", "observer-ebpf/Cargo.toml", "Cargo.toml", "Cargo.lock"]
    {
        println!("cargo::rerun-if-changed=../{path}");
    }
    ExitCode::SUCCESS
}

/// Why there is no object.
enum Failure {
    /// Something is not installed.
    NotSetUp(String),
    /// A file or a program could not be used.
    Io(String, io::Error),
    /// The inner cargo ran and failed.
    Compile(Output),
}

fn build() -> Result<(), Failure> {
    let target = toolchain::BPF_TARGET;
    let Some(toolchain) = toolchain::find_toolchain() else {
        let what =
            format!("No Rust toolchain here has its library source, which {target} needs for its `core`.");
        return Err(Failure::NotSetUp(what));
    };
    let Some(linker) = toolchain::find_bpf_linker() else {
        let version = toolchain::BPF_LINKER_VERSION;
        return Err(Failure::NotSetUp(format!(
            "bpf-linker {version}, which links the probes, is not installed."
        )));
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let build_directory = shared_build_directory(&out);
    let cargo = |offline: bool| {
        let mut command = toolchain::cargo_for_probes(&toolchain, &linker, &["build", "--quiet"]);
        command
            .current_dir("..")
            .arg("--target-dir")
            .arg(&build_directory)
            .args(offline.then_some("--offline"));
        run(command)
    };
    // What was fetched once needs no network again.
    let mut output = cargo(true)?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("offline") {
        output = cargo(false)?;
    }
    if !output.status.success() {
        return Err(Failure::Compile(output));
    }
    let object = out.join("probes.o");
    copy_if_different(&build_directory.join(target).join("release/probes"), &object)?;
    println!("cargo::rustc-env=PROBES_OBJECT={}", object.display());
    Ok(())
}

fn run(mut command: Command) -> Result<Output, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|error| Failure::Io(format!("running {program}"), error))
}

/// One place for all profiles: the probes are always built in release, so `cargo test` and a release build share them.
///
/// Cargo marks the top of its target directory with this file.
fn shared_build_directory(out: &Path) -> PathBuf {
    let top = out.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    top.unwrap_or(out).join("probes")
}

/// Leaves an equal file alone: a new date on it would recompile all of the daemon.
fn copy_if_different(from: &Path, to: &Path) -> Result<(), Failure> {
    let new = fs::read(from).map_err(|error| Failure::Io(format!("reading {}", from.display()), error))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    fs::write(to, new).map_err(|error| Failure::Io(format!("writing {}", to.display()), error))
}
