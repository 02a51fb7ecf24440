//! OTLP: metrics, logs and traces for OpenTelemetry's receivers, by gRPC and HTTP.
//!
//! One task (`teller.rs`) makes requests of what happens; each signal has a queue and a task of its own that sends them
//! (`sender.rs`), so that a signal which a receiver does not take costs nothing else.

mod attributes;
mod grouped;
mod heavy;
mod ids;
mod logs;
mod metrics;
mod queue;
mod resource;
mod sender;
mod teller;
mod traces;
mod transport;
mod unmade;
mod words;

use super::state::State;
use super::{MetricSettings, Running};
use crate::config::exporters::{Name, Otlp};

use self::queue::Queue;
use self::sender::{Sender, Troubled};
use self::teller::Teller;
use self::transport::Signal;

/// Starts one.
pub(super) fn start(name: &Name, settings: &Otlp, metrics: &MetricSettings, running: &mut Running) {
    let name = format!("otlp.{name}");
    let receiver = match settings.receiver() {
        Ok(receiver) => receiver,
        // The configuration has tried it.
        Err(error) => return log::error!("exporter {name} is not started: {error}"),
    };
    let state = running.add(State::new(name, "otlp", receiver.endpoint.to_string()));
    let is_on = settings.signals();
    let wanted =
        [(Signal::Metrics, is_on.metrics), (Signal::Logs, is_on.logs), (Signal::Traces, is_on.traces)];
    let wanted: Vec<Signal> =
        wanted.into_iter().filter(|(_, is_on)| *is_on).map(|(signal, _)| signal).collect();
    // What may wait is shared evenly: a signal that is not taken leaves the others their part.
    let most = settings.queue_bytes as usize / wanted.len().max(1);
    let queues: Vec<(Signal, Queue)> = wanted.into_iter().map(|signal| (signal, Queue::new(most))).collect();
    let of_metrics = settings.metric_settings(metrics);
    let teller =
        Teller::new(settings, &of_metrics, running.link.clone(), state.clone(), queues.clone(), most);
    let teller = match teller {
        Ok(teller) => teller,
        // The configuration has tried it as well.
        Err(error) => {
            return log::error!("exporter {} is not started: {}", state.name(), state.failed(&error));
        }
    };
    running.tasks.spawn(teller.run());
    let troubled = Troubled::default();
    for (signal, queue) in queues {
        let link = running.link.clone();
        let sender = Sender::new(signal, receiver.clone(), queue, link, state.clone(), troubled.clone());
        running.tasks.spawn(sender.run());
    }
}
