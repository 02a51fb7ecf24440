//! Removes all that one testbed made: processes, mounts, namespaces, links, cgroups, files; and finds what is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::process_table::ProcessStat;
use super::{MARK, PREFIX, watch};
use crate::wait::{PATIENCE, eventually_blocking};

/// Which processes belong to a testbed beside those that it marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The children of this process as well: right for the guardian alone, which adopts all orphans of its own.
    Descendants,
    /// Only what is marked.
    Marked,
}

/// Removes what testbeds left whose test and guardian are both gone. The caller holds the lock.
pub fn sweep() -> Result<()> {
    for (dir, id) in folders() {
        if !alive(&dir) {
            clean(&dir, &id, Reach::Marked)?;
        }
    }
    Ok(())
}

/// Removes everything of one testbed, its folder last, so that a failure is tried again by a later sweep.
pub(super) fn clean(dir: &Path, id: &str, reach: Reach) -> Result<()> {
    eventually_blocking(PATIENCE, "the testbed's processes to end", || {
        let victims = processes(dir, id, reach);
        for victim in &victims {
            if let Some(pid) = Pid::from_raw(victim.pid as i32) {
                // It may have ended meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if reach == Reach::Descendants {
            watch::reap();
        }
        Ok(if victims.is_empty() { Ok(()) } else { Err(victims) })
    })?;
    for file in far_files(dir, id) {
        let _ = fs::remove_file(file);
    }
    for mount in mounts(dir).iter().rev() {
        quietly("umount", &["--lazy", mount]);
    }
    for line in owned(dir) {
        match line.split_once(' ') {
            Some(("netns", name)) => quietly("ip", &["netns", "delete", name]),
            Some(("link", name)) => remove_link(name),
            _ => {}
        }
    }
    eventually_blocking(PATIENCE, "the testbed's cgroups to be removed", || {
        let left: Vec<_> = cgroups(id).into_iter().filter(|cgroup| !remove_cgroup(cgroup)).collect();
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })?;
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    if folders().iter().all(|(dir, _)| !alive(dir)) {
        for root in cgroup_roots() {
            // Not empty when a kubelet or somebody else uses them, and then they stay.
            let _ = fs::remove_dir(root.join("kubepods/burstable"));
            let _ = fs::remove_dir(root.join("kubepods"));
        }
    }
    Ok(())
}

/// What is still there of the testbed `id`, in words: empty when nothing is.
pub fn leftovers(dir: &Path, id: &str) -> Vec<String> {
    let mut left: Vec<String> = processes(dir, id, Reach::Marked)
        .iter()
        .map(|process| format!("process {} {}: {}", process.pid, process.name, process.command_line()))
        .collect();
    left.extend(mounts(dir).into_iter().map(|mount| format!("mount {mount}")));
    left.extend(cgroups(id).into_iter().map(|cgroup| format!("cgroup {}", cgroup.display())));
    for folder in ["/sys/class/net", "/run/netns", "/var/lib/cni/results"] {
        let names = entries(Path::new(folder)).iter().filter_map(|path| name(path)).collect::<Vec<_>>();
        left.extend(names.iter().filter(|name| name.contains(id)).map(|name| format!("{folder}/{name}")));
    }
    if dir.exists() {
        left.push(format!("folder {}", dir.display()));
    }
    left
}

/// The folders of testbeds with their ids, living and dead.
fn folders() -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.strip_prefix(PREFIX)?.to_owned();
            Some((entry.path(), id))
        })
        .collect()
}

fn alive(dir: &Path) -> bool {
    fs::read_to_string(dir.join("owner")).is_ok_and(|owner| owner.lines().any(ProcessStat::runs))
}

fn owned(dir: &Path) -> Vec<String> {
    fs::read_to_string(dir.join("owned")).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn processes(dir: &Path, id: &str, reach: Reach) -> Vec<ProcessStat> {
    let me = std::process::id();
    let mark = format!("{MARK}={id}");
    let contained: Vec<u32> = cgroups(id).iter().flat_map(|cgroup| members(cgroup)).collect();
    let dir = dir.display().to_string();
    ProcessStat::all()
        .into_iter()
        .filter(|process| process.pid != me && process.state != 'Z')
        .filter(|process| {
            (reach == Reach::Descendants && process.parent == me)
                || process.environment().contains(&mark)
                || contained.contains(&process.pid)
                || (["containerd", "conmon"].iter().any(|name| process.name.starts_with(name))
                    && process.command_line().contains(&dir))
        })
        .collect()
}

/// Mount points below a folder, outermost first.
fn mounts(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below = format!("{}/", dir.display());
    let points = text.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| point.starts_with(&below)).map(str::to_owned).collect()
}

/// Where the cgroup hierarchies are mounted, of either version.
fn cgroup_roots() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let cgroup = |line: &&str| line.split(" - ").nth(1).is_some_and(|rest| rest.starts_with("cgroup"));
    text.lines().filter(cgroup).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// The cgroups of a testbed's pods and of its Podman, in every hierarchy.
fn cgroups(id: &str) -> Vec<PathBuf> {
    let prefix = format!("pod{id}-");
    let roots = cgroup_roots();
    let podmans = roots.iter().map(|root| root.join(format!("podman-{id}"))).filter(|path| path.exists());
    roots
        .iter()
        .filter_map(|root| fs::read_dir(root.join("kubepods/burstable")).ok())
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .chain(podmans)
        .collect()
}

/// The cgroups of one pod, in every hierarchy, are removed: the kubelet's duty on a real node.
pub(crate) fn remove_pod_cgroups(uid: &str) {
    for root in cgroup_roots() {
        remove_cgroup(&root.join(format!("kubepods/burstable/pod{uid}")));
    }
}

fn members(cgroup: &Path) -> Vec<u32> {
    let own = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    pids.extend(children(cgroup).iter().flat_map(|child| members(child)));
    pids
}

fn remove_cgroup(cgroup: &Path) -> bool {
    for child in children(cgroup) {
        remove_cgroup(&child);
    }
    fs::remove_dir(cgroup).is_ok() || !cgroup.exists()
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The files of a living or dead testbed that are not in its folder: shims listen below /run/containerd and network
/// plugins remember results below /var/lib/cni, whatever containerd is told, and only what ends in peace removes them.
pub fn far_files(dir: &Path, id: &str) -> Vec<PathBuf> {
    let tasks = entries(&dir.join("state/io.containerd.runtime.v2.task/k8s.io"));
    let told = tasks.iter().flat_map(|task| ["address", "bootstrap.json"].map(|file| task.join(file)));
    let mut files: Vec<PathBuf> =
        told.filter_map(|file| shim_socket(&fs::read_to_string(file).ok()?)).collect();

    let sandboxes = entries(&dir.join("root/io.containerd.grpc.v1.cri/sandboxes"));
    let mut marks: Vec<String> = sandboxes.iter().filter_map(|path| name(path)).collect();
    marks.push(id.to_owned());
    let ours = |path: &PathBuf| name(path).is_some_and(|name| marks.iter().any(|mark| name.contains(mark)));
    files.extend(entries(Path::new("/var/lib/cni/results")).into_iter().filter(ours));
    files
}

/// A shim's socket, which containerd writes down alone, and from 2.0 on within JSON.
fn shim_socket(text: &str) -> Option<PathBuf> {
    let (_, path) = text.split_once("unix://")?;
    Some(path.split('"').next()?.trim().into())
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// A bridge takes its ports along: the kernel removes those of a dead namespace only later.
fn remove_link(name: &str) {
    for port in fs::read_dir(format!("/sys/class/net/{name}/brif")).into_iter().flatten().flatten() {
        quietly("ip", &["link", "delete", &port.file_name().to_string_lossy()]);
    }
    quietly("ip", &["link", "delete", name]);
}

/// Runs a command whose object may be gone already.
fn quietly(command: &str, args: &[&str]) {
    let _ = Command::new(command).args(args).stdin(Stdio::null()).stderr(Stdio::null()).status();
}
