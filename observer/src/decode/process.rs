//! Records of processes and cgroups.

use observer_ebpf::cgroup::{Cgroup, PATH_MAX as CGROUP_PATH_MAX};
use observer_ebpf::process::{Exec, Exit, Oom, PATH_MAX, Signal};

use super::{Body, DecodeError, fixed, task};
use crate::event::{BootTime, Ending, ProcessKey};

pub(super) fn exec(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (exec, rest): (Exec, _) = fixed(bytes)?;
    let (path_len, arguments_len) = (exec.path_len as usize, exec.arguments_len as usize);
    let path = rest.get(..path_len).ok_or(DecodeError::Truncated(bytes.len()))?;
    let arguments =
        rest.get(path_len..path_len + arguments_len).ok_or(DecodeError::Truncated(bytes.len()))?;
    Ok(Body::Exec {
        task: task(&exec.task),
        parent_pid: exec.parent_tgid,
        binary: path.strip_suffix(&[0]).unwrap_or(path).to_vec(),
        binary_truncated: path_len >= PATH_MAX,
        arguments: split(arguments),
        arguments_truncated: exec.arguments_total == 0 || exec.arguments_total > exec.arguments_len,
    })
}

/// Arguments are ended, not parted, by zero bytes; the last one may be cut.
fn split(arguments: &[u8]) -> Vec<Vec<u8>> {
    if arguments.is_empty() {
        return Vec::new();
    }
    let whole = arguments.strip_suffix(&[0]).unwrap_or(arguments);
    whole.split(|&b| b == 0).map(<[u8]>::to_vec).collect()
}

pub(super) fn exit(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (exit, _): (Exit, _) = fixed(bytes)?;
    Ok(Body::Exit {
        task: task(&exit.task),
        parent_pid: exit.parent_tgid,
        ending: Ending::from_wait_status(exit.status),
        oom_killed: exit.oom_victim != 0,
    })
}

pub(super) fn oom(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (oom, _): (Oom, _) = fixed(bytes)?;
    let resident_pages = (oom.resident_pages != u64::MAX).then_some(oom.resident_pages);
    Ok(Body::Oom { task: task(&oom.task), resident_pages })
}

/// What became of a signal that a process would not have (include/trace/events/signal.h).
const IGNORED: u32 = 1;

pub(super) fn signal(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (sent, _): (Signal, _) = fixed(bytes)?;
    Ok(Body::Signal {
        receiver: ProcessKey { pid: sent.tgid, start: BootTime(sent.start_ns) },
        signal: u8::try_from(sent.signal).map_err(|_large| DecodeError::Impossible("signal"))?,
        ignored: sent.result == IGNORED,
        sender: task(&sent.sender),
        sender_cgroup: sent.sender_cgroup_id,
    })
}

pub(super) fn cgroup_made(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (cgroup, rest): (Cgroup, _) = fixed(bytes)?;
    let length = cgroup.path_len as usize;
    if length > CGROUP_PATH_MAX {
        return Err(DecodeError::Impossible("cgroup_made"));
    }
    let path = rest.get(..length).ok_or(DecodeError::Truncated(bytes.len()))?;
    let path = path.strip_suffix(&[0]).unwrap_or(path);
    Ok(Body::CgroupMade { path: String::from_utf8_lossy(path).into_owned() })
}
