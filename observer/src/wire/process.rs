//! Processes on the wire: what is particular to an exec, an exit and an OOM kill.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use observer_proto::served as v1;

use super::event::ending;
use super::{boot_timestamp, workload};
use crate::event::{
    Ancestor, Ending, ExecOrigin, Now, OomKill, ProcessExec, ProcessExit, Shortage, capabilities,
};

fn text(bytes: &OsStr) -> String {
    bytes.to_string_lossy().into_owned()
}

pub(super) fn process_exec(exec: &ProcessExec, now: Now) -> v1::ProcessExec {
    let ProcessExec {
        origin,
        script,
        directory,
        directory_truncated,
        capabilities: held,
        terminal,
        ancestors,
        ancestors_truncated,
        arguments,
        arguments_truncated,
        binary_truncated,
    } = exec;
    let (origin, entered, kinds) = match origin {
        ExecOrigin::Descendant => (v1::ExecOrigin::Unspecified, None, &[][..]),
        ExecOrigin::ContainerStart => (v1::ExecOrigin::ContainerStart, None, &[][..]),
        ExecOrigin::Entered => (v1::ExecOrigin::Entered, None, &[][..]),
        ExecOrigin::Namespaces { of, kinds } => {
            (v1::ExecOrigin::Namespaces, Some(workload(of)), kinds.as_slice())
        }
    };
    let is_text = arguments.iter().all(|argument| argument.to_str().is_some());
    let raw = if is_text { &[][..] } else { arguments.as_slice() };
    v1::ProcessExec {
        raw_arguments: raw.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
        arguments: arguments.iter().map(|argument| text(argument)).collect(),
        arguments_truncated: *arguments_truncated,
        binary_truncated: *binary_truncated,
        origin: origin as i32,
        entered,
        entered_namespaces: kinds.iter().map(|&kind| kind.to_owned()).collect(),
        script: text(script),
        working_directory: text(directory),
        working_directory_truncated: *directory_truncated,
        capabilities: capabilities(*held),
        terminal: *terminal,
        ancestors: ancestors.iter().map(|above| ancestor(above, now)).collect(),
        ancestors_truncated: *ancestors_truncated,
    }
}

fn ancestor(ancestor: &Ancestor, now: Now) -> v1::Ancestor {
    let Ancestor { key, comm, binary } = ancestor;
    v1::Ancestor {
        pid: key.pid,
        start_time: Some(boot_timestamp(key.start, now)),
        comm: comm.clone(),
        binary: text(binary),
    }
}

pub(super) fn process_exit(exit: &ProcessExit) -> v1::ProcessExit {
    let ProcessExit { ending: how, oom_killed, run_time_ns, cpu_time_ns, peak_memory_bytes, first } = exit;
    let (code, signal, signal_name) = ending(*how);
    v1::ProcessExit {
        code,
        signal,
        signal_name,
        core_dumped: matches!(how, Ending::Signal { core_dumped: true, .. }),
        run_time_ns: Some(*run_time_ns),
        oom_killed: *oom_killed,
        cpu_time_ns: *cpu_time_ns,
        peak_memory_bytes: *peak_memory_bytes,
        container_first_process: *first,
    }
}

pub(super) fn oom_kill(kill: &OomKill) -> v1::OomKill {
    let OomKill { resident_bytes, shortage } = kill;
    let (scope, cgroup, limit_bytes, usage_bytes) = match shortage {
        Shortage::Unknown => (v1::OomScope::Unspecified, String::new(), None, None),
        Shortage::Node => (v1::OomScope::Node, String::new(), None, None),
        Shortage::Cgroup { path, limit_bytes, usage_bytes } => {
            (v1::OomScope::Cgroup, path.clone(), Some(*limit_bytes), Some(*usage_bytes))
        }
    };
    v1::OomKill { resident_bytes: *resident_bytes, scope: scope as i32, cgroup, limit_bytes, usage_bytes }
}
