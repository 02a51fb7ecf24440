//! Makes requests of what happens.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::grouped::{Grouped, most_bytes};
use super::heavy::heavy;
use super::ids::SpanName;
use super::logs::Logs;
use super::metrics::Metrics;
use super::queue::{Batch, Queue};
use super::resource::scope;
use super::traces::{Slow, Traces};
use super::transport::Signal;
use super::unmade::Waiting;
use crate::config::exporters::Otlp;
use crate::export::MetricSettings;
use crate::export::feed::{Link, Told, Wanted};
use crate::export::state::{Reason, State};
use crate::filter::{Filters, InvalidFilter};
use crate::inventory::host;
use crate::serve::Request;
use crate::status::Status;

/// What happened is taken so many at a time.
const BATCH: usize = 512;
/// What is not sent by then because its batch is full is sent anyway.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Series of what is gone are looked for once in so long.
const LISTED: Duration = Duration::from_secs(10);

/// The daemon's own answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Makes requests, and puts them into the queues.
pub(super) struct Teller {
    wanted: Wanted,
    link: Link,
    state: State,
    queues: Vec<(Signal, Queue)>,
    interval: Duration,
    metrics: Option<Metrics>,
    logs: Option<Logs>,
    traces: Option<Traces>,
    /// Events of which records are to be made.
    waiting: Waiting,
    records: Grouped<LogRecord>,
    spans: Grouped<Span>,
    /// When metrics were last sent, and when workloads were last listed.
    sent: Instant,
    listed: Instant,
}

impl Teller {
    pub(super) fn new(
        settings: &Otlp,
        of_metrics: &MetricSettings,
        link: Link,
        state: State,
        queues: Vec<(Signal, Queue)>,
        queue_bytes: usize,
    ) -> Result<Self, InvalidFilter> {
        let has = |signal| queues.iter().any(|(of, _)| *of == signal);
        let (filters, of_incidents) = (settings.selection().events()?, settings.selection().incidents()?);
        let of_events = match (has(Signal::Logs), has(Signal::Traces)) {
            (_, true) => Some(Filters::default()),
            (true, false) => Some(filters.clone()),
            (false, false) => None,
        };
        let ns = |time: Option<Duration>| time.map(|time| time.as_nanos() as u64);
        let slow = Slow { connect_ns: ns(settings.slow_connect), rtt_ns: ns(settings.slow_rtt) };
        let node_name = link.node_name.clone();
        let make = || {
            let most = most_bytes(queue_bytes);
            Metrics::new(of_metrics, settings.temporality(), &node_name, link.start_time, most)
        };
        let now = Instant::now();
        Ok(Self {
            wanted: Wanted { events: of_events, windows: has(Signal::Metrics), incidents: true },
            metrics: has(Signal::Metrics).then(make),
            logs: has(Signal::Logs).then(|| Logs::new([filters, of_incidents], &node_name)),
            traces: has(Signal::Traces).then(|| Traces::new(&node_name, slow, &link.room)),
            // Beside the half of the queue that makes them wait.
            waiting: Waiting::new(queue_bytes / 2),
            records: Grouped::new(&node_name, queue_bytes),
            spans: Grouped::new(&node_name, queue_bytes),
            interval: settings.interval,
            sent: now,
            listed: now,
            link,
            state,
            queues,
        })
    }

    /// Until the daemon stops.
    pub(super) async fn run(mut self) {
        if let Some(mut feed) = self.link.subscribe(&self.wanted, &self.state).await {
            let mut told = Vec::with_capacity(BATCH);
            let mut due = tokio::time::interval(AT_ONCE);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let more = tokio::select! {
                    more = feed.batch(&mut told, BATCH) => more,
                    _ = due.tick() => {
                        self.flush();
                        true
                    }
                };
                self.make(false);
                for one in told.drain(..) {
                    self.take(&one);
                }
                if !more {
                    break;
                }
                self.tell_metrics().await;
            }
            self.make(true);
            self.flush();
            // The daemon does not answer any more: what windows told is what there is.
            self.put_metrics(None).await;
        }
        self.queues.iter().for_each(|(_, queue)| queue.end());
    }

    fn take(&mut self, told: &Told) {
        if let (Some(metrics), Told::Window(window, now)) = (&mut self.metrics, told) {
            metrics.add(window, *now);
        }
        let mut spans = Vec::new();
        let mut name = None;
        match (told, &mut self.traces) {
            (Told::Event(published), Some(traces)) => name = traces.event(&published.event, &mut spans),
            (Told::Incident(incident), Some(traces)) => name = Some(traces.incident(incident, &mut spans)),
            (Told::Deleted(incident), Some(traces)) => traces.deleted(&incident.id),
            _ => {}
        }
        match (told, &mut self.metrics) {
            (Told::Incident(incident), Some(metrics)) => metrics.incident(incident),
            (Told::Deleted(incident), Some(metrics)) => metrics.deleted(&incident.id),
            (Told::Missed(known), Some(metrics)) => metrics.missed(known),
            _ => {}
        }
        self.state.hold(spans.len() as u64);
        for told in spans {
            self.spans.add(told.workload, told.span);
        }
        if !self.waits(told, name) {
            self.record(told, name);
        }
        if self.spans.is_full() {
            self.flush();
        }
    }

    fn record(&mut self, told: &Told, name: Option<SpanName>) {
        if let Some((workload, record)) = self.logs.as_mut().and_then(|logs| logs.of(told, name)) {
            self.state.hold(1);
            self.records.add(workload, record);
            if self.records.is_full() {
                self.flush();
            }
        }
    }

    /// Has an event wait as it is, where records are not taken as fast as they come: most of it may never be sent.
    fn waits(&mut self, told: &Told, name: Option<SpanName>) -> bool {
        let (Told::Event(published), Some(logs)) = (told, &self.logs) else { return false };
        if !logs.wants(&published.event) || (self.waiting.is_empty() && !self.is_backed_up()) {
            return false;
        }
        self.state.hold(1);
        let lost = self.waiting.put((Arc::clone(published), name));
        if lost > 0 {
            self.state.let_go(lost);
            self.state.lose(Reason::Queue, lost);
        }
        true
    }

    /// Makes records of what waits, as far as there is room for them; or of all of it.
    fn make(&mut self, all: bool) {
        while (all || !self.is_backed_up())
            && let Some((published, name)) = self.waiting.next()
        {
            self.record(&Told::Event(published), name);
            self.state.let_go(1);
        }
    }

    fn is_backed_up(&self) -> bool {
        self.queue(Signal::Logs).is_some_and(Queue::is_backed_up)
    }

    /// Has sent what there is of logs and traces.
    fn flush(&mut self) {
        let items = self.records.items();
        if items > 0 {
            let resource_logs = self.records.take().into_iter().map(|(resource, log_records)| ResourceLogs {
                resource: Some(resource),
                scope_logs: vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }],
                ..ResourceLogs::default()
            });
            let request = ExportLogsServiceRequest { resource_logs: resource_logs.collect() };
            self.put(Signal::Logs, &request, items as u64);
        }
        let items = self.spans.items();
        if items > 0 {
            let resource_spans = self.spans.take().into_iter().map(|(resource, spans)| ResourceSpans {
                resource: Some(resource),
                scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            });
            let request = ExportTraceServiceRequest { resource_spans: resource_spans.collect() };
            self.put(Signal::Traces, &request, items as u64);
        }
    }

    /// Has metrics sent where it is time for that.
    async fn tell_metrics(&mut self) {
        if self.metrics.is_none() || self.sent.elapsed() < self.interval.min(LISTED) {
            return;
        }
        if self.listed.elapsed() >= LISTED {
            self.listed = Instant::now();
            let (reply, answer) = oneshot::channel();
            let request = Request::Workloads { filters: Filters::default(), reply };
            let asked = async {
                self.link.requests.send(request).await.ok()?;
                answer.await.ok()
            };
            if let Ok(Some(list)) = timeout(PATIENCE, asked).await
                && let Some(metrics) = &mut self.metrics
            {
                metrics.list(&list.workloads, list.now);
            }
        }
        if self.sent.elapsed() >= self.interval {
            self.sent = Instant::now();
            // A daemon that does not answer is told as one that is not up.
            let status = timeout(PATIENCE, self.link.status()).await.ok().flatten().map(|(status, _)| status);
            self.put_metrics(status).await;
        }
    }

    /// Has all figures sent, as they are now.
    async fn put_metrics(&mut self, status: Option<Status>) {
        let Some(queue) = self.queue(Signal::Metrics).cloned() else { return };
        let Some(mut metrics) = self.metrics.take() else { return };
        let (now, state) = (host::now(), self.state.clone());
        let told = heavy(move || {
            metrics.tell(status, now, |request, points| {
                // All of one time belongs together.
                let request = request.encode_to_vec().into();
                state.hold(points);
                put(&state, &queue, Batch { request, items: points, together: Some(now.wall) });
            });
            metrics
        });
        self.metrics = told.await;
        if self.metrics.is_none() {
            let words = self.state.failed(&Untold);
            log::error!("exporter {}: {words}", self.state.name());
        }
    }

    fn put(&self, signal: Signal, request: &impl Message, items: u64) {
        let Some(queue) = self.queue(signal) else { return };
        put(&self.state, queue, Batch { request: request.encode_to_vec().into(), items, together: None });
    }

    fn queue(&self, signal: Signal) -> Option<&Queue> {
        self.queues.iter().find(|(of, _)| *of == signal).map(|(_, queue)| queue)
    }
}

/// Metrics are not told any more.
#[derive(Debug, thiserror::Error)]
#[error("metrics: points could not be made; there are none until the daemon is started again")]
struct Untold;

/// What is in it is held already.
fn put(state: &State, queue: &Queue, batch: Batch) {
    let lost = queue.put(batch);
    if lost > 0 {
        state.let_go(lost);
        state.lose(Reason::Queue, lost);
    }
}
