//! Who came into a container from outside, and what was executed there.

use foldhash::{HashMap, HashSet};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, ExecOrigin, ProcessExec, TimelineKind, Workload};

use super::about::About;
use super::line::{At, Group, Line, count};
use super::names;
use crate::units::duration;

/// Different commands that are followed.
const MOST_COMMANDS: usize = 256;
/// The longest command that is told.
const LONGEST_COMMAND: usize = 160;
/// What comes in so often is no person.
const ROUTINE: u64 = 4;
/// Processes that came in from outside.
const MOST_PROCESSES: usize = 4_096;

/// Those who came in.
#[derive(Debug, Default)]
pub(super) struct People {
    /// Their processes, and those that these started: container and pid.
    processes: HashSet<(String, u32)>,
    commands: HashMap<(String, String), Command>,
}

#[derive(Debug)]
struct Command {
    workload: Workload,
    words: String,
    how: How,
    events: Group,
}

#[derive(Debug)]
enum How {
    /// It came in.
    CameIn(String),
    /// Somebody who had come in executed it.
    From,
    /// On the node, in namespaces of the container.
    Namespaces(String),
}

impl People {
    pub(super) fn hear(&mut self, event: &Event, at: At, about: &About) {
        let Some(Detail::ProcessExec(exec)) = &event.detail else { return };
        let (Some(owner), Some(process)) = (&event.workload, &event.process) else { return };
        let words = command(exec, &process.binary);
        match exec.origin() {
            ExecOrigin::Entered if about.has(Some(owner)) => {
                self.know(owner, process.pid);
                let how = How::CameIn(by_whom(exec, event));
                self.add(owner, words, how, at);
            }
            ExecOrigin::Unspecified if about.has(Some(owner)) => {
                let above = exec.ancestors.iter();
                if above.into_iter().any(|ancestor| self.came_in(owner, ancestor.pid)) {
                    self.know(owner, process.pid);
                    self.add(owner, words, How::From, at);
                }
            }
            ExecOrigin::Namespaces if about.has(exec.entered.as_ref()) => {
                let Some(entered) = &exec.entered else { return };
                let how = How::Namespaces(exec.entered_namespaces.join(", "));
                let who = format!("{}: {words}", names::process(process));
                self.add(entered, who, how, at);
            }
            ExecOrigin::Entered
            | ExecOrigin::Unspecified
            | ExecOrigin::Namespaces
            | ExecOrigin::ContainerStart => {}
        }
    }

    /// That process came into the container from outside, or somebody did who started it.
    pub(super) fn came_in(&self, workload: &Workload, pid: u32) -> bool {
        !self.processes.is_empty() && self.processes.contains(&(workload.container_id.clone(), pid))
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        let line = |command: &Command| {
            let Command { workload, words, how, events } = command;
            let first = events.first?;
            let who = names::container(workload);
            let often = match events.count {
                1 => String::new(),
                n => format!(" ({} within {})", names::times(n), duration(events.lasted_ns())),
            };
            let text = match how {
                How::CameIn(by) => {
                    format!("somebody came into {who} from outside and executed {words}{by}{often}")
                }
                How::From => format!("whoever came into {who} executed {words} there{often}"),
                How::Namespaces(kinds) => {
                    format!("a process of the node entered the namespaces ({kinds}) of {who}: {words}{often}")
                }
            };
            let routine = events.count >= ROUTINE;
            let kind = if routine { TimelineKind::Context } else { TimelineKind::Action };
            let line = Line::new(first, kind, text).of(Some(workload)).made_of(events);
            Some(if events.count > 1 { line.with([count("executed", events.count)]) } else { line })
        };
        self.commands.values().filter_map(line).collect()
    }

    fn know(&mut self, workload: &Workload, pid: u32) {
        if self.processes.len() < MOST_PROCESSES {
            self.processes.insert((workload.container_id.clone(), pid));
        }
    }

    fn add(&mut self, workload: &Workload, words: String, how: How, at: At) {
        let key = (workload.container_id.clone(), words.clone());
        if let Some(known) = self.commands.get_mut(&key) {
            known.events.add(at);
        } else if self.commands.len() < MOST_COMMANDS {
            let (workload, events) = (workload.clone(), Group::of(at));
            self.commands.insert(key, Command { workload, words, how, events });
        }
    }
}

fn by_whom(exec: &ProcessExec, event: &Event) -> String {
    let mut words = Vec::new();
    words.extend(event.process.as_ref().map(|process| format!("pid {}", process.pid)));
    words.extend(exec.ancestors.first().map(|parent| format!("by {}", parent.comm)));
    words.extend(event.process.as_ref().and_then(|process| process.uid).map(|uid| format!("uid {uid}")));
    words.extend(exec.terminal.then(|| "on a terminal".to_owned()));
    format!(" ({})", words.join(", "))
}

/// A command as it would be typed, bounded.
fn command(exec: &ProcessExec, binary: &str) -> String {
    let own = exec.arguments.first().map_or("", String::as_str);
    let mut words = if binary.is_empty() { own.to_owned() } else { binary.to_owned() };
    for argument in exec.arguments.iter().skip(1) {
        words.push(' ');
        let plain = !argument.is_empty() && !argument.contains([' ', '\'', '"', '$', '`', ';', '&', '|']);
        let quote = if plain { "" } else { "'" };
        words.extend([quote, argument, quote]);
    }
    if words.len() > LONGEST_COMMAND {
        let end = (0..=LONGEST_COMMAND).rev().find(|at| words.is_char_boundary(*at)).unwrap_or(0);
        words.truncate(end);
        words.push('…');
    }
    format!("`{words}`")
}
