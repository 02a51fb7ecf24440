//! The flags that select: each a field of a filter, of the deny filter where it stands after `--not`.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches};
use observer_proto::v1::{self as proto, Filter, PortRange};

use crate::event::EventType;

/// What was selected. With `EVENTS` the flags that only events have are there too.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Selection<const EVENTS: bool> {
    /// What passes; empty: everything.
    pub(super) allow: Vec<Filter>,
    /// What never passes.
    pub(super) deny: Vec<Filter>,
    /// Show the request instead of sending it.
    pub(super) print_filters: bool,
}

#[allow(clippy::struct_excessive_bools, reason = "they are flags of the command line")]
// The two structs below give clap the flags and their help; `Selection` reads them itself, because it
// needs to know which stand after `--not`.
/// Flags of every selection.
#[derive(clap::Args)]
#[command(next_help_heading = "Selection")]
struct Flags {
    /// Pods of this namespace, on either side
    #[arg(short, long, value_name = "NAMESPACE", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    namespace: Vec<String>,
    /// All namespaces and the host: the default
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Pods on either side: namespace/prefix, namespace/, /name or prefix
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = pod_pattern)]
    pod: Vec<String>,
    /// Pods that a connection comes from; same patterns
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = pod_pattern)]
    from_pod: Vec<String>,
    /// Pods that a connection goes to; same patterns
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = pod_pattern)]
    to_pod: Vec<String>,
    /// Containers, by name or by 8 or more characters of the id
    #[arg(long, value_name = "NAME|ID", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    container: Vec<String>,
    /// Workloads: a pod, what made it (web or deployment/web), a systemd unit, or host
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    workload: Vec<String>,
    /// Services that a connection goes to: namespace/name, or name in any namespace
    #[arg(long, value_name = "SERVICE", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    service: Vec<String>,
    /// Addresses on either side: one, or a prefix such as 10.0.0.0/8
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address)]
    ip: Vec<String>,
    /// Ports on either side: one, or a range such as 8000-8999
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = ports)]
    port: Vec<PortRange>,
    /// Pods on either side with these labels, as kubectl's -l takes them: app=web,tier!=test; may be repeated
    #[arg(short, long, value_name = "SELECTOR", value_parser = NonEmptyStringValueParser::new())]
    label: Vec<String>,
    /// Nodes, by name: through a relay only these are asked
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    node_name: Vec<String>,
    /// Only what took at least so long: handshakes, attempts to connect, round-trip times
    #[arg(long, value_name = "DURATION", value_parser = super::options::positive)]
    min_latency: Option<Duration>,
    /// Only what failed, was sent again, or stands still: connects, resets, retransmits, queues, OOM
    /// kills, exits other than 0
    #[arg(long)]
    failure_only: bool,
    /// Leave out what the flags after this one select
    #[arg(long)]
    not: bool,
    /// Print the request with its filters as JSON, and end
    #[arg(long)]
    print_filters: bool,
}

/// Flags of a selection of events.
#[derive(clap::Args)]
#[command(next_help_heading = "Selection")]
struct EventFlags {
    /// Types of events
    #[arg(short = 't', long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = event_type())]
    kind: Vec<proto::EventType>,
}

impl<const EVENTS: bool> clap::Args for Selection<EVENTS> {
    fn augment_args(command: Command) -> Command {
        let command = if EVENTS { EventFlags::augment_args(command) } else { command };
        Flags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const EVENTS: bool> FromArgMatches for Selection<EVENTS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let refused = |message: &str| clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n"));
        let not = flag_at(matches, "not");
        let allow = filter::<EVENTS>(matches, &|at| not.is_none_or(|not| at < not));
        let deny = filter::<EVENTS>(matches, &|at| not.is_some_and(|not| at > not));
        if not.is_some() && deny == Filter::default() {
            return Err(refused(
                "--not: no filter follows it\nIt leaves out what the flags after it select, such as `--not --port 53`.",
            ));
        }
        if flag_at(matches, "all_namespaces").is_some() && !allow.namespaces.is_empty() {
            return Err(refused("--all-namespaces and --namespace exclude each other"));
        }
        let some = |filter: Filter| (filter != Filter::default()).then_some(filter).into_iter().collect();
        let print_filters = matches.get_flag("print_filters");
        Ok(Self { allow: some(allow), deny: some(deny), print_filters })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Selection<true> {
    /// The same for summaries, which have no types and no failures of their own. What is left out
    /// because of its type alone cannot be left out there.
    pub(super) fn for_summaries(&self) -> Selection<false> {
        let plain = |filter: &Filter| Filter { types: Vec::new(), failure_only: false, ..filter.clone() };
        let set = |filter: &Filter| *filter != Filter::default();
        Selection {
            allow: self.allow.iter().map(plain).filter(set).collect(),
            deny: self.deny.iter().filter(|filter| plain(filter) == **filter).cloned().collect(),
            print_filters: self.print_filters,
        }
    }
}

/// The filter of the flags at those places of the command line that `here` names.
fn filter<const EVENTS: bool>(matches: &ArgMatches, here: &dyn Fn(usize) -> bool) -> Filter {
    let texts = |id| values::<String>(matches, id, here);
    let namespaces = texts("namespace");
    let pods = |id| qualified(texts(id), &namespaces);
    let ports = values::<PortRange>(matches, "port", here);
    let (single, ranges): (Vec<_>, Vec<_>) = ports.into_iter().partition(|range| range.first == range.last);
    let latency = values::<Duration>(matches, "min_latency", here).first().copied();
    let mut filter = Filter {
        pods: pods("pod"),
        from_pods: pods("from_pod"),
        to_pods: pods("to_pod"),
        containers: texts("container"),
        workloads: texts("workload"),
        ports: single.iter().map(|range| range.first).collect(),
        port_ranges: ranges,
        labels: texts("label"),
        node_names: texts("node_name"),
        min_latency: latency.and_then(|least| least.try_into().ok()),
        addresses: texts("ip"),
        services: texts("service"),
        failure_only: flag_at(matches, "failure_only").is_some_and(here),
        namespaces,
        ..Filter::default()
    };
    if EVENTS {
        filter.types = values::<proto::EventType>(matches, "kind", here).into_iter().map(i32::from).collect();
    }
    filter
}

/// The values of a flag that stand where `here` says.
fn values<T: Clone + Send + Sync + 'static>(
    matches: &ArgMatches,
    id: &str,
    here: &dyn Fn(usize) -> bool,
) -> Vec<T> {
    let values = matches.get_many::<T>(id).into_iter().flatten();
    let places = matches.indices_of(id).into_iter().flatten();
    places.zip(values).filter(|(at, _)| here(*at)).map(|(_, value)| value.clone()).collect()
}

/// Where a flag without a value stands, if it was given.
fn flag_at(matches: &ArgMatches, id: &str) -> Option<usize> {
    matches.index_of(id).filter(|_| matches.value_source(id) == Some(ValueSource::CommandLine))
}

/// With `-n shop`, `--pod cart` means `shop/cart`, as it does for kubectl.
fn qualified(patterns: Vec<String>, namespaces: &[String]) -> Vec<String> {
    let one = |pattern: String| {
        if pattern.contains('/') || namespaces.is_empty() {
            return vec![pattern];
        }
        namespaces.iter().map(|namespace| format!("{namespace}/{pattern}")).collect()
    };
    patterns.into_iter().flat_map(one).collect()
}

impl Selection<false> {
    /// The same for these pods only, whose patterns are those of `--pod`.
    pub(super) fn of_pods(mut self, pods: &[String]) -> Self {
        if !pods.is_empty() {
            if self.allow.is_empty() {
                self.allow.push(Filter::default());
            }
            for filter in &mut self.allow {
                let qualified = qualified(pods.to_vec(), &filter.namespaces);
                filter.pods.extend(qualified);
            }
        }
        self
    }
}

pub(super) fn pod_pattern(text: &str) -> Result<String, &'static str> {
    let slashes = text.matches('/').count();
    if text.is_empty() || text == "/" || slashes > 1 || text.chars().any(char::is_whitespace) {
        return Err("allowed are namespace/prefix, namespace/, /name and prefix");
    }
    Ok(text.to_owned())
}

fn address(text: &str) -> Result<String, &'static str> {
    let known = text.parse::<IpAddr>().is_ok() || text.parse::<ipnet::IpNet>().is_ok();
    known
        .then(|| text.to_owned())
        .ok_or("allowed are IPv4 and IPv6 addresses, and prefixes such as 10.0.0.0/8")
}

fn ports(text: &str) -> Result<PortRange, &'static str> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).map(u32::from);
    let range = match text.split_once('-') {
        Some((first, last)) => port(first).zip(port(last)),
        None => port(text).map(|port| (port, port)),
    };
    match range {
        Some((first, last)) if first <= last => Ok(PortRange { first, last }),
        _ => Err("allowed are ports from 1 to 65535, and ranges such as 8000-8999"),
    }
}

fn event_type() -> impl TypedValueParser<Value = proto::EventType> {
    PossibleValuesParser::new(EventType::ALL.map(EventType::name))
        .map(|name| proto::EventType::from_str_name(&name).unwrap_or_default())
}
