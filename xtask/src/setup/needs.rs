//! What building and testing need, why, and which package brings it.

use std::fmt;

use super::collector;
use super::programs::{CONTAINERD, KUBECTL, PROMETHEUS, Programs};
use crate::kernels::{KERNELS, Kernel};
use crate::toolchain::BPF_LINKER_VERSION;

/// What the machine is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Building the observer.
    Build,
    /// Building it and running all of its tests.
    Tests,
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Build => "to build",
            Self::Tests => "to build and test",
        })
    }
}

/// How a tool shows that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A program of that name.
    Program(&'static str),
    /// A program of that name that needs no libraries, so that it runs in an empty container.
    StaticProgram(&'static str),
    /// One of these files.
    File(&'static [&'static str]),
    /// A module of the system's Python.
    PythonModule(&'static str),
}

/// Something that one package of the distribution brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Debian's name of the package.
    pub(crate) package: &'static str,
    /// What it is for.
    pub(crate) reason: &'static str,
    /// How it is recognised, on any distribution.
    pub(crate) proof: Proof,
}

/// One thing that has to be on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A package's tool.
    Tool(&'static Tool),
    /// A Rust toolchain with its library source.
    ProbeToolchain,
    /// bpf-linker, in the one release that fits.
    BpfLinker,
    /// `cargo fmt` of the toolchain in use.
    Rustfmt,
    /// `cargo clippy` of the toolchain in use.
    Clippy,
    /// The clippy that belongs to the probes' toolchain.
    ProbeClippy,
    /// The virtual environment of the independent Python client.
    PythonClient,
    /// A kernel for virtual machines.
    Kernel(&'static Kernel<'static>),
    /// Programs that are unpacked beside the system's.
    Programs(&'static Programs),
    /// A Collector of OpenTelemetry's.
    Collector,
}

impl Need {
    /// What it is called.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Tool(tool) => tool.package.to_owned(),
            Self::ProbeToolchain => "Rust with library source".to_owned(),
            Self::BpfLinker => format!("bpf-linker {BPF_LINKER_VERSION}"),
            Self::Rustfmt => "rustfmt".to_owned(),
            Self::Clippy => "clippy".to_owned(),
            Self::ProbeClippy => "clippy for the probes".to_owned(),
            Self::PythonClient => "Python gRPC client".to_owned(),
            Self::Kernel(kernel) => format!("kernel {}", kernel.name),
            Self::Programs(programs) => programs.name.to_owned(),
            Self::Collector => collector::NAME.to_owned(),
        }
    }

    /// Why it is needed.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Tool(tool) => tool.reason,
            Self::ProbeToolchain => "compiles `core` for the kernel's target, which has no prebuilt one",
            Self::BpfLinker => "links the probes into one BPF object",
            Self::Rustfmt => "checks the format",
            Self::Clippy => "lints the code that runs on the host",
            Self::ProbeClippy => "lints the probes as the kernel's target sees them",
            Self::PythonClient => "reads the daemon's stream with code that is not ours",
            Self::Kernel(_) => "boots in a virtual machine, to try the observer on it",
            Self::Programs(programs) => programs.reason,
            Self::Collector => collector::REASON,
        }
    }
}

/// Everything that is needed for that.
pub(crate) fn of(scope: Scope) -> Vec<Need> {
    let mut needs = Vec::from([Need::ProbeToolchain, Need::BpfLinker]);
    needs.extend(BUILD_TOOLS.iter().map(Need::Tool));
    if scope == Scope::Tests {
        needs.extend([Need::Rustfmt, Need::Clippy, Need::ProbeClippy]);
        needs.extend(TEST_TOOLS.iter().map(Need::Tool));
        needs.push(Need::PythonClient);
        needs.extend(KERNELS.iter().map(Need::Kernel));
        needs.extend([&CONTAINERD, &PROMETHEUS, &KUBECTL].map(Need::Programs));
        needs.push(Need::Collector);
    }
    needs
}

/// What the Python client imports, in exact versions.
pub(crate) const PYTHON_REQUIREMENTS: &str = include_str!("python-requirements.txt");

const BUILD_TOOLS: &[Tool] = &[
    Tool { package: "gcc", reason: "links programs for rustc", proof: Proof::Program("cc") },
    Tool { package: "protobuf-compiler", reason: "generates the gRPC code", proof: Proof::Program("protoc") },
    Tool {
        package: "libprotobuf-dev",
        reason: "the well-known protobuf types that our API imports",
        proof: Proof::File(&[
            "/usr/include/google/protobuf/timestamp.proto",
            "/usr/local/include/google/protobuf/timestamp.proto",
        ]),
    },
];

const TEST_TOOLS: &[Tool] = &[
    Tool { package: "git", reason: "tells which files are the project's own", proof: Proof::Program("git") },
    Tool {
        package: "containerd",
        reason: "runs the testbed's pods, on a socket of its own",
        proof: Proof::Program("containerd"),
    },
    Tool { package: "runc", reason: "starts their containers", proof: Proof::Program("runc") },
    Tool {
        package: "containernetworking-plugins",
        reason: "gives each pod a network",
        proof: Proof::File(&["/usr/lib/cni/bridge", "/opt/cni/bin/bridge"]),
    },
    Tool {
        package: "podman",
        reason: "runs containers that no Kubernetes knows",
        proof: Proof::Program("podman"),
    },
    Tool { package: "conmon", reason: "watches Podman's containers", proof: Proof::Program("conmon") },
    Tool {
        package: "busybox-static",
        reason: "what runs inside the testbed's containers",
        proof: Proof::StaticProgram("busybox"),
    },
    Tool { package: "dnsmasq-base", reason: "answers for names", proof: Proof::Program("dnsmasq") },
    Tool { package: "nftables", reason: "drops packets on purpose", proof: Proof::Program("nft") },
    Tool { package: "iproute2", reason: "ground truth: ss, nstat", proof: Proof::Program("ss") },
    Tool { package: "tcpdump", reason: "ground truth: captures", proof: Proof::Program("tcpdump") },
    Tool {
        package: "libbpf-tools",
        reason: "ground truth: execsnoop, exitsnoop, tcplife",
        proof: Proof::Program("tcplife"),
    },
    Tool {
        package: "libfaketime",
        reason: "gives a node a wrong clock",
        proof: Proof::File(&[
            "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        ]),
    },
    Tool { package: "bpftool", reason: "shows what stays in the kernel", proof: Proof::Program("bpftool") },
    Tool {
        package: "qemu-system-x86",
        reason: "boots other kernels",
        proof: Proof::Program("qemu-system-x86_64"),
    },
    Tool {
        package: "systemd",
        reason: "judges the unit's sandbox",
        proof: Proof::Program("systemd-analyze"),
    },
    Tool { package: "python3", reason: "runs the independent gRPC client", proof: Proof::Program("python3") },
    Tool {
        package: "python3-venv",
        reason: "keeps that client's libraries apart from the system's",
        proof: Proof::PythonModule("ensurepip"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn testing_needs_all_that_building_needs() {
        let tests = of(Scope::Tests);
        assert!(of(Scope::Build).iter().all(|need| tests.contains(need)));
    }

    #[test]
    fn every_python_package_has_one_exact_version() {
        let packages: Vec<_> = PYTHON_REQUIREMENTS.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(packages.len() >= 3);
        assert!(packages.iter().all(|line| line.split("==").count() == 2), "{packages:?}");
    }
}
