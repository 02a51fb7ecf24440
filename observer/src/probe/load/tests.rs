//! What loading promises, on the running kernel.

use rustix::param::page_size;

use super::*;

/// Where the hierarchy is mounted.
pub(in crate::probe) fn cgroups() -> std::path::PathBuf {
    let mounts = procfs::process::Process::myself().unwrap().mountinfo().unwrap();
    mounts.into_iter().find(|mount| mount.fs_type == "cgroup2").unwrap().mount_point
}

/// Needs root: what is no hierarchy costs the names alone, and says what would help.
#[test]
fn names_need_a_hierarchy() {
    let features = Features::examine("test").unwrap();
    let sizes = RingSizes { process: page_size() as u32, network: page_size() as u32 };
    let loaded = Loaded::load(&features, sizes, 0, &[], Some(Path::new("/"))).unwrap();
    let missing: Vec<_> = super::super::capabilities(&loaded.refused, true)
        .into_iter()
        .filter_map(|capability| Some((capability.name, capability.missing?)))
        .filter(|(name, _)| *name != "debug_open_failures")
        .collect();
    let [("dns_names", missing)] = missing.as_slice() else { panic!("{missing:?}") };
    assert_eq!(missing.reason, "dns_answers: / is no cgroup hierarchy of version 2");
    assert_eq!(missing.remedy, "mount cgroup2, as systemd does");
}

/// Needs root: the verifier of the running kernel is the judge.
#[test]
fn the_running_kernel_takes_all_probes() {
    let features = Features::examine("test").unwrap();
    let sizes = RingSizes { process: page_size() as u32, network: page_size() as u32 };
    let loaded = Loaded::load(&features, sizes, 0, &[], Some(&cgroups())).unwrap();
    // This machine's kernel may not let its functions be hooked; then failed opens can be seen at a cost.
    let refused: Vec<_> = loaded.refused.iter().filter(|one| one.cause != Cause::CostlyOpens).collect();
    assert_eq!(refused, Vec::<&Refused>::new());
}
