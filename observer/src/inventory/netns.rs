//! The network namespaces of this machine, and acting in them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The file system of namespaces (include/uapi/linux/magic.h).
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// A network namespace that is held open.
#[derive(Debug)]
pub(crate) struct Netns {
    file: File,
    /// The folder in /proc of a process that is in it.
    process: Option<PathBuf>,
}

impl Netns {
    /// The one that a file of `/proc` stands for; `process` is the folder there of a process that is in it.
    pub(crate) const fn of(file: File, process: Option<PathBuf>) -> Self {
        Self { file, process }
    }

    /// Moves the calling thread into it, for good. Needs `CAP_SYS_ADMIN`.
    pub(crate) fn enter(&self) -> std::io::Result<()> {
        Ok(move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// It is the one that this process is in.
    pub(crate) fn is_own(&self) -> bool {
        own().is_ok_and(|own| self.file.metadata().is_ok_and(|of| of.ino() == u64::from(own)))
    }

    /// No process holds one of its TCP sockets: one waits to be accepted, or is closed and not yet at its end. Seen
    /// from outside, through a process that is in it; an error where there is none.
    pub(crate) fn has_unheld(&self) -> std::io::Result<bool> {
        let process = self.process.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        let path = |name: &str| process.join("net").join(name);
        let count = |name: &str| std::fs::read_to_string(path(name)).map(|text| in_use(&text).unwrap_or(0));
        let lists = |name: &str| File::open(path(name)).map(|file| lists_unheld(BufReader::new(file)));
        // Without IPv6 the second ones are not there.
        Ok((count("sockstat")? > 0 && lists("tcp")?)
            || (count("sockstat6").unwrap_or(0) > 0 && lists("tcp6").unwrap_or(false)))
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
        let file = File::open(&path).ok()?;
        // The empty file that a namespace was mounted on, if it is gone by now.
        let is_namespace = rustix::fs::fstatfs(&file).is_ok_and(|of| of.f_type == NSFS_MAGIC);
        if !is_namespace {
            return None;
        }
        // /proc/PID/ns/net
        let process = path.ends_with("ns/net").then(|| path.ancestors().nth(2).map(Path::to_owned)).flatten();
        seen.insert(file.metadata().ok()?.ino()).then_some(Netns { file, process })
    })
}

/// /proc/PID/net/tcp or tcp6 lists a socket that no process holds; requests and time-wait sockets are none.
fn lists_unheld(listed: impl BufRead) -> bool {
    const SYN_RECV: &str = "03";
    /// What a time-wait socket waits for, in the column of timers, whatever its state.
    const TIME_WAIT: &str = "03:";
    listed.lines().skip(1).map_while(Result::ok).any(|line| {
        let mut fields = line.split_whitespace().skip(3);
        let (state, timer, inode) = (fields.next(), fields.nth(1), fields.nth(3));
        inode == Some("0")
            && state.is_some_and(|state| state != SYN_RECV)
            && timer.is_some_and(|timer| !timer.starts_with(TIME_WAIT))
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
        let found = all().filter(|netns| netns.file.metadata().unwrap().ino() == own).count();
        assert_eq!(found, 1);
        assert_eq!(all().filter(Netns::is_own).count(), 1);
    }

    #[test]
    fn sockets_that_nobody_holds_are_told_from_others() {
        const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let line = |state: &str, timer: &str, inode: u32| {
            let ends = "0100007F:1F90 0100007F:C350";
            format!(
                "{HEAD}   0: {ends} {state} 00000000:00000000 {timer}:00000000 00000000     0        0 {inode} 1 0 20\n"
            )
        };
        let lists_unheld = |listed: &str| lists_unheld(listed.as_bytes());
        assert!(!lists_unheld(HEAD));
        assert!(lists_unheld(&line("01", "00", 0)), "established, not yet accepted");
        assert!(lists_unheld(&line("04", "01", 0)), "closed, and its FIN is on the way");
        assert!(!lists_unheld(&line("01", "00", 4711)), "somebody's");
        assert!(!lists_unheld(&line("06", "03", 0)), "time-wait");
        assert!(!lists_unheld(&line("05", "03", 0)), "time-wait that waits for a FIN");
        assert!(!lists_unheld(&line("03", "01", 0)), "a request");
    }

    #[test]
    fn a_socket_in_the_queue_of_a_listener_is_nobodys() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _waiting = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let netns = all().find(Netns::is_own).unwrap();
        assert!(netns.has_unheld().unwrap());
        let mounted = Netns::of(netns.file, None);
        assert!(mounted.has_unheld().is_err());
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
