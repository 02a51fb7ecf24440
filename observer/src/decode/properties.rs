//! What holds of all bytes that a ring may hold, whoever wrote them.

use observer_ebpf::event::{Header, Kind};
use observer_ebpf::process::{Exec, Task};
use proptest::prelude::*;
use zerocopy::IntoBytes as _;

use super::*;

/// A record's head of some kind, and anything behind it.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let tail = prop::collection::vec(any::<u8>(), 0..600);
    let headed =
        (any::<u64>(), any::<u64>(), 0_u32..32, tail.clone()).prop_map(|(time_ns, cgroup_id, kind, tail)| {
            [Header { time_ns, cgroup_id, kind, reserved: 0 }.as_bytes(), &tail].concat()
        });
    prop_oneof![1 => tail, 4 => headed]
}

/// A program with a path and arguments of any bytes, of which the kernel says what it likes.
fn exec() -> impl Strategy<Value = Vec<u8>> {
    let text = || prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..300);
    let lengths = [0_u32..400, 0..400, 0..400, 0..400, 0..12];
    (text(), text(), lengths, any::<u32>(), any::<[u8; 16]>()).prop_map(
        |(path, arguments, lengths, arguments_total, comm)| {
            let [path_len, script_len, directory_len, arguments_len, ancestors] = lengths;
            let exec = Exec {
                header: Header { time_ns: 1, cgroup_id: 1, kind: Kind::Exec as u32, reserved: 0 },
                task: Task { start_ns: 1, tgid: 1, uid: 0, comm },
                capabilities: 0,
                gid: 0,
                flags: 0,
                mntns: 0,
                pidns: 0,
                netns: 0,
                ancestors,
                path_len,
                script_len,
                directory_len,
                arguments_len,
                arguments_total,
                reserved: 0,
            };
            [exec.as_bytes(), &path, &arguments].concat()
        },
    )
}

/// How much a record's words take.
#[allow(clippy::wildcard_enum_match_arm, reason = "the others have no words")]
fn size(body: &Body) -> usize {
    match body {
        Body::Exec(exec) => {
            exec.binary.len()
                + exec.script.len()
                + exec.directory.len()
                + exec.task.comm.text().len()
                + exec.ancestors.iter().map(|(task, _)| task.comm.text().len()).sum::<usize>()
                + exec.arguments.iter().map(|argument| argument.len() + 1).sum::<usize>()
        }
        Body::CgroupMade { path } => path.len(),
        // A byte of a name is spelled with four characters at most.
        Body::Answer(Some(answer)) => answer.name.len() / 4 + answer.addresses.len() * 4,
        _ => 0,
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in prop_oneof![bytes(), exec()]) {
        if let Ok(record) = decode(&bytes, Tick::default()) {
            // A byte that is no UTF-8 may become a character of three.
            prop_assert!(size(&record.body) <= 3 * bytes.len() + 1);
        }
    }
}
