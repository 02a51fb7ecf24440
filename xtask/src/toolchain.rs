//! Finds what builds the probes: a Rust toolchain with its own library source, and bpf-linker.
//!
//! `xtask` and `observer/build.rs` both compile this file, so that set-up and build never disagree. It needs
//! nothing but `std`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that the probes are compiled for.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";
/// The one release of bpf-linker that this project is built with.
pub(crate) const BPF_LINKER_VERSION: &str = "0.13.0";
/// The oldest compiler that takes this workspace; the same as `rust-version` in Cargo.toml.
const OLDEST_RUST: (u32, u32) = (1, 95);
/// The LLVM that bpf-linker is built against: it reads no bitcode of a newer one.
pub(crate) const LLVM_MAJOR: u32 = 22;

/// A Rust toolchain that can compile `core` for a target without a prebuilt one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Its compiler, the real one and not rustup's proxy.
    pub(crate) rustc: PathBuf,
    /// Its cargo.
    pub(crate) cargo: PathBuf,
}

impl Toolchain {
    /// Its `cargo clippy`, where it is installed.
    ///
    /// Called by its own path: `cargo clippy` would find the one that stands first in cargo's bin folder, which is
    /// another toolchain's.
    #[allow(dead_code, reason = "the build script does not lint")]
    pub(crate) fn clippy(&self) -> Option<PathBuf> {
        let program = self.cargo.with_file_name("cargo-clippy");
        (program.is_file() && self.cargo.with_file_name("clippy-driver").is_file()).then_some(program)
    }
}

/// What a compiler says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompilerVersion {
    rust: (u32, u32),
    llvm: u32,
}

impl CompilerVersion {
    /// Reads the output of `rustc -vV`.
    pub(crate) fn parse(verbose_version: &str) -> Option<Self> {
        let value = |key: &str| verbose_version.lines().find_map(|line| line.strip_prefix(key));
        let mut release = value("release: ")?.split('.');
        let rust = (release.next()?.parse().ok()?, release.next()?.parse().ok()?);
        let llvm = value("LLVM version: ")?.split('.').next()?.parse().ok()?;
        Some(Self { rust, llvm })
    }

    /// Whether this workspace compiles with it, and bpf-linker reads what it writes.
    pub(crate) fn fits(self) -> bool {
        self.rust >= OLDEST_RUST && self.llvm <= LLVM_MAJOR
    }
}

/// Finds a fitting toolchain: the current one, then rustup's others, then the distribution's in `/usr`.
pub(crate) fn find_toolchain() -> Option<Toolchain> {
    toolchain_roots().into_iter().find_map(|root| toolchain_at(&root))
}

/// Finds bpf-linker in the release that this project wants, on PATH and where cargo installs programs.
pub(crate) fn find_bpf_linker() -> Option<PathBuf> {
    let wanted = format!("bpf-linker {BPF_LINKER_VERSION}");
    program_directories().into_iter().map(|directory| directory.join("bpf-linker")).find(|program| {
        output_of(Command::new(program).arg("--version")).is_some_and(|is| is.trim() == wanted)
    })
}

/// Gives a command an environment that fits the probes' toolchain, free of what an outer cargo has set.
pub(crate) fn clean_environment(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if belongs_to_outer_cargo(&name) {
            command.env_remove(name);
        }
    }
    // Set and empty: a wrapper from the user's own cargo configuration is off as well.
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
}

/// Prepares `cargo SUBCOMMAND` over the probes with that toolchain; the caller adds what else it wants.
pub(crate) fn cargo_for_probes(toolchain: &Toolchain, linker: &Path, subcommand: &[&str]) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    clean_environment(&mut command);
    let mut linker_flag = OsString::from("linker=");
    linker_flag.push(linker);
    let flags = [OsStr::new("-C"), &linker_flag, OsStr::new("-C"), OsStr::new("link-arg=--btf")];
    command
        .args(subcommand)
        .args(["--package", "observer-ebpf", "--bin", "probes", "--release", "--locked"])
        .args(["--target", BPF_TARGET, "-Z", "build-std=core"])
        .env("RUSTC", &toolchain.rustc)
        // `-Z` on a stable compiler: the library source is of that very compiler, so it is as good as a nightly.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\u{1f}")))
        // A program in the kernel is one optimised unit that cannot unwind, and its BTF comes from debug info.
        // Cargo takes `panic` and `lto` for a whole profile only, hence the environment and not Cargo.toml.
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_LTO", "true")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2");
    command
}

/// Every folder that programs may be in: PATH, what an ordinary user's PATH lacks, and cargo's own.
pub(crate) fn program_directories() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    directories.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    directories.extend(env::var_os("CARGO_INSTALL_ROOT").map(|root| Path::new(&root).join("bin")));
    directories.extend(home("CARGO_HOME", ".cargo").map(|home| home.join("bin")));
    let mut seen = Vec::new();
    directories.retain(|directory| {
        let new = !seen.contains(directory);
        seen.push(directory.clone());
        new
    });
    directories
}

/// Where toolchains may be, in the order of preference.
fn toolchain_roots() -> Vec<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let current = output_of(Command::new(rustc).args(["--print", "sysroot"]));
    let mut roots: Vec<PathBuf> = current.map(|root| PathBuf::from(root.trim())).into_iter().collect();
    let installed = home("RUSTUP_HOME", ".rustup").and_then(|home| home.join("toolchains").read_dir().ok());
    let mut installed: Vec<PathBuf> =
        installed.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    installed.sort();
    roots.append(&mut installed);
    roots.push(PathBuf::from("/usr"));
    roots
}

/// The toolchain in that folder, where it has all that is needed.
fn toolchain_at(root: &Path) -> Option<Toolchain> {
    let toolchain = Toolchain { rustc: root.join("bin/rustc"), cargo: root.join("bin/cargo") };
    let source = root.join("lib/rustlib/src/rust/library/core/Cargo.toml");
    if !(source.is_file() && toolchain.rustc.is_file() && toolchain.cargo.is_file()) {
        return None;
    }
    let version = CompilerVersion::parse(&output_of(Command::new(&toolchain.rustc).arg("-vV"))?)?;
    version.fits().then_some(toolchain)
}

/// Whether an inner cargo would be confused by this variable of the outer one.
fn belongs_to_outer_cargo(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    // The user's own: where crates are, how to reach registries, how to print, and the shared pool of jobs.
    let kept =
        ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    if kept.iter().any(|prefix| name.starts_with(prefix)) || name.starts_with("CARGO_TERM_") {
        return false;
    }
    ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "CLIPPY_", "DEP_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || ["OUT_DIR", "TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG", "NUM_JOBS", "LD_LIBRARY_PATH"]
            .contains(&name)
}

/// The folder that a variable names, or its usual place under the user's home.
fn home(variable: &str, usual: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).or_else(|| Some(Path::new(&env::var_os("HOME")?).join(usual)))
}

/// What a program prints, where it runs and succeeds.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.env_remove("LD_LIBRARY_PATH").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(release: &str, llvm: &str) -> Option<CompilerVersion> {
        CompilerVersion::parse(&format!("rustc {release}\nrelease: {release}\nLLVM version: {llvm}\n"))
    }

    #[test]
    fn a_compiler_fits_by_its_own_and_its_llvm_version() {
        assert!(version("1.96.0", "22.1.8").is_some_and(CompilerVersion::fits));
        assert!(version("1.97.0-nightly", "22.1.4").is_some_and(CompilerVersion::fits));
        assert!(!version("1.85.0", "19.1.7").is_some_and(CompilerVersion::fits), "too old for the workspace");
        assert!(
            !version("1.99.0", "23.1.0").is_some_and(CompilerVersion::fits),
            "bitcode newer than bpf-linker"
        );
        assert_eq!(CompilerVersion::parse("no compiler"), None);
    }

    #[test]
    fn only_the_outer_cargos_own_variables_are_taken_away() {
        for gone in
            ["CARGO", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "RUSTUP_TOOLCHAIN"]
        {
            assert!(belongs_to_outer_cargo(OsStr::new(gone)), "{gone}");
        }
        for kept in ["PATH", "HOME", "CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_TERM_COLOR", "CARGO_MAKEFLAGS"]
        {
            assert!(!belongs_to_outer_cargo(OsStr::new(kept)), "{kept}");
        }
    }

    #[test]
    fn a_folder_is_searched_once() {
        let directories = program_directories();
        assert!(directories.iter().enumerate().all(|(at, one)| !directories[..at].contains(one)));
    }
}
