//! What clients see of the domain's values.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use bytes::Bytes;
use observer_proto::served as v1;
use prost::Message as _;

use super::*;
use crate::event::examples::{WALL_NS, accept, connect, event as example, exited, pod, tcp as ends};
use crate::event::{Detail, Ending, EventType, Memo, ProcessExec, ProcessExit};

#[test]
fn the_types_names_and_numbers_are_the_protos() {
    for event_type in EventType::ALL {
        let wire = v1::EventType::try_from(event_type as i32).expect("a type of the proto");
        assert_eq!(wire.as_str_name(), event_type.name());
    }
}

#[test]
fn the_source_is_the_end_that_asked() {
    let (web, db) = (pod(1, "shop", "web"), pod(2, "data", "db"));
    let sides = |outgoing, detail: fn(&Tcp) -> Detail| {
        let ends = ends(0xab, outgoing, "10.0.0.2:5432", Some(&db));
        let wire = event(&example(&web, 3, detail(&ends)), "node-1");
        let tcp = match wire.detail {
            Some(v1::event::Detail::TcpConnect(connect)) => connect.tcp,
            Some(v1::event::Detail::TcpAccept(accept)) => accept.tcp,
            other => panic!("{other:?}"),
        };
        let v1::Tcp { connection_id, source, destination, .. } = tcp.unwrap();
        assert_eq!(connection_id, "ab");
        let name = |end: Option<v1::Endpoint>| {
            let workload = Bytes::from(end.unwrap().workload.unwrap());
            WholeWorkload::decode(workload).unwrap().name
        };
        (name(source), name(destination))
    };
    assert_eq!(sides(true, connect), ("web".into(), "db".into()));
    assert_eq!(sides(false, accept), ("db".into(), "web".into()));
}

#[test]
fn times_and_arguments_are_told() {
    let web = pod(1, "shop", "web");
    let exec = ProcessExec {
        arguments: vec!["sh".into(), OsString::from_vec(vec![b'a', 0xff])],
        arguments_truncated: true,
        ..ProcessExec::default()
    };
    let process = Process {
        key: ProcessKey { pid: 9, start: BootTime(1_000) },
        parent_pid: 1,
        uid: Some(0),
        gid: Some(0),
        comm: "sh".into(),
        binary: "/bin/sh".into(),
        told: Memo::default(),
    };
    let mut happened = example(&web, 5_000, Detail::ProcessExec(exec));
    happened.process = Some(Arc::new(process));
    let wire = event(&happened, "node-1");
    let at = |ns| Some(timestamp(WallTime(WALL_NS + ns)));
    let process = WholeProcess::decode(Bytes::from(wire.process.unwrap())).unwrap();
    assert_eq!((wire.time, process.start_time), (at(5_000), at(1_000)));
    assert_eq!((wire.r#type, wire.node_name.as_str()), (1, "node-1"));
    let Some(v1::event::Detail::ProcessExec(exec)) = wire.detail else { panic!("no exec") };
    assert_eq!((exec.arguments, exec.arguments_truncated), (vec!["sh".into(), "a\u{fffd}".into()], true));
    assert_eq!(exec.raw_arguments, [b"sh".to_vec(), vec![b'a', 0xff]]);
}

#[test]
fn an_ending_is_a_code_or_a_signal() {
    let told = |ending| {
        let exit = ProcessExit { oom_killed: true, run_time_ns: 7, ..exited(ending) };
        match event(&example(&pod(1, "a", "b"), 1, Detail::ProcessExit(exit)), "").detail {
            Some(v1::event::Detail::ProcessExit(exit)) => exit,
            other => panic!("{other:?}"),
        }
    };
    let code = told(Ending::Code(1));
    assert_eq!((code.code, code.signal, code.signal_name.as_str()), (Some(1), None, ""));
    let signal = told(Ending::Signal { signal: 9, core_dumped: false });
    assert_eq!((signal.code, signal.signal, signal.signal_name.as_str()), (None, Some(9), "SIGKILL"));
}

#[test]
fn a_loss_is_dated_by_both_clocks() {
    let loss = Loss {
        source: LossSource::Ring,
        kind: "tcp_close",
        cpu: Some(1),
        count: 4,
        since: BootTime(10),
        until: BootTime(2_000_000_000),
    };
    let now = Now { boot: BootTime(3_000_000_000), wall: WallTime(WALL_NS) };
    let wire = lost(&loss, now);
    assert_eq!((wire.source(), wire.kind.as_str(), wire.count), (v1::LossSource::Ring, "tcp_close", 4));
    assert_eq!(wire.until, Some(timestamp(WallTime(WALL_NS - 1_000_000_000))));
}

#[test]
fn addresses_are_written_as_usual() {
    for ip in ["0.0.0.0", "10.1.20.200", "255.255.255.255", "127.0.0.1", "100.10.9.99"] {
        assert_eq!(address(ip.parse().unwrap(), 0), ip);
    }
    assert_eq!(address("2001:db8::1".parse().unwrap(), 0), "2001:db8::1");
    assert_eq!(address("fe80::1".parse().unwrap(), 2), "fe80::1%2");
}
