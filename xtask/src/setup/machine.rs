//! Looks at the machine: what is missing, and by which means it may be installed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::collector;
use super::needs::{self, Need, PYTHON_REQUIREMENTS, Proof, Scope};
use super::plan::{Facts, LLVM_ROOT};
use crate::command::output;
use crate::toolchain::{self, Toolchain};
use crate::workspace;

/// Whether this user may install packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// Is root.
    Root,
    /// May use sudo, and is not asked for a password.
    Sudo,
    /// Neither.
    None,
}

impl Privilege {
    /// Finds out who we are.
    pub(crate) fn look() -> Self {
        if output("id", &["-u"]).is_some_and(|id| id.trim() == "0") {
            Self::Root
        } else if output("sudo", &["-n", "true"]).is_some() {
            Self::Sudo
        } else {
            Self::None
        }
    }

    /// As `look`, and lets sudo ask the user for a password, which it then remembers for a while.
    pub(crate) fn look_and_ask() -> Self {
        let asked = || Command::new("sudo").arg("-v").status().is_ok_and(|status| status.success());
        let known = Self::look();
        if known == Self::None && program("sudo").is_some() && asked() { Self::Sudo } else { known }
    }
}

/// The distribution's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packages {
    /// Debian's or a descendant's.
    Apt {
        /// Whether we may install them.
        privilege: Privilege,
        /// Whether they hold a Rust toolchain with library source that fits.
        toolchain: bool,
        /// Whether they hold the LLVM that bpf-linker wants.
        llvm: bool,
    },
    /// None that this program knows how to install.
    Unknown,
}

impl Packages {
    /// Finds out what is offered.
    pub(crate) fn look(privilege: Privilege) -> Self {
        if program("apt-get").is_none() {
            return Self::Unknown;
        }
        let offered = |package: &str| candidate(&output("apt-cache", &["policy", package])?);
        let toolchain = offered("rustc-web").is_some_and(|version| version >= (1, 95));
        Self::Apt { privilege, toolchain, llvm: offered("llvm-22-dev").is_some() }
    }

    /// Whether there is an apt that we may use.
    pub(crate) fn may_install(self) -> bool {
        matches!(self, Self::Apt { privilege: Privilege::Root | Privilege::Sudo, .. })
    }

    /// Who we are.
    pub(crate) fn privilege(self) -> Privilege {
        match self {
            Self::Apt { privilege, .. } => privilege,
            Self::Unknown => Privilege::None,
        }
    }
}

/// What of all that is needed is not here.
pub(crate) fn missing(scope: Scope) -> Vec<Need> {
    let toolchain = toolchain::find_toolchain();
    let is_here = |need: Need| match need {
        Need::Tool(tool) => holds(tool.proof),
        Need::ProbeToolchain => toolchain.is_some(),
        Need::BpfLinker => toolchain::find_bpf_linker().is_some(),
        // Rustup puts its proxies there whether or not the component behind them is installed.
        Need::Rustfmt => in_host_toolchain("rustfmt"),
        Need::Clippy => in_host_toolchain("clippy-driver"),
        Need::ProbeClippy => toolchain.as_ref().is_some_and(|toolchain| toolchain.clippy().is_some()),
        Need::PythonClient => has_python_client(&workspace::python_environment()),
        Need::Kernel(kernel) => kernel.is_here(),
        Need::Programs(programs) => programs.is_here(),
        Need::Collector => collector::is_here(),
    };
    needs::of(scope).into_iter().filter(|need| !is_here(*need)).collect()
}

/// All that a plan depends on.
pub(crate) fn facts(missing: Vec<Need>) -> Facts {
    let llvm_files =
        ["bin/llvm-config", "lib/libPolly.a"].map(|file| Path::new(LLVM_ROOT).join(file).is_file());
    Facts {
        missing,
        packages: Packages::look(Privilege::look()),
        rustup: program("rustup").is_some(),
        llvm: llvm_files == [true, true],
        toolchain: toolchain::find_toolchain().map(|Toolchain { rustc, .. }| rustc),
        python_environment: workspace::python_environment(),
    }
}

fn holds(proof: Proof) -> bool {
    match proof {
        Proof::Program(name) => program(name).is_some(),
        Proof::StaticProgram(name) => program(name).is_some_and(|path| is_static(&path)),
        Proof::File(paths) => paths.iter().any(|path| Path::new(path).exists()),
        Proof::PythonModule(module) => has_system_python_module(module),
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    toolchain::program_directories().into_iter().map(|directory| directory.join(name)).find(runs)
}

fn in_host_toolchain(name: &str) -> bool {
    let sysroot = output("rustc", &["--print", "sysroot"]);
    sysroot.is_some_and(|root| Path::new(root.trim()).join("bin").join(name).is_file())
}

/// A program that needs a dynamic loader names it in its first page.
fn is_static(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok() && start.starts_with(b"\x7fELF") && !start.windows(4).any(|window| window == b"/ld-")
}

fn has_system_python_module(module: &str) -> bool {
    let libraries = ["/usr/lib", "/usr/lib64"].map(|path| fs::read_dir(path).into_iter().flatten().flatten());
    libraries.into_iter().flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("python3.") && entry.path().join(module).is_dir()
    })
}

/// Whether that environment has a working Python and every package in its exact version.
fn has_python_client(environment: &Path) -> bool {
    let libraries = fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    environment.join("bin/python").exists()
        && libraries.into_iter().any(|library| {
            let packages = library.path().join("site-packages");
            let mut wanted = PYTHON_REQUIREMENTS.lines().filter_map(record_of);
            wanted.all(|record| packages.join(record).is_dir())
        })
}

/// The folder that pip leaves for a requirement, `grpcio_reflection-1.2.3.dist-info` for `grpcio-reflection==1.2.3`.
fn record_of(requirement: &str) -> Option<String> {
    let (name, version) = requirement.split_once("==")?;
    Some(format!("{}-{version}.dist-info", name.replace('-', "_")))
}

/// Major and minor version of the package that `apt-cache policy` would install.
fn candidate(policy: &str) -> Option<(u32, u32)> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
    let mut numbers = without_epoch.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_of_a_package_is_read_with_and_without_epoch() {
        let policy = |candidate: &str| format!("rustc-web:\n  Installed: (none)\n  Candidate: {candidate}\n");
        assert_eq!(candidate(&policy("1.96.0+dfsg1-1~deb12u2")), Some((1, 96)));
        assert_eq!(candidate(&policy("1:22.1.8-1~deb12u1")), Some((22, 1)));
        assert_eq!(candidate(&policy("(none)")), None);
        assert_eq!(candidate(""), None, "apt knows no such package");
    }

    #[test]
    fn a_requirement_names_the_folder_that_pip_leaves() {
        let record = record_of("grpcio-reflection==1.2.3");
        assert_eq!(record.as_deref(), Some("grpcio_reflection-1.2.3.dist-info"));
        assert_eq!(record_of("# a comment"), None);
    }

    #[test]
    fn what_is_not_a_static_program_is_told_from_one() {
        assert!(!is_static(Path::new("/proc/self/exe")), "this test is linked dynamically");
        assert!(!is_static(Path::new("/etc/passwd")));
    }
}
