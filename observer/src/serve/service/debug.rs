//! One debugging session's stream: what the event loop tells of it, and the events of its containers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use observer_proto::served as v1;
use observer_proto::served::debug_response::Payload;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_util::sync::PollSender;
use tonic::Status;

use super::{EventStream, Service, asked, sent_at};
use crate::event::Now;
use crate::filter::Purpose;
use crate::inventory::host;
use crate::serve::access::{Caller, Scope};
use crate::serve::queue::{TAKEN, queue};
use crate::serve::{DebugAsk, EventsRequest, Request};
use crate::session::{News, Refusal, SessionId};
use crate::wire;

/// What may wait for a stream that is slow, beside its events.
const NEWS_QUEUED: usize = 64;
/// What a session may cost where the client does not say.
const USUAL_CPU_SHARE: f64 = 0.1;

/// The answer to `Debug`.
#[derive(Debug)]
pub(crate) struct DebugStream {
    news: mpsc::Receiver<News>,
    events: EventStream,
    node_name: Arc<str>,
    /// The session's end, once it has ended: what happened before it comes first.
    ending: Option<VecDeque<Payload>>,
    /// So many events may still come before the end: as many as may have waited when it came, as there may be no end of
    /// them.
    left: usize,
}

impl Service {
    /// Opens a session and its stream of events.
    pub(super) async fn open_session(
        &self,
        request: v1::DebugRequest,
        scope: Scope,
        caller: Arc<Caller>,
    ) -> Result<DebugStream, Status> {
        let v1::DebugRequest { allow, deny, duration, max_cpu_share, parts, costly_open_failures } = request;
        if allow.is_empty() {
            return Err(Status::invalid_argument("allow: missing; name the containers to be watched"));
        }
        if costly_open_failures && !scope.is_all() {
            return Err(Status::permission_denied(
                "costly_open_failures: makes every system call of the machine take longer, so it is for clients who may see everything",
            ));
        }
        let length_ns = asked::session_ns(duration.as_ref())?;
        let max_cpu_share = max_cpu_share.unwrap_or(USUAL_CPU_SHARE);
        if !(max_cpu_share > 0.0 && max_cpu_share <= 1.0) {
            return Err(Status::invalid_argument(format!(
                "max_cpu_share: {max_cpu_share} is not allowed: more than 0 and at most 1"
            )));
        }
        let parts = asked::debug_parts(&parts)?;
        let filters = self.compile(allow, deny, Purpose::Workloads)?.within(scope.clone());
        let seat = caller.seat()?;
        let id = self.streams.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (news_sender, news) = mpsc::channel(NEWS_QUEUED);
        let (mut sink, source) = queue(self.settings.queue_capacity, "events");
        sink.hold(self.settings.queue_bytes);
        let events = filters.clone().of_owners();
        let events = EventsRequest { id, filters: events, ask: None, follow: true, sink };
        self.send(Request::Events(events)).await?;
        let ask = |reply: oneshot::Sender<Result<(), Refusal>>| {
            Request::Debug(Box::new(DebugAsk {
                id: SessionId(id),
                filters,
                parts,
                costly_opens: costly_open_failures,
                length_ns,
                max_cpu_share,
                client: caller.to_string(),
                news: news_sender,
                reply,
            }))
        };
        self.ask(ask).await?.map_err(|refusal| refused(&refusal))?;
        let requests = PollSender::new(self.requests.clone());
        let events = EventStream::new(id, source, requests, &self.settings, None, (scope, seat));
        Ok(DebugStream {
            news,
            events,
            node_name: self.settings.node_name.as_str().into(),
            ending: None,
            left: self.settings.queue_capacity.saturating_add(TAKEN),
        })
    }
}

fn refused(refusal: &Refusal) -> Status {
    let message = refusal.to_string();
    match refusal {
        Refusal::TooManySessions(_) => Status::resource_exhausted(message),
        Refusal::NothingMatches => Status::not_found(message),
        Refusal::TooManyWorkloads(..) => Status::invalid_argument(message),
        Refusal::NothingToSee(_) => Status::failed_precondition(message),
    }
}

impl DebugStream {
    fn response(&self, payload: Payload) -> v1::DebugResponse {
        v1::DebugResponse {
            payload: Some(payload),
            node_name: self.node_name.to_string(),
            time: Some(sent_at()),
        }
    }

    /// Takes down what the event loop tells. `None` where that is not to be sent now.
    fn told(&mut self, news: News, now: Now) -> Option<Payload> {
        match news {
            News::Session(session) => Some(Payload::Session(wire::debug_session(&session, now))),
            News::Statistics(statistics) => Some(Payload::Statistics(wire::debug_statistics(&statistics))),
            News::Ended(reason, statistics) => {
                let end = Payload::End(wire::debug_end(reason, &statistics));
                self.ending = Some(VecDeque::from([end]));
                None
            }
        }
    }
}

impl Stream for DebugStream {
    type Item = Result<v1::DebugResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while this.ending.is_none() {
            let Poll::Ready(news) = this.news.poll_recv(context) else { break };
            // Without a word it ends only with the event loop.
            let Some(news) = news else {
                this.ending = Some(VecDeque::new());
                break;
            };
            if let Some(payload) = this.told(news, host::now()) {
                return Poll::Ready(Some(Ok(this.response(payload))));
            }
        }
        let events = match &this.ending {
            Some(_) if this.left == 0 => Poll::Ready(None),
            _ => Pin::new(&mut this.events).poll_next(context),
        };
        if this.ending.is_some() {
            this.left = this.left.saturating_sub(1);
        }
        match events {
            Poll::Ready(Some(Ok(update))) => Poll::Ready(Some(Ok(this.response(Payload::Update(update))))),
            Poll::Ready(Some(Err(status))) => {
                this.ending = Some(VecDeque::new());
                Poll::Ready(Some(Err(status)))
            }
            events @ (Poll::Ready(None) | Poll::Pending) => match &mut this.ending {
                Some(ending) => {
                    let payload = ending.pop_front();
                    Poll::Ready(payload.map(|payload| Ok(this.response(payload))))
                }
                // Where events end, the daemon does, which has its word on the session first.
                None if events.is_ready() => Poll::Ready(None),
                None => Poll::Pending,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::serve::access::ClientLimits;
    use crate::serve::queue::Item;
    use crate::serve::service::Settings;
    use crate::serve::tests::caller;
    use crate::session::EndReason;

    #[test]
    fn the_end_comes_though_events_do_not_cease() {
        let (mut sink, source) = queue(64, "events");
        let settings = Settings::new("node".to_owned());
        let (requests, _asked) = mpsc::channel(1);
        let seat = caller(ClientLimits::default()).seat().unwrap();
        let events =
            EventStream::new(1, source, PollSender::new(requests), &settings, None, (Scope::All, seat));
        let (sender, news) = mpsc::channel(4);
        let mut stream = DebugStream { news, events, node_name: "node".into(), ending: None, left: 3 };
        let mut context = Context::from_waker(Waker::noop());
        let mut next = || {
            // Another one each time.
            sink.send(Item::Connected { after: 1 }, host::now()).unwrap();
            match Pin::new(&mut stream).poll_next(&mut context) {
                Poll::Ready(Some(response)) => response.unwrap().payload,
                Poll::Ready(None) | Poll::Pending => None,
            }
        };
        for _before in 0..5 {
            assert!(matches!(next(), Some(Payload::Update(_))));
        }
        let end = News::Ended(EndReason::ClientGone, Box::default());
        sender.try_send(end).unwrap();
        for _waiting in 0..3 {
            assert!(matches!(next(), Some(Payload::Update(_))));
        }
        assert!(matches!(next(), Some(Payload::End(_))));
        assert!(next().is_none());
    }
}
