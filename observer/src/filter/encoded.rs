//! An event as it was told and encoded, as filters and scopes look at it: without decoding more of it than they ask for.
//!
//! What was recorded is read by the million, and most of it passes as it is.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;
use observer_proto::{Fields, Value, v1};
use prost::Message as _;

use super::subject::{Latency, Subject};
use super::told::{Told, workload};
use super::{Filters, Scope};
use crate::event::{EventType, WallTime, Workload};

/// So many workloads are kept decoded.
const MOST_WORKLOADS: usize = 4_096;

// The fields of an event, by their numbers. A test decodes each type of event both ways.
const TIME: u32 = 2;
const TYPE: u32 = 3;
const NODE_NAME: u32 = 4;
const WORKLOAD: u32 = 5;
const PROCESS_EXEC: u32 = 20;
const PROCESS_EXIT: u32 = 21;
const TCP_CONNECT: u32 = 25;
const TCP_ACCEPT: u32 = 26;
const TCP_CONNECT_FAILURE: u32 = 27;
const TCP_RETRANSMIT: u32 = 28;
const TCP_RESET: u32 = 29;
const TCP_CLOSE: u32 = 30;
const TCP_CONNECT_PENDING: u32 = 31;

/// What is to be seen of an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// All of it, as it is.
    Whole,
    /// This.
    Part(Box<v1::Event>),
}

/// Workloads that were decoded: few are told again and again.
#[derive(Debug, Default)]
pub(crate) struct Cache(HashMap<Box<[u8]>, Arc<Workload>>);

impl Cache {
    fn workload(&mut self, encoded: &[u8]) -> Arc<Workload> {
        if let Some(known) = self.0.get(encoded) {
            return Arc::clone(known);
        }
        let told = v1::Workload::decode(encoded).unwrap_or_default();
        let made = Arc::new(workload(&told));
        if self.0.len() >= MOST_WORKLOADS {
            self.0.clear();
        }
        self.0.insert(encoded.into(), Arc::clone(&made));
        made
    }
}

/// When an event happened.
pub(crate) fn time(event: &[u8]) -> WallTime {
    let Some(Value::Bytes(time)) = field(event, TIME) else { return WallTime(0) };
    let number = |of| if let Some(Value::Number(number)) = field(time, of) { number } else { 0 };
    WallTime(number(1).saturating_mul(1_000_000_000).saturating_add(number(2)))
}

fn field(message: &[u8], number: u32) -> Option<Value<'_>> {
    Fields::of(message).find_map(|(of, value)| (of == number).then_some(value))
}

/// An end of a connection.
#[derive(Clone, Copy, Default)]
struct End<'a> {
    address: &'a str,
    port: u64,
    workload: Option<&'a [u8]>,
    service: &'a str,
}

impl<'a> End<'a> {
    fn of(message: &'a [u8]) -> Self {
        let mut end = Self::default();
        for field in Fields::of(message) {
            match field {
                (1, Value::Bytes(address)) => end.address = text(address),
                (2, Value::Number(port)) => end.port = port,
                (3, Value::Bytes(workload)) => end.workload = Some(workload),
                (5, Value::Bytes(service)) => end.service = text(service),
                _ => {}
            }
        }
        end
    }
}

/// A connection.
#[derive(Clone, Copy, Default)]
struct Tcp<'a> {
    source: Option<End<'a>>,
    destination: Option<End<'a>>,
    backend: Option<End<'a>>,
    outgoing: bool,
}

impl<'a> Tcp<'a> {
    fn of(message: &'a [u8]) -> Self {
        let mut tcp = Self::default();
        for field in Fields::of(message) {
            match field {
                (2, Value::Bytes(end)) => tcp.source = Some(End::of(end)),
                (3, Value::Bytes(end)) => tcp.destination = Some(End::of(end)),
                (4, Value::Number(outgoing)) => tcp.outgoing = outgoing != 0,
                (6, Value::Bytes(end)) => tcp.backend = Some(End::of(end)),
                _ => {}
            }
        }
        tcp
    }

    const fn far(&self) -> Option<End<'a>> {
        if self.outgoing { self.destination } else { self.source }
    }

    fn answerer(&self) -> Option<End<'a>> {
        self.backend.or_else(|| self.far())
    }
}

/// What filters and scopes ask for of an event.
#[derive(Default)]
struct View<'a> {
    event_type: u64,
    node_name: &'a str,
    workload: Option<&'a [u8]>,
    tcp: Option<Tcp<'a>>,
    failed: bool,
    latency_ns: Option<u64>,
    /// Whose namespaces were entered.
    entered: Option<&'a [u8]>,
}

impl<'a> View<'a> {
    /// `None` for a type of event that is to be decoded.
    fn of(event: &'a [u8]) -> Option<Self> {
        let mut view = Self::default();
        for field in Fields::of(event) {
            match field {
                (TYPE, Value::Number(of)) => view.event_type = of,
                (NODE_NAME, Value::Bytes(name)) => view.node_name = text(name),
                (WORKLOAD, Value::Bytes(workload)) => view.workload = Some(workload),
                (detail @ 20.., Value::Bytes(message)) => view.detail(detail, message)?,
                _ => {}
            }
        }
        Some(view)
    }

    fn detail(&mut self, detail: u32, message: &'a [u8]) -> Option<()> {
        let number = |of: u32| match field(message, of) {
            Some(Value::Number(number)) => Some(number),
            Some(Value::Bytes(_)) | None => None,
        };
        let bytes = |of: u32| match field(message, of) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            Some(Value::Number(_)) | None => None,
        };
        (self.failed, self.latency_ns) = match detail {
            TCP_CONNECT => (false, Some(number(2).unwrap_or(0))),
            TCP_ACCEPT => (false, number(2)),
            TCP_CONNECT_FAILURE => (true, number(4)),
            TCP_CONNECT_PENDING => (true, Some(number(2).unwrap_or(0))),
            TCP_RETRANSMIT | TCP_RESET => (true, None),
            TCP_CLOSE => {
                let rtt = bytes(3).and_then(|counters| field(counters, 6));
                let rtt = rtt.and_then(|rtt| if let Value::Number(ns) = rtt { Some(ns) } else { None });
                (bytes(4).is_some_and(|error| !error.is_empty()), rtt)
            }
            PROCESS_EXIT => (number(1) != Some(0), None),
            PROCESS_EXEC => {
                self.entered = bytes(5);
                (false, None)
            }
            _ => return None,
        };
        if (TCP_CONNECT..=TCP_CONNECT_PENDING).contains(&detail) {
            self.tcp = bytes(1).map(Tcp::of);
        }
        Some(())
    }

    fn pass(&self, filters: &Filters, cache: &mut Cache) -> bool {
        let tcp = self.tcp.as_ref();
        let answerer = tcp.and_then(Tcp::answerer);
        let owner = self.workload.map(|workload| cache.workload(workload));
        let peer = answerer.and_then(|end| end.workload).map(|workload| cache.workload(workload));
        let service = |end: Option<End<'a>>| end.map(|end| end.service).filter(|service| !service.is_empty());
        let services = tcp.map_or([None; 2], |tcp| [service(tcp.far()), service(tcp.backend)]);
        let ends = tcp.map_or([None; 3], |tcp| [tcp.source, tcp.destination, answerer]);
        let addresses = filters.ask_for_addresses();
        filters.pass(&Subject {
            node: Some(self.node_name),
            event_type: EventType::ALL.into_iter().find(|of| *of as u64 == self.event_type),
            failed: self.failed,
            latency: self.latency_ns.map_or(Latency::None, Latency::Told),
            owner: owner.as_deref(),
            peer: peer.as_deref(),
            service: services[0],
            services,
            outgoing: tcp.map(|tcp| tcp.outgoing),
            ports: ends.map(|end| u16::try_from(end?.port).ok()),
            addresses: ends.map(|end| if addresses { address(end?.address) } else { None }),
        })
    }

    /// Something of it is not to be seen.
    fn hides(&self, scope: &Scope, cache: &mut Cache) -> bool {
        let mut end = |end: Option<End<'_>>| {
            end.is_some_and(|end| {
                let workload = end.workload.map(|workload| cache.workload(workload));
                workload.is_some_and(|workload| !scope.sees(&workload)) || scope.hides_service(end.service)
            })
        };
        let of_connection = self.tcp.is_some_and(|tcp| end(tcp.far()) || end(tcp.backend));
        of_connection || self.entered.is_some_and(|entered| !scope.sees(&cache.workload(entered)))
    }
}

impl Filters {
    /// What is to be seen of an event that was told and encoded, if that passes.
    pub(crate) fn encoded_event(&self, event: &[u8], cache: &mut Cache) -> Option<Seen> {
        if self.is_empty() {
            return Some(Seen::Whole);
        }
        let Some(view) = View::of(event) else { return self.decoded_event(event, cache) };
        if self.scope.is_all() {
            return view.pass(self, cache).then_some(Seen::Whole);
        }
        let owner = cache.workload(view.workload?);
        if !self.scope.sees(&owner) {
            return None;
        }
        if view.hides(&self.scope, cache) {
            return self.decoded_event(event, cache);
        }
        view.pass(self, cache).then_some(Seen::Whole)
    }

    fn decoded_event(&self, event: &[u8], cache: &mut Cache) -> Option<Seen> {
        let mut told = v1::Event::decode(event).ok()?;
        let hidden = match (&self.scope, &told.workload) {
            (Scope::All, _) => false,
            (Scope::Namespaces(_), None) => return None,
            (Scope::Namespaces(_), Some(owner)) => {
                if !self.scope.sees(&cache.workload(&owner.encode_to_vec())) {
                    return None;
                }
                self.scope.hide_told(&mut told)
            }
        };
        let passes = self.pass(&Told::new(&told).subject());
        passes.then(|| if hidden { Seen::Part(Box::new(told)) } else { Seen::Whole })
    }

    fn ask_for_addresses(&self) -> bool {
        self.allow.iter().chain(&self.deny).any(|filter| !filter.addresses.is_empty())
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Without the index of an interface behind it.
fn address(text: &str) -> Option<IpAddr> {
    text.split('%').next()?.parse().ok()
}
