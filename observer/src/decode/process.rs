//! Records of processes and cgroups.

use observer_ebpf::cgroup::{Cgroup, PATH_MAX as CGROUP_PATH_MAX};
use observer_ebpf::process::{ANCESTORS_MAX, Ancestor, Exec, Exit, Oom, PATH_MAX, Signal, exec_flag};

use super::{Body, DecodeError, Task, fixed, task};
use crate::event::{BootTime, Ending, Namespaces, ProcessKey};

/// A program that was executed.
#[allow(clippy::struct_excessive_bools, reason = "each says of another thing whether it is whole")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Executed {
    /// The process.
    pub(crate) task: Task,
    /// The group.
    pub(crate) gid: u32,
    /// The processes above it, the parent first, each with its cgroup; to the first one in another cgroup, at most.
    pub(crate) ancestors: Vec<(Task, u64)>,
    /// Where it runs.
    pub(crate) namespaces: Namespaces,
    /// The effective capabilities, a bit each.
    pub(crate) capabilities: u64,
    /// It has a controlling terminal.
    pub(crate) terminal: bool,
    /// The path of the file that runs, any bytes.
    pub(crate) binary: Vec<u8>,
    /// The path was longer.
    pub(crate) binary_truncated: bool,
    /// The path of the script that it runs, any bytes; empty where it is none.
    pub(crate) script: Vec<u8>,
    /// The working directory below the process's own root, any bytes.
    pub(crate) directory: Vec<u8>,
    /// It is deeper: what is told lies somewhere below the root.
    pub(crate) directory_truncated: bool,
    /// The arguments, any bytes.
    pub(crate) arguments: Vec<Vec<u8>>,
    /// There were more, or they could not be read.
    pub(crate) arguments_truncated: bool,
}

/// A cgroup that had reached its limit of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitHit {
    /// Its path in the memory controller's hierarchy.
    pub(crate) path: String,
    /// The limit.
    pub(crate) limit_pages: u64,
    /// What was charged.
    pub(crate) usage_pages: u64,
}

pub(super) fn exec(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (exec, rest): (Exec, _) = fixed(bytes)?;
    let mut parts = Parts { rest, length: bytes.len() };
    let mut ancestors = Vec::new();
    for _ in 0..(exec.ancestors as usize).min(ANCESTORS_MAX) {
        let bytes = parts.take(size_of::<Ancestor>())?;
        let (ancestor, _): (Ancestor, _) = fixed(bytes)?;
        let key = ProcessKey { pid: ancestor.tgid, start: BootTime(ancestor.start_ns) };
        ancestors.push((Task { key, uid: 0, comm: ancestor.comm.into() }, ancestor.cgroup_id));
    }
    let path = parts.take(exec.path_len as usize)?;
    let script = parts.take(exec.script_len as usize)?;
    let directory = parts.take(exec.directory_len as usize)?;
    let arguments = parts.take(exec.arguments_len as usize)?;
    let is_on = |flag| exec.flags & flag != 0;
    Ok(Body::Exec(Box::new(Executed {
        task: task(&exec.task),
        gid: exec.gid,
        ancestors,
        namespaces: Namespaces { mnt: exec.mntns, pid: exec.pidns, net: exec.netns },
        capabilities: exec.capabilities,
        terminal: is_on(exec_flag::TERMINAL),
        binary: path.strip_suffix(&[0]).unwrap_or(path).to_vec(),
        binary_truncated: exec.path_len as usize >= PATH_MAX || exec.script_len as usize >= PATH_MAX,
        script: script.strip_suffix(&[0]).unwrap_or(script).to_vec(),
        directory: from_root(directory),
        directory_truncated: is_on(exec_flag::DIRECTORY_CUT),
        arguments: split(arguments),
        arguments_truncated: exec.arguments_total == 0 || exec.arguments_total > exec.arguments_len,
    })))
}

/// What follows a record.
struct Parts<'a> {
    rest: &'a [u8],
    /// How long the whole record is.
    length: usize,
}

impl<'a> Parts<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (part, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated(self.length))?;
        self.rest = rest;
        Ok(part)
    }
}

/// Names, the innermost first, as a path from the root.
fn from_root(names: &[u8]) -> Vec<u8> {
    let names = split(names);
    if names.is_empty() {
        return b"/".to_vec();
    }
    names.iter().rev().flat_map(|name| [b"/", name.as_slice()].concat()).collect()
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
        cpu_time_ns: (exit.cpu_ns != u64::MAX).then_some(exit.cpu_ns),
        peak_pages: exit.peak_pages,
    })
}

pub(super) fn oom(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (oom, rest): (Oom, _) = fixed(bytes)?;
    let names = Parts { rest, length: bytes.len() }.take(oom.names_len as usize)?;
    let resident_pages = (oom.resident_pages != u64::MAX).then_some(oom.resident_pages);
    let limit = (oom.limit_pages != u64::MAX).then(|| LimitHit {
        path: String::from_utf8_lossy(&from_root(names)).into_owned(),
        limit_pages: oom.limit_pages,
        usage_pages: oom.usage_pages,
    });
    Ok(Body::Oom { task: task(&oom.task), resident_pages, limit, looked: oom.looked != 0 })
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
