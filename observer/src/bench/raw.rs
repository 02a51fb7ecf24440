//! Records as the probes write them.

use std::net::Ipv4Addr;

use observer_ebpf::event::{Comm, Header, Kind};
use observer_ebpf::process::{Ancestor, Exec, Exit, Task};
use observer_ebpf::tcp::{Closed, Counters, Opened, Socket, role};
use zerocopy::{Immutable, IntoBytes};

use super::{BEGINNING_NS, CONTAINERS, ROUND_NS};

/// A round's records, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Raw {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    fn push(&mut self, record: &(impl IntoBytes + Immutable), behind: &[&[u8]]) {
        self.bytes.extend(record.as_bytes());
        for part in behind {
            self.bytes.extend(*part);
        }
        self.ends.push(self.bytes.len());
    }
}

/// The cgroup of a container.
pub(super) const fn cgroup_id(container: u64) -> u64 {
    1000 + container
}

/// The address of a container's pod.
pub(super) fn address(container: u64) -> Ipv4Addr {
    let [high, low] = (container as u16 + 1).to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}

/// So many connections from one container to another, each opened and closed: four records of each.
#[must_use]
pub fn connections(round: u64, count: u64) -> Raw {
    let mut raw = Raw::default();
    for number in 0..count {
        let pair = Pair {
            time_ns: BEGINNING_NS + round * ROUND_NS + number * 1000,
            cookie: 2 * (round * count + number) + 1,
            client: number % CONTAINERS,
            server: (number + 7) % CONTAINERS,
            port: 32_768 + (number % 28_000) as u16,
            handshake_ns: 60_000,
            srtt_us: 480,
        };
        pair.opened(&mut raw);
        pair.closed(400_000, &mut raw);
    }
    raw
}

/// A connection from one container to another, as both sides see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// When it is established.
    pub(super) time_ns: u64,
    /// The client's socket; the server's has the next number.
    pub(super) cookie: u64,
    pub(super) client: u64,
    pub(super) server: u64,
    /// The client's.
    pub(super) port: u16,
    pub(super) handshake_ns: u64,
    pub(super) srtt_us: u32,
}

impl Pair {
    /// It is established: two records.
    pub(super) fn opened(self, raw: &mut Raw) {
        for (kind, role) in [(Kind::Connect, role::CLIENT), (Kind::Accept, role::SERVER)] {
            let (header, socket, task) = self.side(kind, role, 0);
            let start_ns = self.time_ns - self.handshake_ns;
            raw.push(&Opened { header, socket, task, start_ns, srtt_us: self.srtt_us, reserved: 0 }, &[]);
        }
    }

    /// It ends, so long after that: two records.
    pub(super) fn closed(self, after_ns: u64, raw: &mut Raw) {
        for role in [role::CLIENT, role::SERVER] {
            let (header, socket, task) = self.side(Kind::Close, role, after_ns);
            let counters = Counters {
                bytes_sent: 100,
                bytes_received: 101,
                segs_out: 5,
                segs_in: 5,
                srtt_us: self.srtt_us,
                mdev_us: 100,
                min_rtt_us: 40,
                fin_received: 1,
                delivered: 3,
                ..Counters::default()
            };
            let start_ns = self.time_ns - self.handshake_ns;
            raw.push(&Closed { header, socket, task, start_ns, counters, error: 0, adopted: 0 }, &[]);
        }
    }

    fn side(self, kind: Kind, role: u32, after_ns: u64) -> (Header, Socket, Task) {
        let Self { time_ns, cookie, client, server, port, .. } = self;
        let is_client = role == role::CLIENT;
        let (own, other, ports) =
            if is_client { (client, server, [port, 8080]) } else { (server, client, [8080, port]) };
        let header =
            Header { time_ns: time_ns + after_ns, cgroup_id: cgroup_id(own), kind: kind as u32, reserved: 0 };
        let socket = Socket {
            cookie: cookie + u64::from(!is_client),
            local_address: wide(address(own)),
            remote_address: wide(address(other)),
            local_port: ports[0],
            remote_port_be: ports[1].to_be(),
            family: 2,
            state: 1,
            role: role as u8,
            netns: 10 + own as u32,
            interface: 0,
        };
        (header, socket, service(own))
    }
}

/// So many processes of containers, each executed and ended: two records of each.
#[must_use]
pub fn processes(round: u64, count: u64) -> Raw {
    let mut raw = Raw::default();
    for number in 0..count {
        let time_ns = BEGINNING_NS + round * ROUND_NS + number * 1000;
        // Pids come again, as they do; with the start they are unique.
        let tgid = 10_000 + ((round * count + number) % 50_000) as u32;
        process(time_ns, number % CONTAINERS, tgid, 0, &mut raw);
    }
    raw
}

/// A process of a container that is executed and ends with that code: two records.
pub(super) fn process(time_ns: u64, container: u64, tgid: u32, code: u8, raw: &mut Raw) {
    const PATH: &[u8] = b"/usr/bin/curl\0";
    const DIRECTORY: &[u8] = b"app\0srv\0";
    const ARGUMENTS: &[u8] = b"curl\0--silent\0--max-time\x0010\0http://10.1.0.7:8080/health\0";
    let header = |kind: Kind, after: u64| Header {
        time_ns: time_ns + after,
        cgroup_id: cgroup_id(container),
        kind: kind as u32,
        reserved: 0,
    };
    let task = Task { start_ns: time_ns - 100_000, tgid, uid: 1000, comm: comm(b"curl") };
    let parent = service(container);
    let exec = Exec {
        header: header(Kind::Exec, 0),
        task,
        capabilities: 0,
        gid: 1000,
        flags: 0,
        mntns: 20 + container as u32,
        pidns: 120 + container as u32,
        netns: 10 + container as u32,
        ancestors: 1,
        path_len: PATH.len() as u32,
        script_len: 0,
        directory_len: DIRECTORY.len() as u32,
        arguments_len: ARGUMENTS.len() as u32,
        arguments_total: ARGUMENTS.len() as u32,
        reserved: 0,
    };
    let ancestor = Ancestor {
        start_ns: parent.start_ns,
        cgroup_id: cgroup_id(container),
        tgid: parent.tgid,
        reserved: 0,
        comm: parent.comm,
    };
    raw.push(&exec, &[ancestor.as_bytes(), PATH, DIRECTORY, ARGUMENTS]);
    let exit = Exit {
        header: header(Kind::Exit, 2_000_000),
        task,
        cpu_ns: 1_500_000,
        peak_pages: 900,
        parent_tgid: parent.tgid,
        status: u32::from(code) << 8,
        oom_victim: 0,
        reserved: 0,
    };
    raw.push(&exit, &[]);
}

/// The one process of a container that is there all the time.
fn service(container: u64) -> Task {
    Task { start_ns: 900_000_000, tgid: 100 + container as u32, uid: 1000, comm: comm(b"web") }
}

fn comm(name: &[u8]) -> Comm {
    let mut comm = Comm::default();
    comm[..name.len()].copy_from_slice(name);
    comm
}

fn wide(address: Ipv4Addr) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..4].copy_from_slice(&address.octets());
    wide
}
