//! The network namespaces of this machine, and acting in them.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that is held open.
#[derive(Debug)]
pub(crate) struct Netns(File);

impl Netns {
    /// Moves the calling thread into it, for good. Needs `CAP_SYS_ADMIN`.
    pub(crate) fn enter(&self) -> std::io::Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

/// The inode of this process's network namespace.
pub(crate) fn own() -> std::io::Result<u32> {
    // The kernel's numbers of namespaces have 32 bits.
    Ok(std::fs::metadata("/proc/self/ns/net")?.ino() as u32)
}

/// Opens each network namespace once: those of processes, and those that are mounted somewhere (as
/// `ip netns` and the runtimes do). One that goes away meanwhile is left out; `most` at most.
pub(crate) fn all(most: usize) -> impl Iterator<Item = Netns> {
    let mut seen = HashSet::new();
    of_processes()
        .chain(mounted())
        .filter_map(move |path| {
            let file = File::open(path).ok()?;
            seen.insert(file.metadata().ok()?.ino()).then_some(Netns(file))
        })
        .take(most)
}

fn of_processes() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()))
        .map(|entry| entry.path().join("ns/net"))
}

fn mounted() -> impl Iterator<Item = PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // Root and mount point are the fourth and fifth field.
    let netns = |line: &str| {
        let mut fields = line.split(' ').skip(3);
        fields.next().filter(|root| root.starts_with("net:["))?;
        fields.next().map(PathBuf::from)
    };
    mounts.lines().filter_map(netns).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_is_among_them_once() {
        let own = u64::from(own().unwrap());
        let found = all(10_000).filter(|netns| netns.0.metadata().unwrap().ino() == own).count();
        assert_eq!(found, 1);
        assert_eq!(all(1).count(), 1);
    }
}
