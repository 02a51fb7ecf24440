//! Tests of decoding: records as the probes write them, and bytes as nobody writes them.

use observer_ebpf::event::{Header, Kind};
use observer_ebpf::process::{Ancestor, Exec, NAMES_MAX, Oom, Signal, Task as RawTask, exec_flag};
use observer_ebpf::tcp::{Closed, Counters as RawCounters, Listening, Socket as RawSocket, role};
use zerocopy::IntoBytes;

use super::*;
use crate::event::Namespaces;

fn header(kind: Kind) -> Header {
    Header { time_ns: 77, cgroup_id: 5, kind: kind as u32, reserved: 0 }
}

fn raw_task() -> RawTask {
    RawTask { start_ns: 9, tgid: 4, uid: 1000, comm: *b"redis-server\0\0\0\0" }
}

fn exec(path: &[u8], arguments: &[u8], total: u32) -> Vec<u8> {
    let exec = Exec {
        header: header(Kind::Exec),
        task: raw_task(),
        capabilities: 1 << 12,
        gid: 1001,
        flags: exec_flag::TERMINAL,
        mntns: 21,
        pidns: 22,
        netns: 23,
        ancestors: 1,
        script_len: 6,
        directory_len: 8,
        reserved: 0,
        path_len: path.len() as u32,
        arguments_len: arguments.len() as u32,
        arguments_total: total,
    };
    let parent =
        Ancestor { start_ns: 8, cgroup_id: 6, tgid: 3, reserved: 0, comm: *b"init\0\0\0\0\0\0\0\0\0\0\0\0" };
    [exec.as_bytes(), parent.as_bytes(), path, b"/a.sh\0", b"app\0srv\0", arguments].concat()
}

fn closed(family: u16, local: [u8; 16]) -> Closed {
    Closed {
        header: header(Kind::Close),
        socket: RawSocket {
            cookie: 11,
            local_address: local,
            remote_address: local,
            local_port: 80,
            remote_port_be: 443_u16.to_be(),
            family,
            state: 1,
            role: role::CLIENT as u8,
            netns: 4_026_531_840,
            interface: 3,
        },
        task: raw_task(),
        start_ns: 1,
        counters: RawCounters {
            bytes_sent: 100,
            bytes_retrans: 10,
            bytes_received: 51,
            srtt_us: 8,
            min_rtt_us: u32::MAX,
            fin_received: 1,
            ..RawCounters::default()
        },
        error: 104,
        adopted: 0,
    }
}

fn understand(bytes: &[u8]) -> Result<Record, DecodeError> {
    decode(bytes, Tick::default())
}

#[test]
fn an_exec_keeps_any_bytes_and_empty_arguments() {
    let record = understand(&exec(b"/bin/\xffx\0", b"x\0\0-c\0", 6)).unwrap();
    let Body::Exec(exec) = record.body else { panic!() };
    let Executed { binary, arguments, arguments_truncated, task, .. } = *exec;
    assert_eq!(binary, b"/bin/\xffx");
    assert_eq!(arguments, [&b"x"[..], b"", b"-c"]);
    assert!(!arguments_truncated);
    assert_eq!((task.key.pid, &*task.comm.text()), (4, "redis-server"));
    assert_eq!((record.time, record.cgroup_id), (BootTime(77), 5));
}

#[test]
fn more_arguments_than_fit_are_marked() {
    let Body::Exec(exec) = understand(&exec(b"/x\0", b"abc", 9000)).unwrap().body else { panic!() };
    assert!(exec.arguments_truncated);
}

#[test]
fn an_exec_tells_who_runs_it_where_and_from_whom_it_descends() {
    let Body::Exec(exec) = understand(&exec(b"/bin/sh\0", b"", 0)).unwrap().body else { panic!() };
    assert_eq!((exec.gid, exec.capabilities, exec.terminal), (1001, 1 << 12, true));
    assert_eq!(exec.namespaces, Namespaces { mnt: 21, pid: 22, net: 23 });
    assert_eq!((exec.script.as_slice(), exec.directory.as_slice()), (&b"/a.sh"[..], &b"/srv/app"[..]));
    let key = ProcessKey { pid: 3, start: BootTime(8) };
    assert_eq!(exec.ancestors, [(Task { key, uid: 0, comm: "init".into() }, 6)]);
}

#[test]
fn an_oom_kill_tells_the_limit_that_was_hit_where_the_kernel_shows_it() {
    let mut oom = Oom {
        header: header(Kind::Oom),
        task: raw_task(),
        resident_pages: 7,
        limit_pages: 100,
        usage_pages: 99,
        names_len: 8,
        looked: 1,
    };
    let body =
        |oom: &Oom, names: &[u8]| understand(&[oom.as_bytes(), names].concat()).map(|record| record.body);
    let Body::Oom { limit, looked, .. } = body(&oom, b"app\0pod\0").unwrap() else { panic!() };
    let hit = LimitHit { path: "/pod/app".to_owned(), limit_pages: 100, usage_pages: 99 };
    assert_eq!((limit, looked), (Some(hit), true));
    oom.names_len = NAMES_MAX as u32;
    assert!(body(&oom, b"short").is_err());
    (oom.limit_pages, oom.names_len) = (u64::MAX, 0);
    let Body::Oom { limit, looked, .. } = body(&oom, b"").unwrap() else { panic!() };
    assert_eq!((limit, looked), (None, true), "the node's memory ran out");
}

#[test]
fn counters_are_payload_and_nanoseconds() {
    let mut local = [0; 16];
    local[..4].copy_from_slice(&[127, 0, 0, 1]);
    let record = understand(closed(2, local).as_bytes()).unwrap();
    let Body::Ended { socket, counters, errno, established, .. } = record.body else { panic!() };
    assert!(established);
    assert_eq!(errno, 104);
    assert_eq!(socket.local, "127.0.0.1:80".parse().unwrap());
    assert_eq!(socket.remote.port(), 443);
    assert_eq!((counters.sent_bytes, counters.received_bytes), (90, 50));
    assert_eq!((counters.rtt_ns, counters.min_rtt_ns), (Some(1000), None));
}

#[test]
fn ipv4_on_an_ipv6_socket_is_ipv4() {
    let mapped = std::net::Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped().octets();
    let Body::Ended { socket, .. } = understand(closed(10, mapped).as_bytes()).unwrap().body else {
        panic!()
    };
    assert_eq!(socket.local, "10.1.2.3:80".parse().unwrap());
}

#[test]
fn a_link_local_address_has_its_interface() {
    let address: std::net::Ipv6Addr = "fe80::2".parse().unwrap();
    for (address, text) in [(address, "[fe80::2%3]:80"), ("fd00::2".parse().unwrap(), "[fd00::2]:80")] {
        let record = understand(closed(10, address.octets()).as_bytes()).unwrap();
        let Body::Ended { socket, .. } = record.body else { panic!() };
        assert_eq!(socket.local.to_string(), text);
    }
}

#[test]
fn what_is_cut_or_unknown_is_an_error_at_every_length() {
    let whole = exec(b"/bin/true\0", b"true\0", 5);
    for length in 0..whole.len() {
        assert!(understand(&whole[..length]).is_err(), "{length} bytes were taken for a record");
    }
    let mut unknown = whole;
    unknown[16] = 200;
    assert_eq!(understand(&unknown), Err(DecodeError::UnknownKind(200)));
    assert!(understand(closed(77, [0; 16]).as_bytes()).is_err());
}

#[test]
fn lengths_that_lie_are_refused() {
    let lengths = [
        std::mem::offset_of!(Exec, ancestors),
        std::mem::offset_of!(Exec, path_len),
        std::mem::offset_of!(Exec, script_len),
        std::mem::offset_of!(Exec, directory_len),
        std::mem::offset_of!(Exec, arguments_len),
    ];
    for at in lengths {
        let mut record = exec(b"/x\0", b"", 0);
        record[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(understand(&record), Err(DecodeError::Truncated(record.len())));
    }
}

#[test]
fn the_length_of_a_tick_is_learnt_from_what_kernels_are_built_with() {
    for (frequency, error) in [(100, 0), (250, 3), (300, -4), (1000, 5)] {
        let mut tick = Tick::default();
        tick.learn(10, 1_000_000);
        assert_eq!(tick.nanoseconds(1), None, "too short a time to tell");
        let span: u64 = 100_000_000_000 / frequency;
        tick.learn(100, span.checked_add_signed(span as i64 * error / 1000).unwrap());
        assert_eq!(tick.nanoseconds(3), Some(1_000_000_000 / frequency * 3), "{frequency}");
    }
}

#[test]
fn a_signal_tells_who_sent_it_and_what_became_of_it() {
    let raw = Signal {
        header: header(Kind::Signal),
        sender: raw_task(),
        sender_cgroup_id: 8,
        start_ns: 3,
        tgid: 12,
        signal: 15,
        result: 1,
        reserved: 0,
    };
    let record = decode(raw.as_bytes(), Tick::default()).unwrap();
    let Body::Signal { receiver, signal, ignored, sender, sender_cgroup } = record.body else { panic!() };
    assert_eq!((record.cgroup_id, receiver.pid, receiver.start, signal), (5, 12, BootTime(3), 15));
    assert_eq!((ignored, sender.key.pid, sender_cgroup), (true, 4, 8));
    let wrong = Signal { signal: 999, ..raw };
    assert!(decode(wrong.as_bytes(), Tick::default()).is_err());
}

#[test]
fn a_listening_socket_has_its_address_and_its_process() {
    let socket = closed(2, [10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).socket;
    let raw = Listening { header: header(Kind::Listening), socket, task: raw_task() };
    let Body::Listening { socket, task } = decode(raw.as_bytes(), Tick::default()).unwrap().body else {
        panic!()
    };
    assert_eq!((socket.local, task.unwrap().key.pid), ("10.0.0.1:80".parse().unwrap(), 4));
    assert!(decode(&raw.as_bytes()[..100], Tick::default()).is_err());
}
