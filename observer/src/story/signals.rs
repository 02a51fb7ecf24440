//! Who sent a container's first process which signal.

use observer_proto::v1::{ContainerStop, SignalOrigin, SignalSent, TimelineKind, Workload};

use super::line::{Group, HAND, Line, Moment};
use super::names;
use super::people::People;
use crate::trigger::ends_on_request;

/// The signals behind an end, each at its own time.
pub(super) fn lines(
    workload: &Workload,
    stop: &ContainerStop,
    ended: Moment,
    events: &Group,
    people: &People,
) -> Vec<Line> {
    let mut lines = Vec::new();
    let who = names::container(workload);
    if let Some(asked) = &stop.asked_by {
        let signal = &asked.signal_name;
        let ignored = if asked.ignored { ", which it ignores" } else { "" };
        let text = format!("{} asked {who} to end: {signal}{ignored}", sender(workload, asked, people));
        let cause = if is_own_will(asked) { HAND } else { 0 };
        lines.push(line(workload, asked, ended, text, events).may_be(cause));
    }
    let same = stop.asked_by.as_ref().zip(stop.killed_by.as_ref()).is_some_and(|(asked, killed)| {
        asked.signal == killed.signal && asked.before_end_ns == killed.before_end_ns
    });
    if let Some(killed) = stop.killed_by.as_ref().filter(|_| !same) {
        let text = format!(
            "{} sent {} to the first process of {who}",
            sender(workload, killed, people),
            killed.signal_name
        );
        let cause = if is_own_will(killed) { HAND } else { 0 };
        lines.push(line(workload, killed, ended, text, events).may_be(cause));
    }
    lines
}

/// Somebody did so by himself, and no runtime because it was told to.
fn is_own_will(sent: &SignalSent) -> bool {
    let comm = sent.sender.as_ref().map_or("", |sender| sender.comm.as_str());
    sent.origin() != SignalOrigin::Outside || !ends_on_request(comm)
}

fn line(workload: &Workload, sent: &SignalSent, ended: Moment, text: String, events: &Group) -> Line {
    let line = Line::new(ended.before(sent.before_end_ns), TimelineKind::Action, text);
    line.of(Some(workload)).made_of(events)
}

fn sender(workload: &Workload, sent: &SignalSent, people: &People) -> String {
    let Some(process) = &sent.sender else { return "somebody".to_owned() };
    let name = names::process(process);
    let whence = match sent.origin() {
        _ if people.came_in(workload, process.pid) => ", which had come into the container from outside,",
        SignalOrigin::Container => ", of the container itself,",
        SignalOrigin::Pod => ", of another container of the pod,",
        SignalOrigin::Outside if ends_on_request(&process.comm) => "",
        SignalOrigin::Outside => ", from outside the container,",
        SignalOrigin::Unspecified => "",
    };
    format!("{name}{whence}")
}
