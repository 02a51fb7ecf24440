//! The network namespaces of this machine, and acting in them.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The file system of namespaces (include/uapi/linux/magic.h).
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// A network namespace that is held open.
#[derive(Debug)]
pub(crate) struct Netns(File);

impl Netns {
    /// The one that a file of `/proc` stands for.
    pub(crate) const fn of(file: File) -> Self {
        Self(file)
    }

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

/// The network namespace that the calling thread is in has no TCP sockets, requests and time-wait sockets left aside.
pub(crate) fn is_empty() -> bool {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}"));
    // Without IPv6 the second one is not there.
    read("sockstat").is_ok_and(|v4| {
        in_use(&v4) == Some(0) && in_use(&read("sockstat6").unwrap_or_default()).unwrap_or(0) == 0
    })
}

/// The number of sockets in /proc/net/sockstat (`TCP: inuse 3 …`) or sockstat6 (`TCP6: inuse 3`).
fn in_use(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find(|line| line.starts_with("TCP"))?;
    line.split_whitespace().skip_while(|word| *word != "inuse").nth(1)?.parse().ok()
}

/// Opens each network namespace once: those of processes, and those that are mounted somewhere (as
/// `ip netns` and the runtimes do). One that goes away meanwhile is left out. How many there may be is the
/// kernel's to say (`user.max_net_namespaces`).
pub(crate) fn all() -> impl Iterator<Item = Netns> {
    let mut seen = HashSet::new();
    of_processes().chain(mounted()).filter_map(move |path| {
        let file = File::open(path).ok()?;
        // The empty file that a namespace was mounted on, if it is gone by now.
        let is_namespace = rustix::fs::fstatfs(&file).is_ok_and(|of| of.f_type == NSFS_MAGIC);
        if !is_namespace {
            return None;
        }
        seen.insert(file.metadata().ok()?.ino()).then_some(Netns(file))
    })
}

/// A file that stands for the network namespace with that inode, while somebody holds it.
pub(crate) fn find(inode: u32) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|of| of.ino() == u64::from(inode));
    // Mounted ones are few, and stay for long.
    mounted().chain(of_processes()).find(is_it)
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
        let found = all().filter(|netns| netns.0.metadata().unwrap().ino() == own).count();
        assert_eq!(found, 1);
    }

    #[test]
    fn one_is_found_by_its_inode() {
        let own = own().unwrap();
        let path = find(own).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().ino(), u64::from(own));
        assert_eq!(find(1), None);
    }

    #[test]
    fn sockets_are_counted_as_the_kernel_prints_them() {
        let v4 = "sockets: used 9\nTCP: inuse 0 orphan 0 tw 2 alloc 1 mem 0\nUDP: inuse 1 mem 0\n";
        assert_eq!(in_use(v4), Some(0));
        assert_eq!(in_use("TCP6: inuse 12\nUDP6: inuse 0\n"), Some(12));
        assert_eq!(in_use("nothing of the kind"), None);
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_empty());
    }
}
