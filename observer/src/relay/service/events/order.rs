//! What has come, held until it is its turn.

use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{NodeState, NodeStatus};
use tokio::time::Instant;

use super::super::super::call;
use super::super::following::{Brought, What};
use super::{BEHIND, Done, Events};

impl Events {
    /// Keeps a message until it is its turn.
    pub(super) async fn hold(&mut self, brought: Brought, time: u64, is_event: bool) -> Result<(), Done> {
        let node = brought.node;
        let Some(newest) = self.newest else {
            self.merge.add(node, time, brought, Instant::now());
            return Ok(());
        };
        if !is_event {
            return self.send(brought).await;
        }
        if !self.merge.expects_of(node) {
            self.meanwhile.push(brought);
            return Ok(());
        }
        // As many as are held are later than what is taken out, so that is none of the newest.
        self.merge.add(node, time, Brought { place: None, ..brought }, Instant::now());
        if self.merge.len() > newest {
            self.merge.take();
        }
        Ok(())
    }

    /// Sends what is in order.
    pub(super) async fn release(&mut self) -> Result<(), Done> {
        let began = Instant::now();
        self.release_now().await?;
        // While the client did not read, nobody was waited for.
        if let Some((_, since)) = &mut self.waited {
            *since += began.elapsed();
        }
        Ok(())
    }

    async fn release_now(&mut self) -> Result<(), Done> {
        let expects = self.merge.expects();
        if !expects {
            self.pasts_over.send_if_modified(|over| !std::mem::replace(over, true));
        }
        if expects && self.newest.is_some() {
            // Which are the newest shows at the end.
            return Ok(());
        }
        if !expects && (self.newest.take().is_some() || self.tells_following) {
            self.finish().await?;
        }
        if !expects && std::mem::take(&mut self.tells_following) {
            let message = "that was the past; new events follow".to_owned();
            let state = NodeState::Following.into();
            self.status(NodeStatus { state, message, ..NodeStatus::default() }).await?;
        }
        for brought in std::mem::take(&mut self.meanwhile) {
            if let What::Message(_, time) = &brought.what {
                self.merge.add(brought.node, *time, brought, Instant::now());
            }
        }
        while let Some(brought) = self.merge.next(Instant::now()) {
            self.send(brought).await?;
        }
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> Result<(), Done> {
        while let Some(brought) = self.merge.take() {
            self.send(brought).await?;
        }
        Ok(())
    }

    async fn send(&mut self, brought: Brought) -> Result<(), Done> {
        let What::Message(mut message, _) = brought.what else { return Ok(()) };
        if let (true, Some(Payload::Event(event))) = (self.hides_time, &mut message.payload) {
            event.time = None;
        }
        if let (Some(left), Some(Payload::Event(_))) = (&mut self.left, &message.payload) {
            if *left == 0 {
                return Err(Done);
            }
            *left -= 1;
        }
        self.out.send(Ok(*message)).await.map_err(|_closed| Done)
    }

    /// How long the node that is behind all others is waited for: from when it became that one, or told something last.
    pub(super) fn waits_until(&mut self) -> Option<Instant> {
        let behind = self.merge.behind()?;
        let (waited, since) = self.waited.get_or_insert_with(|| (behind, Instant::now()));
        if *waited != behind {
            (*waited, *since) = (behind, Instant::now());
        }
        since.checked_add(BEHIND)
    }

    /// Waits for it no longer, and says so.
    pub(super) async fn leave_behind(&mut self) -> Result<(), Done> {
        let Some((behind, _)) = self.waited.take() else { return Ok(()) };
        self.merge.caught_up(behind);
        let Some(node) = self.asked.get(behind) else { return Ok(()) };
        let message =
            format!("it has told nothing for {} s: its past comes late, out of order", BEHIND.as_secs());
        let status = call::behind(&node.name(), message);
        self.status(status).await
    }
}
