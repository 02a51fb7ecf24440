//! The runs of containers: how they began, got ready and ended, kills for memory, crash loops.

mod words;

use foldhash::HashMap;
use observer_proto::v1::event::Detail;
use observer_proto::v1::{
    ContainerCrashLoop, ContainerReady, ContainerStart, ContainerStop, EndKind, Event, SignalOrigin,
    SignalSent, TimelineKind, Workload,
};

use super::about::About;
use super::edges::Edges;
use super::line::{At, ENDED, Group, Line};
use super::people::People;
use super::{names, signals};
use crate::trigger::asks_for_end;
use words::Oom;

/// Events of containers that are followed.
const MOST: usize = 4_096;
/// Kills for memory that are remembered of one run.
const MOST_OOMS: usize = 64;
/// So many ends of a container are told one by one at the beginning; what lies between them and the last one is one line.
const FIRST: usize = 4;

/// What was heard of containers.
#[derive(Debug, Default)]
pub(super) struct Containers {
    heard: Vec<Heard>,
    /// The kills for memory of each run.
    ooms: HashMap<String, Vec<Oom>>,
}

#[derive(Debug)]
struct Heard {
    at: At,
    workload: Workload,
    what: What,
}

#[derive(Debug)]
enum What {
    Start(ContainerStart),
    Ready(ContainerReady),
    Stop(Box<ContainerStop>),
    CrashLoop(ContainerCrashLoop),
}

/// The end of a run that nobody asked for.
pub(super) struct Death<'a> {
    pub(super) workload: &'a Workload,
    pub(super) at: At,
}

impl Containers {
    pub(super) fn hear(&mut self, event: &Event, at: At) {
        let Some(workload) = event.workload.as_ref().filter(|workload| !workload.sandbox) else { return };
        let what = match &event.detail {
            Some(Detail::ContainerStart(start)) => What::Start(start.clone()),
            Some(Detail::ContainerReady(ready)) => What::Ready(ready.clone()),
            Some(Detail::ContainerStop(stop)) => What::Stop(Box::new(stop.clone())),
            Some(Detail::ContainerCrashLoop(crash_loop)) => What::CrashLoop(crash_loop.clone()),
            Some(Detail::OomKill(kill)) if self.ooms.len() < MOST => {
                let ooms = self.ooms.entry(names::run(workload)).or_default();
                if ooms.len() == MOST_OOMS {
                    // The last ones say how it ended, the first ones how it began.
                    ooms.remove(MOST_OOMS / 2);
                }
                ooms.push(Oom::new(workload, kill, event.process.as_ref(), at));
                return;
            }
            Some(
                Detail::OomKill(_)
                | Detail::ProcessExec(_)
                | Detail::ProcessExit(_)
                | Detail::TcpConnect(_)
                | Detail::TcpAccept(_)
                | Detail::TcpConnectFailure(_)
                | Detail::TcpRetransmit(_)
                | Detail::TcpReset(_)
                | Detail::TcpClose(_)
                | Detail::TcpConnectPending(_)
                | Detail::TcpResponse(_)
                | Detail::PacketDrop(_)
                | Detail::Signal(_)
                | Detail::OpenFailure(_),
            )
            | None => return,
        };
        if self.heard.len() < MOST {
            self.heard.push(Heard { at, workload: workload.clone(), what });
        }
    }

    /// The ends that nobody asked for, of those whom the incident is about.
    pub(super) fn deaths<'a>(&'a self, about: &'a About) -> impl Iterator<Item = Death<'a>> {
        self.heard.iter().filter_map(|heard| match &heard.what {
            What::Stop(stop) if is_failure(stop) && about.has(Some(&heard.workload)) => {
                Some(Death { workload: &heard.workload, at: heard.at })
            }
            What::Stop(_) | What::Start(_) | What::Ready(_) | What::CrashLoop(_) => None,
        })
    }

    pub(super) fn lines(&self, about: &About, edges: &Edges, people: &People) -> Vec<Line> {
        let servers = edges.failing_servers();
        let mut of: Vec<(String, Vec<&Heard>)> = Vec::new();
        for heard in &self.heard {
            let pod = names::key(&heard.workload);
            if !about.has(Some(&heard.workload)) && !servers.contains(pod.as_str()) {
                continue;
            }
            let key = format!("{pod}/{}", heard.workload.container);
            match of.iter_mut().find(|(known, _)| *known == key) {
                Some((_, all)) => all.push(heard),
                None => of.push((key, vec![heard])),
            }
        }
        let mut lines: Vec<Line> =
            of.iter().flat_map(|(_, heard)| self.of_container(heard, about, people)).collect();
        let told = self.ooms.values().flatten().filter(|oom| about.has(Some(&oom.workload)));
        // What ended with its container is told with that.
        lines.extend(told.filter(|oom| self.end_of(oom).is_none()).map(Oom::line));
        lines
    }

    /// The lines of one container, its runs one after the other.
    fn of_container(&self, heard: &[&Heard], about: &About, people: &People) -> Vec<Line> {
        let mut lines = Vec::new();
        let failures: Vec<usize> = (0..heard.len())
            .filter(|at| matches!(&heard[*at].what, What::Stop(stop) if is_failure(stop)))
            .collect();
        // Of a long loop the middle is one line.
        let middle = match (failures.get(FIRST), failures.last()) {
            (Some(from), Some(last)) if from < last => *from..*last,
            (Some(_) | None, Some(_) | None) => 0..0,
        };
        let mut failed = false;
        for (at, one) in heard.iter().enumerate() {
            let in_middle = middle.contains(&at);
            match &one.what {
                What::Stop(stop) => {
                    failed = is_failure(stop);
                    if !in_middle {
                        lines.extend(self.stop(one, stop, about, people));
                    } else if at == middle.start {
                        let all = &failures[FIRST..failures.len() - 1];
                        lines.push(words::likewise(&one.workload, all.iter().map(|at| heard[*at].at)));
                    }
                }
                What::Start(start) if !in_middle => {
                    let ready = heard[at + 1..].iter().find(|later| {
                        !matches!(later.what, What::CrashLoop(_))
                            && later.workload.container_id == one.workload.container_id
                    });
                    let ready = ready.and_then(|later| match &later.what {
                        What::Ready(ready) => Some((ready, later.at)),
                        What::Start(_) | What::Stop(_) | What::CrashLoop(_) => None,
                    });
                    lines.push(words::start(&one.workload, start, one.at, failed, ready));
                }
                What::CrashLoop(crash_loop) => {
                    lines.push(words::crash_loop(&one.workload, crash_loop, one.at));
                }
                // It is told with the start; without one the daemon was not there for that.
                What::Start(_) | What::Ready(_) => {}
            }
        }
        lines
    }

    fn stop(&self, heard: &Heard, stop: &ContainerStop, about: &About, people: &People) -> Vec<Line> {
        let Heard { at, workload, .. } = heard;
        let own = about.has(Some(workload));
        let kind = match (is_failure(stop), own) {
            (true, true) => TimelineKind::Failure,
            (true, false) => TimelineKind::Symptom,
            (false, _) => TimelineKind::Context,
        };
        let mut events = Group::of(*at);
        let oom = self.ooms.get(&names::run(workload)).and_then(|ooms| ooms.last());
        let oom = oom.filter(|_| stop.oom_killed);
        if let Some(oom) = oom {
            events.add(oom.at);
        }
        let mut lines = signals::lines(workload, stop, at.moment, &events, people);
        let (text, evidence) = words::stop(workload, stop, oom);
        let line = Line::new(at.moment, kind, text).of(Some(workload)).made_of(&events).with(evidence);
        // Another's end may be why this one failed, whether somebody asked for it or not.
        lines.push(if own { line } else { line.may_be(ENDED) });
        lines
    }

    /// The end that a kill for memory was.
    fn end_of(&self, oom: &Oom) -> Option<&Heard> {
        let is_last = self
            .ooms
            .get(&names::run(&oom.workload))
            .and_then(|ooms| ooms.last())
            .is_some_and(|last| last.at.sequence == oom.at.sequence);
        self.heard.iter().find(|heard| {
            let ends = matches!(&heard.what, What::Stop(stop) if stop.oom_killed);
            is_last && ends && names::run(&heard.workload) == names::run(&oom.workload)
        })
    }
}

/// It went wrong, and nobody had asked for it.
fn is_failure(stop: &ContainerStop) -> bool {
    let asked = |sent: &SignalSent| {
        let comm = sent.sender.as_ref().map_or("", |sender| sender.comm.as_str());
        sent.origin() == SignalOrigin::Outside && asks_for_end(comm, sent.before_end_ns)
    };
    let was_asked = [&stop.asked_by, &stop.killed_by].into_iter().flatten().any(asked);
    let kind = stop.kind();
    !matches!(kind, EndKind::Completed | EndKind::Vanished | EndKind::Unspecified)
        && (kind == EndKind::OomKilled || !was_asked)
}
