//! A daemon that answers, and its clock.

use std::sync::Arc;
use std::time::Duration;

use observer_proto::v1::incidents_client::IncidentsClient;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{GetStatusRequest, NodeState, NodeStatus, Status};
use prost_types::Timestamp;
use tokio::time::timeout;
use tonic::transport::Channel;

use super::super::call::no_answer;
use super::{now, words};

/// A clock that differs by no more is right: the way there and back takes time as well.
pub(in crate::relay) const CLOCKS_AGREE: i64 = 500_000_000;
/// An answer within twice that tells well enough what a clock says.
const WELL_KNOWN: i64 = 50_000_000;

/// A daemon that answers.
#[derive(Clone, Debug)]
pub(in crate::relay) struct Up {
    pub(in crate::relay) observer: ObserverClient<Channel>,
    pub(in crate::relay) incidents: IncidentsClient<Channel>,
    pub(in crate::relay) name: Arc<str>,
    pub(super) version: String,
    pub(in crate::relay) start_time: Option<Timestamp>,
    pub(super) clock: Clock,
    pub(super) since: Timestamp,
}

/// A daemon's clock beside this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// How much it is ahead.
    pub(super) ahead_ns: i64,
    /// Or behind, or ahead more: half of the time that the answer took.
    within_ns: i64,
}

impl Up {
    /// How much its clock is ahead of this one's, where that is more than can be told.
    pub(in crate::relay) const fn clock_ahead_ns(&self) -> i64 {
        let Clock { ahead_ns, within_ns } = self.clock;
        if ahead_ns.abs() > CLOCKS_AGREE + within_ns { ahead_ns } else { 0 }
    }

    /// Both are over one connection.
    pub(in crate::relay) fn is_same(&self, other: &Self) -> bool {
        self.since == other.since
    }

    /// That it is connected, in a message.
    pub(in crate::relay) fn status(&self) -> NodeStatus {
        NodeStatus {
            state: NodeState::Connected.into(),
            message: self.words(),
            start_time: self.start_time,
            node_name: self.name.to_string(),
            ..NodeStatus::default()
        }
    }

    /// What is worth saying of it.
    pub(in crate::relay) fn words(&self) -> String {
        let own = env!("CARGO_PKG_VERSION");
        let mut words = Vec::new();
        if self.version != own {
            words.push(format!("its daemon is of version {}, this relay of {own}", self.version));
        }
        if self.clock_ahead_ns() != 0 {
            let way = if self.clock.ahead_ns > 0 { "ahead of" } else { "behind" };
            let seconds = Duration::from_nanos(self.clock.ahead_ns.unsigned_abs()).as_secs_f64();
            words.push(format!(
                "its clock is {seconds:.1} s {way} the relay's: its events have their own times, and their place by the relay's"
            ));
        }
        words.join("; ")
    }
}

#[cfg(test)]
impl Up {
    /// Of a daemon that nobody needs to reach.
    pub(in crate::relay) fn of_nobody(name: &str) -> Arc<Self> {
        let channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
        Arc::new(Self {
            observer: ObserverClient::new(channel.clone()),
            incidents: IncidentsClient::new(channel),
            name: name.into(),
            version: String::new(),
            start_time: None,
            clock: Clock { ahead_ns: 0, within_ns: 0 },
            since: now(),
        })
    }
}

/// Who is there, and its clock: where an answer took long, as while it attaches its probes, it is asked again for that.
pub(super) async fn greet(
    observer: ObserverClient<Channel>,
    patience: Duration,
) -> Result<(Status, Clock), String> {
    let (mut status, mut clock) = ask(observer.clone(), patience).await?;
    for _again in 0..2 {
        if clock.within_ns <= WELL_KNOWN {
            break;
        }
        let (newer, another) = ask(observer.clone(), patience).await?;
        if another.within_ns < clock.within_ns {
            (status, clock) = (newer, another);
        }
    }
    Ok((status, clock))
}

async fn ask(mut observer: ObserverClient<Channel>, patience: Duration) -> Result<(Status, Clock), String> {
    let before = unix_ns();
    let answer = match timeout(patience, observer.get_status(GetStatusRequest {})).await {
        Ok(Ok(answer)) => answer.into_inner().status.unwrap_or_default(),
        Ok(Err(status)) => return Err(words(&status)),
        Err(_elapsed) => return Err(no_answer(patience)),
    };
    let within_ns = (unix_ns() - before) / 2;
    let middle = before + within_ns;
    let start = answer.start_time.map_or(middle, nanos);
    let theirs = start.saturating_add_unsigned(answer.uptime_ns);
    let ahead_ns = if answer.start_time.is_some() { theirs.saturating_sub(middle) } else { 0 };
    Ok((answer, Clock { ahead_ns, within_ns: within_ns.max(0) }))
}

fn unix_ns() -> i64 {
    nanos(now())
}

/// As near as can be told: a daemon may say anything.
fn nanos(Timestamp { seconds, nanos }: Timestamp) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos.into())
}
