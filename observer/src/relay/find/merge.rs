//! Puts together what all sources found.

use std::collections::BTreeMap;

use super::{Found, FoundNodes, MOST_NODES};
use crate::status::IdentitySource;

/// A source, and what it found last.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) endpoint: String,
    pub(super) found: BTreeMap<String, Found>,
    pub(super) state: State,
}

/// How a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not answered yet.
    Asked,
    /// What it found is as it says now.
    Answered,
    /// What it found is as it says now, but for this.
    Lacks(String),
    /// It does not answer, for this reason: what it found is what it said before.
    Fails(String),
}

/// All that was found. Of the same daemon the first source's word counts; the others may add the node's name. Where there
/// are more than are asked, those that were there before stay.
pub(super) fn merged(sources: &[Source], before: &BTreeMap<String, Found>) -> FoundNodes {
    let mut nodes: BTreeMap<&str, Found> = BTreeMap::new();
    for (key, found) in sources.iter().flat_map(|source| &source.found) {
        let known = nodes.entry(key).or_insert_with(|| found.clone());
        known.node_name = known.node_name.take().or_else(|| found.node_name.clone());
    }
    let nodes = bounded(nodes, before);
    let sources = sources.iter().map(|source| source.told(&nodes)).collect();
    FoundNodes { nodes, sources }
}

fn bounded(all: BTreeMap<&str, Found>, before: &BTreeMap<String, Found>) -> BTreeMap<String, Found> {
    let beyond = all.len().saturating_sub(MOST_NODES);
    let (stay, new): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(key, _)| beyond == 0 || before.contains_key(*key));
    let kept = stay.into_iter().chain(new).take(MOST_NODES);
    kept.map(|(key, found)| (key.to_owned(), found)).collect()
}

impl Source {
    fn told(&self, kept: &BTreeMap<String, Found>) -> IdentitySource {
        let count = self.found.len();
        let mut words = match &self.state {
            State::Asked => "has not answered yet".to_owned(),
            State::Answered => daemons(count),
            State::Lacks(what) => format!("{}; {what}", daemons(count)),
            State::Fails(reason) if count == 0 => reason.clone(),
            State::Fails(reason) => format!("{reason}; from before: {}", daemons(count)),
        };
        let beyond = self.found.keys().filter(|key| !kept.contains_key(*key)).count();
        if beyond > 0 {
            words =
                format!("{words}; {beyond} of them are left out, since no more than {MOST_NODES} are asked");
        }
        let healthy = self.state == State::Answered && beyond == 0;
        IdentitySource { name: self.name, endpoint: self.endpoint.clone(), healthy, message: words }
    }
}

fn daemons(count: usize) -> String {
    match count {
        0 => "no daemon".to_owned(),
        1 => "1 daemon".to_owned(),
        _ => format!("{count} daemons"),
    }
}
