//! Decides what to install and how, from facts alone.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::collector;
use super::kernel;
use super::machine::{Packages, Privilege};
use super::needs::Need;
use super::programs::Programs;
use crate::command::quoted;
use crate::kernels::Kernel;
use crate::toolchain::{self, BPF_LINKER_VERSION};

/// Where Debian's packages put that LLVM.
pub(crate) const LLVM_ROOT: &str = "/usr/lib/llvm-22";
/// The release that rustup installs where nothing else is to be had: its LLVM is the one bpf-linker is built with.
const RUSTUP_RELEASE: &str = "1.96.0";
const RUST_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const LLVM_PACKAGES: [&str; 2] = ["llvm-22-dev", "libpolly-22-dev"];

/// What the plan depends on.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// What is not here.
    pub(crate) missing: Vec<Need>,
    /// The distribution's packages.
    pub(crate) packages: Packages,
    /// Whether rustup is here.
    pub(crate) rustup: bool,
    /// Whether all is here that bpf-linker is compiled with.
    pub(crate) llvm: bool,
    /// The compiler of the probes' toolchain, where there is one.
    pub(crate) toolchain: Option<PathBuf>,
    /// Where the tests' Python client goes.
    pub(crate) python_environment: PathBuf,
}

/// What is fetched from one of Debian's suites, and installed nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// A kernel for virtual machines.
    Kernel(&'static Kernel<'static>),
    /// Programs.
    Programs(&'static Programs),
    /// The Collector's source, and what builds it.
    Collector,
}

/// One command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Action {
    /// What it is for, as the user reads it.
    pub(crate) why: String,
    /// What to fetch, instead of a command to run.
    pub(crate) fetch: Option<Fetch>,
    words: Vec<String>,
    llvm: bool,
}

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The commands, in order.
    pub(crate) actions: Vec<Action>,
    /// What has no command that this program knows.
    pub(crate) by_hand: Vec<String>,
    /// Why the commands may not be run from here.
    pub(crate) obstacle: Option<String>,
}

impl Action {
    fn new(why: impl Into<String>, words: &[&str]) -> Self {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Self { why: why.into(), fetch: None, words, llvm: false }
    }

    fn fetch(need: Need, what: Fetch) -> Self {
        Self { fetch: Some(what), ..Self::new(need.reason(), &[]) }
    }

    /// The command, ready to start.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        toolchain::clean_environment(&mut command);
        if self.llvm {
            let own = env::var_os("PATH").unwrap_or_default();
            let path = std::iter::once(Path::new(LLVM_ROOT).join("bin")).chain(env::split_paths(&own));
            command.env("PATH", env::join_paths(path).unwrap_or(own.clone())).env("LLVM_PREFIX", LLVM_ROOT);
        }
        command
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fetch {
            Some(Fetch::Kernel(kernel)) => {
                return write!(formatter, "(kernel {} from Debian's {})", kernel.name, kernel.suite);
            }
            Some(Fetch::Programs(programs)) => {
                return write!(formatter, "({} from Debian's archive)", programs.name);
            }
            Some(Fetch::Collector) => {
                return write!(formatter, "({} of source in Debian's archive)", collector::NAME);
            }
            None => {}
        }
        if self.llvm {
            write!(formatter, "PATH={LLVM_ROOT}/bin:$PATH LLVM_PREFIX={LLVM_ROOT} ")?;
        }
        let words: Vec<_> = self.words.iter().map(|word| quoted(word)).collect();
        formatter.write_str(&words.join(" "))
    }
}

impl Facts {
    /// Whether the distribution's packages could bring anything of what is missing.
    pub(crate) fn wants_packages(&self) -> bool {
        self.missing.iter().any(|need| match need {
            Need::Tool(_)
            | Need::ProbeToolchain
            | Need::ProbeClippy
            | Need::Kernel(_)
            | Need::Programs(_)
            | Need::Collector => true,
            Need::BpfLinker => !self.llvm,
            Need::Rustfmt | Need::Clippy => !self.rustup,
            Need::PythonClient => false,
        })
    }

    /// The command that learns which packages there are.
    pub(crate) fn update_lists(&self) -> Action {
        Action::new("learn which packages there are", &self.apt(&["update"]))
    }

    fn apt<'words>(&self, words: &[&'words str]) -> Vec<&'words str> {
        // Asks nothing, waits for another apt, and prints plain lines.
        let quietly =
            ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"];
        let mut command = match self.packages.privilege() {
            Privilege::Root => quietly.to_vec(),
            Privilege::Sudo => [&["sudo", "-n"], &quietly[..]].concat(),
            // For a human to type.
            Privilege::None => vec!["sudo", "apt-get"],
        };
        command.extend(words);
        command
    }
}

/// The plan for those facts.
pub(crate) fn plan(facts: &Facts) -> Plan {
    let mut plan = Plan::default();
    let mut packages = Vec::new();
    for &need in &facts.missing {
        add(need, facts, &mut packages, &mut plan);
    }
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        plan_packages(&packages, facts, &mut plan);
    }
    if plan.obstacle.is_none() && !plan.by_hand.is_empty() {
        plan.obstacle = Some("something is missing that setup cannot install here".to_owned());
    }
    plan
}

fn add(need: Need, facts: &Facts, packages: &mut Vec<&'static str>, plan: &mut Plan) {
    let apt = matches!(facts.packages, Packages::Apt { .. });
    let apt_has_rust = matches!(facts.packages, Packages::Apt { toolchain: true, .. });
    let apt_has_llvm = matches!(facts.packages, Packages::Apt { llvm: true, .. });
    match need {
        Need::Tool(tool) => packages.push(tool.package),
        Need::ProbeToolchain if apt_has_rust => packages.extend(RUST_PACKAGES),
        Need::ProbeToolchain if facts.rustup => {
            let install = ["rustup", "toolchain", "install", RUSTUP_RELEASE, "--profile", "minimal"];
            let words = [&install[..], &["--component", "rust-src", "--component", "clippy"]].concat();
            plan.actions.push(Action::new(need.reason(), &words));
        }
        Need::ProbeToolchain => plan.by_hand.push(format!(
            "Rust {RUSTUP_RELEASE} with rust-src: install rustup (https://rustup.rs), then run this again"
        )),
        Need::BpfLinker => {
            if !facts.llvm && apt_has_llvm {
                packages.extend(LLVM_PACKAGES);
            } else if !facts.llvm {
                plan.by_hand.push(format!(
                    "LLVM 22 with its development files and Polly in {LLVM_ROOT}: your distribution's, or https://apt.llvm.org"
                ));
            }
            let install = ["cargo", "install", "bpf-linker", "--version", BPF_LINKER_VERSION, "--locked"];
            let words = [&install[..], &["--no-default-features", "--features", "llvm-22"]].concat();
            plan.actions.push(Action { llvm: true, ..Action::new(need.reason(), &words) });
        }
        Need::Rustfmt | Need::Clippy if facts.rustup => {
            let component = need.name();
            plan.actions.push(Action::new(need.reason(), &["rustup", "component", "add", &component]));
        }
        Need::Rustfmt if apt => packages.push("rustfmt-web"),
        Need::Clippy if apt => packages.push("rust-web-clippy"),
        Need::Rustfmt | Need::Clippy => {
            plan.by_hand.push(format!("{}: the one that belongs to your Rust compiler", need.name()));
        }
        Need::ProbeClippy => add_probe_clippy(facts, apt_has_rust, packages, plan),
        Need::Kernel(kernel) if apt => plan.actions.push(Action::fetch(need, Fetch::Kernel(kernel))),
        Need::Kernel(kernel) => plan.by_hand.push(kernel::by_hand(kernel)),
        Need::Programs(programs) if apt => plan.actions.push(Action::fetch(need, Fetch::Programs(programs))),
        Need::Programs(programs) => plan.by_hand.push(programs.by_hand()),
        Need::Collector if apt => plan.actions.push(Action::fetch(need, Fetch::Collector)),
        Need::Collector => plan.by_hand.push(collector::by_hand()),
        Need::PythonClient => {
            let environment = facts.python_environment.to_string_lossy();
            let why = "make a Python environment of the tests' own";
            plan.actions.push(Action::new(why, &["/usr/bin/python3", "-m", "venv", "--clear", &environment]));
            let pip = format!("{environment}/bin/pip");
            let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/src/setup/python-requirements.txt");
            let quiet = ["--disable-pip-version-check", "--no-deps", "--requirement", requirements];
            plan.actions.push(Action::new(need.reason(), &[&[&*pip, "install"], &quiet[..]].concat()));
        }
    }
}

/// The clippy of the toolchain that is here, or of the one that is about to be.
fn add_probe_clippy(facts: &Facts, apt_has_rust: bool, packages: &mut Vec<&'static str>, plan: &mut Plan) {
    let why = Need::ProbeClippy.reason();
    match &facts.toolchain {
        Some(rustc) if rustc.starts_with("/usr") => packages.push("rust-web-clippy"),
        Some(rustc) => {
            // .../toolchains/NAME/bin/rustc
            let name =
                rustc.ancestors().nth(2).and_then(Path::file_name).unwrap_or_default().to_string_lossy();
            plan.actions
                .push(Action::new(why, &["rustup", "component", "add", "clippy", "--toolchain", &name]));
        }
        None if apt_has_rust => packages.push("rust-web-clippy"),
        // Rustup brings it together with that toolchain.
        None => {}
    }
}

fn plan_packages(packages: &[&str], facts: &Facts, plan: &mut Plan) {
    if facts.packages == Packages::Unknown {
        plan.obstacle = Some("there is no apt here, so setup cannot install packages".to_owned());
        let names = packages.join(" ");
        plan.by_hand.push(format!("what Debian calls {names}: install it with your distribution's tool"));
        return;
    }
    let words = [&["install", "-y", "--no-install-recommends"], packages].concat();
    plan.actions.insert(0, Action::new("install packages of the distribution", &facts.apt(&words)));
    if facts.packages.privilege() == Privilege::None {
        plan.obstacle = Some("packages are missing, and this user is not root and has no sudo".to_owned());
        plan.actions.insert(0, facts.update_lists());
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
