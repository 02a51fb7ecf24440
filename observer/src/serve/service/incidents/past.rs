//! What is known of an incident's time, in order, as one client may see it.

use observer_proto::v1;
use prost::Message as _;
use tonic::Status;

use super::super::Service;
use super::super::asked::wall_time;
use crate::event::{Event, WallTime};
use crate::filter::Scope;
use crate::serve::{Past, Request};
use crate::story::{Told, ToldWindow};
use crate::wire;

impl Service {
    /// The events and windows of an incident's time.
    pub(super) async fn past(
        &self,
        scope: &Scope,
        incident: &v1::Incident,
    ) -> Result<(Box<dyn Iterator<Item = Told> + Send>, Vec<ToldWindow>), Status> {
        let of = |time: &Option<prost_types::Timestamp>| {
            time.as_ref().map_or(Ok(WallTime::default()), |time| wall_time("window", *time))
        };
        let (since, until) = (of(&incident.window_start)?, of(&incident.window_end)?);
        if let Some(replayed) = &self.replayed {
            return replayed.past([since, until]);
        }
        let past = self.ask(|reply| Request::Past { since, until, reply }).await?;
        let Past { events, complete_since, windows, now } = past;
        let start = wire::timestamp(self.settings.start_time);
        let gap = (complete_since > since).then(|| Told::Gap {
            since: Some(wire::timestamp(since)),
            until: Some(wire::timestamp(complete_since.min(until))),
            words: "the daemon's memory does not reach back so far".to_owned(),
        });
        let (scope, node) = (scope.clone(), self.settings.node_name.clone());
        let seen = scope.clone();
        let told = events.into_iter().filter_map(move |event| {
            let event = seen.event(&event)?;
            Some(Told::Event(start, Box::new(told(&event, &node))))
        });
        let windows =
            windows.iter().map(|window| (now.wall_of(window.start), scope.window(window).into_owned()));
        Ok((Box::new(gap.into_iter().chain(told)), windows.collect()))
    }
}

/// An event as it is told.
fn told(event: &Event, node: &str) -> v1::Event {
    v1::Event::decode(wire::event(event, node).encode_to_vec().as_slice()).unwrap_or_default()
}
