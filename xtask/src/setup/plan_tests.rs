//! Tests of the plan: every kind of machine that setup may meet.

use super::*;
use crate::kernels::KERNELS;
use crate::setup::needs::{self, Scope};

fn debian(privilege: Privilege) -> Packages {
    Packages::Apt { privilege, toolchain: true, llvm: true }
}

fn bare(scope: Scope, packages: Packages) -> Facts {
    let missing = needs::of(scope);
    let python_environment = PathBuf::from("target/test-venv");
    Facts { missing, packages, rustup: true, llvm: false, toolchain: None, python_environment }
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.actions.iter().map(ToString::to_string).collect()
}

#[test]
fn a_bare_debian_gets_all_packages_in_one_command_and_then_the_linker() {
    let plan = plan(&bare(Scope::Build, debian(Privilege::Root)));
    assert_eq!(plan.obstacle, None);
    let lines = lines(&plan);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("env DEBIAN_FRONTEND=noninteractive apt-get"), "{}", lines[0]);
    for package in
        ["rustc-web", "cargo-web", "rust-web-src", "llvm-22-dev", "libpolly-22-dev", "protobuf-compiler"]
    {
        assert!(lines[0].contains(package), "{package} in {}", lines[0]);
    }
    assert_eq!(
        lines[1],
        "PATH=/usr/lib/llvm-22/bin:$PATH LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 \
         --locked --no-default-features --features llvm-22"
    );
}

#[test]
fn sudo_is_used_where_it_asks_nothing() {
    let plan = plan(&bare(Scope::Build, debian(Privilege::Sudo)));
    assert_eq!(plan.obstacle, None);
    assert!(lines(&plan)[0].starts_with("sudo -n env"));
}

#[test]
fn without_root_nothing_runs_and_the_commands_are_told() {
    let plan = plan(&bare(Scope::Build, debian(Privilege::None)));
    assert!(plan.obstacle.is_some_and(|obstacle| obstacle.contains("not root")));
    let lines: Vec<_> = plan.actions.iter().map(ToString::to_string).collect();
    assert_eq!(lines[0], "sudo apt-get update");
    assert!(lines[1].starts_with("sudo apt-get install -y "), "{}", lines[1]);
}

#[test]
fn without_apt_rustup_is_used_and_packages_are_named() {
    let plan = plan(&bare(Scope::Tests, Packages::Unknown));
    assert!(plan.obstacle.as_ref().is_some_and(|obstacle| obstacle.contains("no apt")));
    let told = plan.by_hand.join("\n");
    assert!(told.contains("containerd") && told.contains("LLVM 22"), "{told}");
    let rustup = "rustup toolchain install 1.96.0 --profile minimal --component rust-src --component clippy";
    assert!(lines(&plan).iter().any(|line| line == rustup), "{:?}", lines(&plan));
}

#[test]
fn a_debian_whose_rust_is_too_old_falls_back_to_rustup() {
    let packages = Packages::Apt { privilege: Privilege::Root, toolchain: false, llvm: true };
    let plan = plan(&bare(Scope::Build, packages));
    assert_eq!(plan.obstacle, None);
    assert!(lines(&plan).iter().any(|line| line.starts_with("rustup toolchain install")));
    assert!(!lines(&plan)[0].contains("rustc-web"));
}

#[test]
fn neither_packages_nor_rustup_is_a_matter_for_a_human() {
    let plan = plan(&Facts { rustup: false, ..bare(Scope::Build, Packages::Unknown) });
    assert!(plan.by_hand.iter().any(|advice| advice.contains("https://rustup.rs")));
}

#[test]
fn an_llvm_that_is_there_is_not_installed_again() {
    let facts =
        Facts { missing: vec![Need::BpfLinker], llvm: true, ..bare(Scope::Build, debian(Privilege::None)) };
    assert!(!facts.wants_packages());
    let plan = plan(&facts);
    assert_eq!(plan.obstacle, None, "cargo install needs no root");
    assert_eq!(plan.actions.len(), 1);
}

#[test]
fn the_probes_clippy_comes_from_where_their_compiler_came() {
    let of = |rustc: &str| {
        let toolchain = Some(PathBuf::from(rustc));
        let missing = vec![Need::ProbeClippy];
        lines(&plan(&Facts { missing, toolchain, ..bare(Scope::Tests, debian(Privilege::Root)) }))
    };
    assert!(of("/usr/bin/rustc")[0].ends_with("rust-web-clippy"));
    let rustup = of("/home/a/.rustup/toolchains/nightly-x86_64/bin/rustc");
    assert_eq!(rustup, ["rustup component add clippy --toolchain nightly-x86_64"]);
}

#[test]
fn the_python_client_needs_neither_root_nor_package_lists() {
    let facts = Facts { missing: vec![Need::PythonClient], ..bare(Scope::Tests, debian(Privilege::None)) };
    assert!(!facts.wants_packages());
    let plan = plan(&facts);
    assert_eq!(plan.obstacle, None);
    assert!(lines(&plan)[1].starts_with("target/test-venv/bin/pip install"));
}

#[test]
fn a_kernel_needs_apt_alone_and_no_root() {
    let missing: Vec<Need> = KERNELS.iter().map(Need::Kernel).collect();
    let of = |packages| plan(&Facts { missing: missing.clone(), ..bare(Scope::Tests, packages) });
    let fetched = of(debian(Privilege::None));
    assert_eq!(fetched.obstacle, None);
    assert_eq!(lines(&fetched)[0], "(kernel 6.1 from Debian's bookworm)");
    let told = of(Packages::Unknown);
    assert!(told.obstacle.is_some() && told.actions.is_empty() && told.by_hand.len() == KERNELS.len());
    assert!(told.by_hand[0].contains("kernels/6.1/vmlinuz"), "{:?}", told.by_hand);
}

#[test]
fn nothing_missing_is_nothing_to_do() {
    let facts = Facts { missing: vec![], ..bare(Scope::Tests, debian(Privilege::Root)) };
    assert_eq!(plan(&facts), Plan::default());
}
