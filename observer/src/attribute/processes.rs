//! The processes that are known: by exec, by /proc at the start, or by the first thing that they did.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use crate::decode::Task;
use crate::event::{BootTime, Memo, Process, ProcessKey};
use crate::room::Room;

/// How long a process is remembered after its end: its sockets are closed after it.
const KEPT_NS: u64 = 60 * 1_000_000_000;
/// A clock tick of /proc, in nanoseconds: `USER_HZ` is 100 everywhere.
const TICK_NS: u64 = 10_000_000;

/// What a process takes, with its path.
const PROCESS_BYTES: usize = 300;

struct Entry {
    process: Arc<Process>,
    /// Where it executed its program; 0 where that was not seen.
    cgroup_id: u64,
    exited: bool,
}

/// The table.
pub(super) struct Processes {
    entries: HashMap<u32, Entry>,
    ended: VecDeque<(BootTime, ProcessKey)>,
    capacity: usize,
    overflow: u64,
    /// So many were known at a time.
    most: usize,
    room: Room,
}

/// The same process: /proc knows its start only to the tick.
pub(super) fn same(a: ProcessKey, b: ProcessKey) -> bool {
    let on_tick = |key: ProcessKey| key.start.0.is_multiple_of(TICK_NS);
    let tick = |key: ProcessKey| key.start.0 / TICK_NS;
    a.pid == b.pid && (a.start == b.start || ((on_tick(a) || on_tick(b)) && tick(a) == tick(b)))
}

impl Processes {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ended: VecDeque::new(),
            capacity,
            overflow: 0,
            most: 0,
            room: Room::default(),
        }
    }

    /// Has it grow no further than memory allows.
    pub(super) fn share(&mut self, room: &Room) {
        self.room = room.clone();
    }

    /// A process that /proc showed. What the kernel told counts more.
    pub(super) fn seed(&mut self, process: Process) {
        match self.entries.get_mut(&process.key.pid) {
            Some(known) if same(known.process.key, process.key) => {
                if known.process.binary.is_empty() {
                    known.process = Arc::new(Process { key: known.process.key, ..process });
                }
            }
            Some(known) if known.process.key.start >= process.key.start => {}
            Some(_) | None => self.insert(Arc::new(process), 0),
        }
    }

    /// A process executed a program.
    pub(super) fn exec(
        &mut self,
        task: &Task,
        parent_pid: u32,
        gid: u32,
        binary: OsString,
        cgroup_id: u64,
    ) -> Arc<Process> {
        let process = Arc::new(Process {
            key: task.key,
            parent_pid,
            uid: Some(task.uid),
            gid: Some(gid),
            comm: task.comm.text().into_owned(),
            binary,
            told: Memo::default(),
        });
        self.insert(Arc::clone(&process), cgroup_id);
        process
    }

    /// The process of a task, known or not.
    pub(super) fn of(&mut self, task: &Task) -> Arc<Process> {
        if let Some(known) = self.entries.get_mut(&task.key.pid)
            && same(known.process.key, task.key)
        {
            if known.process.key != task.key {
                // Now its start is known to the nanosecond.
                known.process = Arc::new(Process { key: task.key, ..(*known.process).clone() });
            }
            return Arc::clone(&known.process);
        }
        let process = Arc::new(Process {
            key: task.key,
            parent_pid: 0,
            uid: Some(task.uid),
            gid: None,
            comm: task.comm.text().into_owned(),
            binary: OsString::new(),
            told: Memo::default(),
        });
        let newer =
            self.entries.get(&task.key.pid).is_none_or(|known| known.process.key.start < task.key.start);
        if newer {
            self.insert(Arc::clone(&process), 0);
        }
        process
    }

    /// A process ended. `None` where that was told already: two last threads may both say so.
    pub(super) fn exit(&mut self, task: &Task, parent_pid: u32, time: BootTime) -> Option<Arc<Process>> {
        let mut process = self.of(task);
        // One that executed nothing runs what its parent does; a parent that only took it over has another name.
        let parent = self.entries.get(&parent_pid).filter(|_| process.binary.is_empty());
        let parent = parent.map(|parent| &parent.process).filter(|parent| parent.comm == task.comm.text());
        let inherited = parent.map(|parent| parent.binary.clone());
        let entry = self.entries.get_mut(&task.key.pid);
        if let Some(entry) = entry
            && same(entry.process.key, task.key)
        {
            if entry.exited {
                return None;
            }
            entry.exited = true;
            if entry.process.parent_pid == 0 {
                let mut known = Process::clone(&entry.process);
                known.parent_pid = parent_pid;
                if let Some(binary) = inherited {
                    known.binary = binary;
                }
                process = Arc::new(known);
                entry.process = Arc::clone(&process);
            }
            self.ended.push_back((time, task.key));
            // Where pids are soon used again, there are more ends than processes.
            if self.ended.len() > self.capacity {
                self.forget_oldest();
            }
        }
        Some(process)
    }

    /// The process that the OOM killer chose; some kernels tell only its pid.
    pub(super) fn victim(&mut self, task: &Task) -> Option<Arc<Process>> {
        if task.key.start.0 != 0 {
            return Some(self.of(task));
        }
        self.entries.get(&task.key.pid).map(|known| Arc::clone(&known.process))
    }

    /// A process was told of, or there is no room for it.
    pub(super) fn knows(&self, key: ProcessKey) -> bool {
        self.known(key).is_some() || (self.entries.len() >= self.capacity && self.ended.is_empty())
    }

    /// A process that was told of, whether it still runs or not.
    pub(super) fn known(&self, key: ProcessKey) -> Option<&Arc<Process>> {
        self.entries.get(&key.pid).map(|known| &known.process).filter(|process| same(process.key, key))
    }

    /// The cgroup in which a process executed its program; 0 where that was not seen.
    pub(super) fn cgroup_of(&self, pid: u32) -> u64 {
        self.entries.get(&pid).map_or(0, |known| known.cgroup_id)
    }

    /// Forgets processes that ended a while ago.
    pub(super) fn expire(&mut self, now: BootTime) {
        while let Some(&(time, _)) = self.ended.front()
            && now.since_ns(time) >= KEPT_NS
        {
            self.forget_oldest();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }

    fn insert(&mut self, process: Arc<Process>, cgroup_id: u64) {
        while (self.entries.len() >= self.capacity || !self.room.is_left()) && !self.ended.is_empty() {
            self.forget_oldest();
        }
        // What was forgotten has left its memory behind.
        let grows = self.entries.len() >= self.most;
        let fits = self.entries.len() < self.capacity && (!grows || self.room.take(PROCESS_BYTES));
        if fits || self.entries.contains_key(&process.key.pid) {
            self.entries.insert(process.key.pid, Entry { process, cgroup_id, exited: false });
            self.most = self.most.max(self.entries.len());
        } else {
            self.overflow += 1;
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.ended.pop_front()
            && self.entries.get(&key.pid).is_some_and(|entry| entry.exited && same(entry.process.key, key))
        {
            self.entries.remove(&key.pid);
        }
    }
}
