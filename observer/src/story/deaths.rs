//! What a container was connected with when it ended: its last connections, and who lost one.

use std::collections::{BTreeMap, VecDeque};

use foldhash::HashMap;
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, Tcp, TimelineKind, Workload};

use super::about::About;
use super::containers::Containers;
use super::line::{At, Group, Line, Moment, count};
use super::names;
use crate::units::plural;

/// Runs that are followed.
const MOST_RUNS: usize = 256;
/// Connections of one whose ends are remembered.
const MOST_CLOSES: usize = 512;
/// Whom one asked, and who asked it, that are remembered.
const MOST_PEERS: usize = 512;
/// Others whose resets are remembered.
const MOST_RESETS: usize = 1_024;
/// A connection that ended so shortly before or after its process ended with it.
const WITH_NS: i64 = 500_000_000;
/// Others are told of it so soon.
const AFTER_NS: i64 = 5_000_000_000;
/// So many ends have their connections told.
const MOST_DEATHS: usize = 4;
/// So many others are named in a line.
const NAMED: usize = 4;

/// The connections of each run of a container.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    runs: HashMap<String, Run>,
    /// Who was sent a reset by which pod.
    resets: VecDeque<(Moment, String, String)>,
}

#[derive(Debug, Default)]
struct Run {
    /// What it asked for, by whom it asked.
    asked: BTreeMap<String, Attempts>,
    /// Who asked for it, and how often.
    asked_by: BTreeMap<String, u64>,
    closes: VecDeque<(At, Ended)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    made: u64,
    failed: u64,
    unanswered: u64,
}

#[derive(Debug)]
struct Ended {
    /// Who was at the other end.
    far: String,
    outgoing: bool,
}

impl Deaths {
    pub(super) fn hear(&mut self, event: &Event, tcp: &Tcp, at: At, about: &About) {
        let owner = event.workload.as_ref();
        if let (Some(Detail::TcpReset(_)), Some(far)) = (&event.detail, names::far(tcp))
            && about.has(Some(far))
        {
            if self.resets.len() == MOST_RESETS {
                self.resets.pop_front();
            }
            let who = owner.map_or_else(|| names::client(tcp, None), names::whole);
            self.resets.push_back((at.moment, who, names::key(far)));
        }
        let Some(workload) =
            owner.filter(|workload| about.has(Some(workload)) && !workload.container_id.is_empty())
        else {
            return;
        };
        if self.runs.len() >= MOST_RUNS && !self.runs.contains_key(&workload.container_id) {
            return;
        }
        self.runs.entry(workload.container_id.clone()).or_default().hear(event, tcp, at);
    }

    /// So many were asked by one run at most.
    #[cfg(test)]
    pub(super) fn most_asked(&self) -> usize {
        self.runs.values().map(|run| run.asked.len()).max().unwrap_or(0)
    }

    /// What each end that nobody asked for left behind.
    pub(super) fn lines(&self, containers: &Containers, about: &About) -> Vec<Line> {
        let deaths = containers.deaths(about).take(MOST_DEATHS);
        deaths
            .flat_map(|death| {
                let run = self.runs.get(&death.workload.container_id);
                let before = run.and_then(|run| run.before(death.workload, death.at));
                let lost = run.and_then(|run| self.lost(run, death.workload, death.at));
                [before, lost]
            })
            .flatten()
            .collect()
    }

    /// Who lost a connection with it.
    fn lost(&self, run: &Run, workload: &Workload, at: At) -> Option<Line> {
        let mut events = Group::default();
        let mut far: BTreeMap<String, u64> = BTreeMap::new();
        let with = |moment: &Moment| (moment.order - at.moment.order).abs() <= WITH_NS;
        for (closed, ended) in run.closes.iter().filter(|(closed, _)| with(&closed.moment)) {
            events.add(*closed);
            let name = if ended.outgoing { format!("the one to {}", ended.far) } else { ended.far.clone() };
            *far.entry(name).or_default() += 1;
        }
        if events.is_empty() {
            return None;
        }
        let pod = names::key(workload);
        let soon = |moment: &Moment| (-WITH_NS..=AFTER_NS).contains(&(moment.order - at.moment.order));
        let reset = |name: &str| {
            let of = self.resets.iter().filter(|(moment, who, by)| soon(moment) && who == name && *by == pod);
            of.count()
        };
        let told = far.iter().map(|(name, n)| match reset(name) {
            0 => format!("{name} lost {n}"),
            resets => format!("{name} lost {n} ({resets} by a reset)"),
        });
        let told: Vec<String> =
            told.map(|words| words.strip_prefix("the one to ").map_or(words.clone(), outgoing)).collect();
        let n = plural(events.count, "connection");
        let text = format!("{n} ended with {}: {}", names::container(workload), names::list(&told, NAMED));
        let line = Line::new(at.moment, TimelineKind::Consequence, text).of(Some(workload));
        Some(line.made_of(&events).with([count("connections", events.count)]).weighs(events.count))
    }
}

/// `2 to shop/db:5432`, of `shop/db:5432 lost 2`.
fn outgoing(words: &str) -> String {
    let (server, rest) = words.split_once(" lost ").unwrap_or((words, "1"));
    let count = rest.split(' ').next().unwrap_or("1");
    format!("{count} to {server}")
}

impl Run {
    fn hear(&mut self, event: &Event, tcp: &Tcp, at: At) {
        let owner = event.workload.as_ref();
        match &event.detail {
            Some(Detail::TcpConnect(_)) => self.asked(tcp, owner, |of| of.made += 1),
            Some(Detail::TcpConnectPending(_)) => self.asked(tcp, owner, |of| of.unanswered += 1),
            // What was given up after it had waited is counted as that.
            Some(Detail::TcpConnectFailure(failure)) => match failure.error.as_str() {
                "cancelled" | "not_sent" | "timed_out" => {}
                _ => self.asked(tcp, owner, |of| of.failed += 1),
            },
            Some(Detail::TcpAccept(_)) => {
                let client = names::client(tcp, owner);
                if self.asked_by.len() < MOST_PEERS || self.asked_by.contains_key(&client) {
                    *self.asked_by.entry(client).or_default() += 1;
                }
            }
            Some(Detail::TcpClose(_)) => {
                if self.closes.len() == MOST_CLOSES {
                    self.closes.pop_front();
                }
                let outgoing = tcp.outgoing;
                let far = if outgoing { names::server(tcp, owner) } else { names::client(tcp, owner) };
                self.closes.push_back((at, Ended { far, outgoing }));
            }
            Some(
                Detail::TcpRetransmit(_)
                | Detail::TcpReset(_)
                | Detail::ProcessExec(_)
                | Detail::ProcessExit(_)
                | Detail::OomKill(_)
                | Detail::ContainerStart(_)
                | Detail::ContainerStop(_)
                | Detail::ContainerReady(_)
                | Detail::ContainerCrashLoop(_)
                | Detail::TcpResponse(_)
                | Detail::PacketDrop(_)
                | Detail::Signal(_)
                | Detail::OpenFailure(_),
            )
            | None => {}
        }
    }

    fn asked(&mut self, tcp: &Tcp, owner: Option<&Workload>, count: impl FnOnce(&mut Attempts)) {
        let server = names::server(tcp, owner);
        if self.asked.len() < MOST_PEERS || self.asked.contains_key(&server) {
            count(self.asked.entry(server).or_default());
        }
    }

    /// Its connections before the end, those that failed first.
    fn before(&self, workload: &Workload, at: At) -> Option<Line> {
        let mut servers: Vec<(&String, &Attempts)> = self.asked.iter().collect();
        servers.sort_by_key(|(_, of)| std::cmp::Reverse((of.failed + of.unanswered, of.made)));
        let mut words: Vec<String> = servers.iter().map(|(server, of)| attempts(server, of)).collect();
        words.extend(self.asked_by.iter().map(|(client, n)| format!("{n} from {client}")));
        if words.is_empty() {
            return None;
        }
        let text = format!(
            "the connections of {} in that run: {}",
            names::container(workload),
            names::list(&words, NAMED)
        );
        Some(Line::new(at.moment, TimelineKind::Context, text).of(Some(workload)))
    }
}

fn attempts(server: &str, of: &Attempts) -> String {
    let Attempts { made, failed, unanswered } = of;
    let bad = match (failed, unanswered) {
        (0, 0) => return format!("{made} to {server}"),
        (0, unanswered) => format!("{unanswered} more got no answer"),
        (failed, 0) => format!("{failed} more failed"),
        (failed, unanswered) => format!("{failed} more failed and {unanswered} got no answer"),
    };
    match made {
        0 => format!("none to {server}, where {}", bad.replace(" more", "")),
        made => format!("{made} to {server}, where {bad}"),
    }
}
