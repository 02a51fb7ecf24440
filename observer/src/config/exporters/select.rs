//! What an exporter takes of what happens: filters in the command line's words.

use observer_proto::v1::{Filter, PortRange};
use serde::Deserialize;

use super::values::{Many, Word};
use crate::config::parse_duration;
use crate::event::EventType;
use crate::filter::{Filters, InvalidFilter};

/// What passes of each kind of thing; the filters of each ask no more than it has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selection {
    /// What passes; empty: everything.
    pub(crate) allow: Vec<Filter>,
    /// What never passes.
    pub(crate) deny: Vec<Filter>,
}

impl Selection {
    /// Of events.
    pub(crate) fn events(&self) -> Result<Filters, InvalidFilter> {
        Filters::of_told(&self.allow, &self.deny)
    }

    /// Of summaries, which have no types and no failures of their own. What is left out because of its type alone cannot be left out
    /// there.
    pub(crate) fn summaries(&self) -> Result<Filters, InvalidFilter> {
        let Self { allow, deny } =
            self.only(|filter| Filter { types: Vec::new(), failure_only: false, ..filter.clone() });
        Filters::of_summaries(&allow, &deny)
    }

    /// Of incidents, by the workloads that they are about.
    pub(crate) fn incidents(&self) -> Result<Filters, InvalidFilter> {
        let Self { allow, deny } = self.only(|filter| {
            let Filter { namespaces, pods, containers, workloads, labels, .. } = filter.clone();
            Filter { namespaces, pods, containers, workloads, labels, ..Filter::default() }
        });
        Filters::of_told(&allow, &deny)
    }

    /// The same with what `keep` keeps of each filter. What is left out for other reasons as well stays.
    fn only(&self, keep: impl Fn(&Filter) -> Filter) -> Self {
        let kept: Vec<Filter> = self.allow.iter().map(&keep).collect();
        // One that would let all pass is none.
        let open = kept.contains(&Filter::default());
        Self {
            allow: if open { Vec::new() } else { kept },
            deny: self.deny.iter().filter(|filter| keep(filter) == **filter).cloned().collect(),
        }
    }
}

/// A filter as it is written: every word that is there must match, one of its values does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Words {
    namespace: Many<String>,
    pod: Many<String>,
    from_pod: Many<String>,
    to_pod: Many<String>,
    container: Many<String>,
    workload: Many<String>,
    service: Many<String>,
    ip: Many<String>,
    port: Many<Word>,
    label: Many<String>,
    min_latency: Option<String>,
    failure_only: bool,
    r#type: Many<String>,
}

/// A filter that the daemon takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Words")]
pub(super) struct Checked(Filter);

/// Several of them, or one.
pub(super) type List = Many<Checked>;

/// What lists of them select.
pub(super) fn selection(allow: &List, deny: &List) -> Selection {
    let [allow, deny] = [allow, deny].map(|Many(list)| list.iter().map(|one| one.0.clone()).collect());
    Selection { allow, deny }
}

/// What is wrong with filters together.
pub(super) fn check(selection: &Selection) -> Result<(), String> {
    let compiled = selection.events().and(selection.summaries()).and(selection.incidents());
    compiled.map(drop).map_err(|error| error.to_string())
}

impl TryFrom<Words> for Checked {
    type Error = String;

    fn try_from(words: Words) -> Result<Self, String> {
        let Words {
            namespace: Many(namespaces),
            pod: Many(pods),
            from_pod: Many(from_pods),
            to_pod: Many(to_pods),
            container: Many(containers),
            workload: Many(workloads),
            service: Many(services),
            ip: Many(addresses),
            port: Many(ports),
            label: Many(labels),
            min_latency,
            failure_only,
            r#type: Many(types),
        } = words;
        let filter = Filter {
            namespaces,
            pods,
            from_pods,
            to_pods,
            containers,
            workloads,
            services,
            addresses,
            port_ranges: ports.iter().map(ports_of).collect::<Result<_, _>>()?,
            labels,
            min_latency: min_latency.as_deref().map(latency).transpose()?,
            failure_only,
            types: types.iter().map(type_of).collect::<Result<_, _>>()?,
            ..Filter::default()
        };
        Filters::of_told(std::slice::from_ref(&filter), &[])
            .map_err(|error| error.to_string().replacen("allow[0]", "filter", 1))?;
        Ok(Self(filter))
    }
}

fn ports_of(Word(text): &Word) -> Result<PortRange, String> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).map(u32::from);
    let range = match text.split_once('-') {
        Some((first, last)) => port(first).zip(port(last)),
        None => port(text).map(|port| (port, port)),
    };
    range.filter(|(first, last)| first <= last).map(|(first, last)| PortRange { first, last }).ok_or_else(
        || format!("port: `{text}` is not allowed; allowed are 1 to 65535, and ranges such as `8000-8999`"),
    )
}

fn latency(text: &str) -> Result<prost_types::Duration, String> {
    let least = parse_duration(text).filter(|least| !least.is_zero());
    least
        .and_then(|least| least.try_into().ok())
        .ok_or_else(|| format!("min_latency: `{text}` is not allowed; allowed are durations such as `5ms`"))
}

fn type_of(name: &String) -> Result<i32, String> {
    let known = EventType::ALL.into_iter().find(|of| of.name() == name);
    known.map(|of| of as i32).ok_or_else(|| {
        let names = EventType::ALL.map(EventType::name).join(", ");
        format!("type: `{name}` is not allowed; allowed are {names}")
    })
}
