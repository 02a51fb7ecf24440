//! Sends the requests of one signal, each as often as OTLP's specification says, and counts what is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, timeout};

use super::heavy::heavy;
use super::queue::{Batch, Queue};
use super::transport::{Answer, Packed, Signal, Transport};
use crate::config::exporters::Receiver;
use crate::export::backoff::Backoff;
use crate::export::feed::Link;
use crate::export::state::{Reason, State};

/// A request that was not taken for so long is given up.
const PATIENCE: Duration = Duration::from_mins(5);

/// Files that are not read by then are told of.
const FILES: Duration = Duration::from_secs(10);

/// What is refused again and again is said in the log so often.
const SAID_EACH: Duration = Duration::from_mins(10);

/// How long to wait: what the receiver asks for, and beside that later and later, and not all nodes at once. It may ask for no
/// time at all, and is busy all the same.
fn pause(asked: Option<Duration>, backoff: &mut Backoff) -> Duration {
    asked.unwrap_or_default() + backoff.next()
}

/// Why something was not taken, as it may be told.
#[derive(Debug, thiserror::Error)]
#[error("{signal}: {words}")]
struct Refusal {
    signal: &'static str,
    words: String,
}

/// Which signals of an exporter are not taken at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubled(Arc<AtomicU8>);

impl Troubled {
    /// This one is, or is no more. Says whether any is.
    fn set(&self, signal: Signal, is_so: bool) -> bool {
        let bit = 1 << signal as u8;
        if is_so {
            self.0.fetch_or(bit, Ordering::Relaxed);
            return true;
        }
        self.0.fetch_and(!bit, Ordering::Relaxed) & !bit != 0
    }
}

/// When something was last said in the log: what goes on and on is said now and then.
#[derive(Debug, Default)]
struct Said(Option<Instant>);

impl Said {
    /// Whether it is to be said now.
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= SAID_EACH);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

/// Sends one signal.
pub(super) struct Sender {
    signal: Signal,
    receiver: Receiver,
    queue: Queue,
    link: Link,
    state: State,
    troubled: Troubled,
    transport: Option<(Transport, HeaderMap)>,
    /// That requests are refused, as a whole and in part.
    said: [Said; 2],
}

impl Sender {
    pub(super) fn new(
        signal: Signal,
        receiver: Receiver,
        queue: Queue,
        link: Link,
        state: State,
        troubled: Troubled,
    ) -> Self {
        let said = Default::default();
        Self { signal, receiver, queue, link, state, troubled, transport: None, said }
    }

    /// Sends what comes, until nothing does any more.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        while let Some(batch) = self.queue.next().await {
            let items = batch.items;
            self.deliver(batch, &mut backoff).await;
            self.state.let_go(items);
        }
    }

    /// Sends a request, as often as that takes.
    async fn deliver(&mut self, Batch { request, items, together: _ }: Batch, backoff: &mut Backoff) {
        let first = Instant::now();
        let receiver = self.receiver.clone();
        let packed = heavy(move || Packed::new(&receiver, request)).await;
        // It is not there only where the daemon ends.
        let Some(packed) = packed else { return self.state.lose(Reason::Stopped, items) };
        loop {
            match self.send(&packed).await {
                Answer::Taken { rejected, message } => {
                    backoff.reset();
                    return self.taken(items, rejected, &message);
                }
                Answer::Refused { reason } => {
                    backoff.reset();
                    return self.refuse(items, reason);
                }
                Answer::Later { reason, after } => {
                    self.troubled.set(self.signal, true);
                    self.state.retrying(&self.refusal(reason));
                    if first.elapsed() >= PATIENCE {
                        return self.state.lose(Reason::Expired, items);
                    }
                    if after.is_none() {
                        // Whatever is wrong with the connection is over with another one.
                        self.transport = None;
                    }
                    if !self.link.pause(pause(after, backoff)).await {
                        return self.state.lose(Reason::Stopped, items);
                    }
                }
            }
        }
    }

    fn taken(&mut self, items: u64, rejected: u64, message: &str) {
        let rejected = rejected.min(items);
        let is_any_troubled = self.troubled.set(self.signal, false);
        self.state.taken(items - rejected, is_any_troubled);
        if rejected == 0 && message.is_empty() {
            return;
        }
        self.state.lose(Reason::Refused, rejected);
        let words = match rejected {
            0 => format!("all were taken, with a warning: {message}"),
            _ => format!("{rejected} of {items} were rejected: {message}"),
        };
        let words = self.state.failed(&self.refusal(words));
        if self.said[1].is_due() {
            let name = self.state.name();
            log::warn!("exporter {name}: {words}; what is rejected is lost, and all else goes on");
        }
    }

    fn refuse(&mut self, items: u64, reason: String) {
        self.troubled.set(self.signal, false);
        self.state.lose(Reason::Refused, items);
        let words = self.state.failed(&self.refusal(reason));
        if self.said[0].is_due() {
            let name = self.state.name();
            log::error!("exporter {name}: {words}; what is refused is lost, and all else goes on");
        }
    }

    /// Tries once; and once more where it is refused and there are other secrets by now.
    async fn send(&mut self, request: &Packed) -> Answer {
        let answer = self.attempt(request).await;
        if !matches!(answer, Answer::Refused { .. }) {
            return answer;
        }
        let used = self.transport.take().map(|(_, headers)| headers);
        if used.is_some() && self.read(|receiver| headers(&receiver)).await.ok() != used {
            return self.attempt(request).await;
        }
        answer
    }

    async fn attempt(&mut self, request: &Packed) -> Answer {
        if self.transport.is_none() {
            let made = self.read(|receiver| {
                let headers = headers(&receiver)?;
                Ok((Transport::new(receiver, headers.clone())?, headers))
            });
            match made.await {
                Ok(made) => self.transport = Some(made),
                // Somebody may put the file there.
                Err(reason) => return Answer::Later { reason, after: None },
            }
        }
        match &self.transport {
            Some((transport, _)) => transport.send(self.signal, request.clone()).await,
            None => Answer::Later { reason: String::new(), after: None },
        }
    }

    /// Reads files of secrets and certificates, where nobody else waits for them: they may be far away, and never come. There
    /// is no second one that waits for the same.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(Receiver) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let receiver = self.receiver.clone();
        let mut reading = tokio::task::spawn_blocking(move || read(receiver));
        loop {
            if let Ok(done) = timeout(FILES, &mut reading).await {
                return done.unwrap_or_else(|_stopped| Err("files were not read".to_owned()));
            }
            self.troubled.set(self.signal, true);
            self.state
                .retrying(&self.refusal("files of secrets or certificates cannot be read yet".to_owned()));
        }
    }

    fn refusal(&self, words: String) -> Refusal {
        Refusal { signal: self.signal.word(), words }
    }
}

/// The headers, with secrets as they are now. The error has none of them.
fn headers(receiver: &Receiver) -> Result<HeaderMap, String> {
    let mut headers: HeaderMap = receiver.headers.iter().cloned().collect();
    for (name, secret) in &receiver.secrets {
        let value = secret.read().map_err(|error| error.to_string())?;
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_invalid| format!("the secret for {name} is no header's value"))?;
        value.set_sensitive(true);
        headers.insert(name.clone(), value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
