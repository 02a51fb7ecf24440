//! From a request's filters to compiled ones, with errors that say what is allowed.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use observer_proto::{served as v1, v1 as told};

use super::impossible;
use super::pattern::{ContainerPattern, LabelPattern, PodPattern, ServicePattern};
use super::scope::Scope;
use super::{Filter, Filters, bit, served};
use crate::event::EventType;

/// At most so many filters in one request.
const MOST_FILTERS: usize = 100;
/// At most so many values in all filters of one request.
const MOST_VALUES: usize = 1_000;
/// At most so many bytes in one value; the longest name of Kubernetes has 253.
const LONGEST_VALUE: usize = 512;

/// At most so many bytes in all values of one request: a subscription keeps them for as long as it lasts.
const MOST_TEXT: usize = 32 * 1024;

/// What the filters are for, which decides on the fields that have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Events,
    Summaries,
    Connections,
    Workloads,
}

/// A filter that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {value} is not allowed: {allowed}")]
pub(crate) struct InvalidFilter {
    /// Where, such as `allow[0].ports`.
    pub(crate) field: String,
    /// The value, quoted where it is text.
    pub(crate) value: String,
    /// What would be allowed.
    pub(crate) allowed: String,
}

impl Filters {
    /// Checks what a client asks of nodes, whichever they are.
    pub(crate) fn check(
        allow: &[told::Filter],
        deny: &[told::Filter],
        purpose: Purpose,
    ) -> Result<(), InvalidFilter> {
        Self::compile(served(allow), served(deny), purpose, "").map(drop)
    }

    /// Checks and compiles a request's filters.
    pub(crate) fn compile(
        allow: Vec<v1::Filter>,
        deny: Vec<v1::Filter>,
        purpose: Purpose,
        node_name: &str,
    ) -> Result<Self, InvalidFilter> {
        let filters = allow.len() + deny.len();
        if filters > MOST_FILTERS {
            let allowed = format!("at most {MOST_FILTERS} in one request");
            return Err(invalid("allow, deny", format!("{filters} filters"), allowed));
        }
        let values: usize = allow.iter().chain(&deny).map(count).sum();
        if values > MOST_VALUES {
            let allowed = format!("at most {MOST_VALUES} in one request");
            return Err(invalid("allow, deny", format!("{values} values"), allowed));
        }
        let text: usize = allow.iter().chain(&deny).map(prost::Message::encoded_len).sum();
        if text > MOST_TEXT {
            let allowed = format!("at most {MOST_TEXT} in one request");
            return Err(invalid("allow, deny", format!("{text} bytes"), allowed));
        }
        let refused = impossible::find(&allow, &deny);
        let compile = |list: &str, filters: Vec<v1::Filter>| {
            let each = filters.into_iter().enumerate();
            each.map(|(at, filter)| Filter::compile(&format!("{list}[{at}]"), filter, purpose, node_name))
                .collect::<Result<Vec<_>, _>>()
        };
        let [allow, deny] = [compile("allow", allow)?, compile("deny", deny)?];
        let compiled = Self { allow, deny, scope: Scope::All, owners: false };
        refused.map_or(Ok(compiled), Err)
    }
}

impl Filter {
    fn compile(
        at: &str,
        filter: v1::Filter,
        purpose: Purpose,
        node_name: &str,
    ) -> Result<Self, InvalidFilter> {
        if filter == v1::Filter::default() {
            return Err(invalid(at, "an empty filter", "set at least one field, or leave the filter out"));
        }
        check_purpose(at, &filter, purpose)?;
        let v1::Filter {
            namespaces,
            pods,
            from_pods,
            to_pods,
            containers,
            workloads,
            types,
            ports,
            addresses,
            failure_only,
            node_names,
            services,
            labels,
            port_ranges,
            min_latency,
        } = filter;
        let field = |name: &str| format!("{at}.{name}");
        let node_names = texts(&field("node_names"), node_names)?;
        Ok(Self {
            elsewhere: !node_names.is_empty() && !node_names.iter().any(|name| name == node_name),
            node_names,
            types: types.into_iter().try_fold(0, |bits, number| {
                let event_type = parse_type(&field("types"), number)?;
                Ok(bits | bit(event_type))
            })?,
            failure_only,
            namespaces: texts(&field("namespaces"), namespaces)?,
            pods: parse_pods(&field("pods"), pods)?,
            from_pods: parse_pods(&field("from_pods"), from_pods)?,
            to_pods: parse_pods(&field("to_pods"), to_pods)?,
            containers: parse(&field("containers"), containers, NAME, ContainerPattern::parse)?,
            workloads: texts(&field("workloads"), workloads)?,
            ports: parse_ports(at, &ports, &port_ranges)?,
            addresses: parse(&field("addresses"), addresses, ADDRESS, parse_address)?,
            services: parse(&field("services"), services, SERVICE, ServicePattern::parse)?,
            labels: parse(&field("labels"), labels, LABELS, LabelPattern::parse)?,
            min_latency_ns: min_latency
                .map(|least| parse_latency(&field("min_latency"), &least))
                .transpose()?,
        })
    }
}

const NAME: &str = "a name of 1 to 512 bytes";
const POD: &str =
    "`namespace/prefix`, `namespace/`, `/name` or `prefix`, of letters, digits, `-`, `.` and `_`";
const SERVICE: &str = "`namespace/name` or `name`";
const LABELS: &str = "a selector such as `app=web`, `tier in (front, back)` or `!canary`";
const ADDRESS: &str = "an IPv4 or IPv6 address, or a prefix such as `10.0.0.0/8`";

/// Refuses fields that could never match.
fn check_purpose(at: &str, filter: &v1::Filter, purpose: Purpose) -> Result<(), InvalidFilter> {
    let of_events = [("types", !filter.types.is_empty())];
    let of_what_happens =
        [("failure_only", filter.failure_only), ("min_latency", filter.min_latency.is_some())];
    let of_connections = of_ends(filter).into_iter().chain(of_what_happens);
    let (what, meaningless): (_, Vec<_>) = match purpose {
        Purpose::Events => return Ok(()),
        Purpose::Summaries => ("summaries", of_events.into()),
        Purpose::Connections => ("connections", of_events.into()),
        Purpose::Workloads => ("workloads", of_events.into_iter().chain(of_connections).collect()),
    };
    match meaningless.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(invalid(
            format!("{at}.{name}"),
            "a value",
            format!("the field has no meaning for {what}; leave it out"),
        )),
        None => Ok(()),
    }
}

/// The fields that are about the ends of a connection, and whether they are set.
pub(super) const fn of_ends(filter: &v1::Filter) -> [(&'static str, bool); 6] {
    [
        ("from_pods", !filter.from_pods.is_empty()),
        ("to_pods", !filter.to_pods.is_empty()),
        ("ports", !filter.ports.is_empty()),
        ("port_ranges", !filter.port_ranges.is_empty()),
        ("addresses", !filter.addresses.is_empty()),
        ("services", !filter.services.is_empty()),
    ]
}

fn parse_type(field: &str, number: i32) -> Result<EventType, InvalidFilter> {
    let known = EventType::ALL.into_iter().find(|event_type| *event_type as i32 == number);
    known.ok_or_else(|| {
        let names = EventType::ALL.map(EventType::name).join(", ");
        invalid(field, number.to_string(), format!("one of {names}"))
    })
}

fn parse_ports(
    at: &str,
    ports: &[u32],
    ranges: &[v1::PortRange],
) -> Result<Vec<RangeInclusive<u16>>, InvalidFilter> {
    let single = ports.iter().map(|&port| parse_port(&format!("{at}.ports"), port).map(|port| port..=port));
    let ranges = ranges.iter().map(|&v1::PortRange { first, last }| {
        let field = format!("{at}.port_ranges");
        let range = parse_port(&field, first)?..=parse_port(&field, last)?;
        if range.is_empty() {
            return Err(invalid(
                field,
                format!("{first} to {last}"),
                "a range that does not end before it begins",
            ));
        }
        Ok(range)
    });
    single.chain(ranges).collect()
}

/// In nanoseconds.
fn parse_latency(field: &str, least: &prost_types::Duration) -> Result<u64, InvalidFilter> {
    let valid = std::time::Duration::try_from(*least).ok().filter(|least| !least.is_zero());
    valid.map(|least| u64::try_from(least.as_nanos()).unwrap_or(u64::MAX)).ok_or_else(|| {
        invalid(field, format!("{} s and {} ns", least.seconds, least.nanos), "a duration of more than 0")
    })
}

fn parse_port(field: &str, port: u32) -> Result<u16, InvalidFilter> {
    let valid = u16::try_from(port).ok().filter(|port| *port > 0);
    valid.ok_or_else(|| invalid(field, port.to_string(), "a port from 1 to 65535"))
}

fn parse_pods(field: &str, texts: Vec<String>) -> Result<Vec<PodPattern>, InvalidFilter> {
    parse(field, texts, POD, PodPattern::parse)
}

fn parse_address(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|_| text.parse::<IpNet>().map(|net| net.trunc())).ok()
}

fn texts(field: &str, texts: Vec<String>) -> Result<Vec<String>, InvalidFilter> {
    parse(field, texts, NAME, |text| (!text.is_empty()).then(|| text.to_owned()))
}

fn parse<T>(
    field: &str,
    texts: Vec<String>,
    allowed: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, InvalidFilter> {
    let parse = |text: String| {
        let value = if text.len() > LONGEST_VALUE { None } else { parse(&text) };
        value.ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            invalid(field, format!("{shown:?}"), allowed)
        })
    };
    texts.into_iter().map(parse).collect()
}

fn count(filter: &v1::Filter) -> usize {
    let texts = [
        &filter.namespaces,
        &filter.pods,
        &filter.from_pods,
        &filter.to_pods,
        &filter.containers,
        &filter.workloads,
        &filter.addresses,
        &filter.node_names,
        &filter.services,
        &filter.labels,
    ];
    let texts: usize = texts.into_iter().map(Vec::len).sum();
    texts + filter.types.len() + filter.ports.len() + filter.port_ranges.len()
}

pub(super) fn invalid(
    field: impl Into<String>,
    value: impl Into<String>,
    allowed: impl Into<String>,
) -> InvalidFilter {
    InvalidFilter { field: field.into(), value: value.into(), allowed: allowed.into() }
}
