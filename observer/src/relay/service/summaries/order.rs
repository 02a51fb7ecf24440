//! Windows that have come, told when it is their turn.

use std::sync::Arc;

use observer_proto::v1;
use observer_proto::v1::watch_summaries_response::Payload;
use tokio::time::Instant;
use tonic::Status;

use super::super::super::call::behind;
use super::super::super::join;
use super::super::super::merge::NodeNumber;
use super::super::super::windows::{BEHIND, Next, NodeWindow, Together};
use super::{Done, Summaries};

impl Summaries {
    /// Tells what is in order.
    pub(super) async fn release(&mut self) -> Result<(), Done> {
        for node in self.windows.fall_behind(Instant::now()) {
            let words = format!("it has told nothing for {} s: its windows come late", BEHIND.as_secs());
            self.behind(node, words).await?;
        }
        while let Some(next) = self.windows.next(Instant::now()) {
            self.tell_next(next).await?;
        }
        Ok(())
    }

    /// Tells what there is.
    pub(super) async fn finish(&mut self) -> Result<(), Done> {
        while let Some(next) = self.windows.rest() {
            self.tell_next(next).await?;
        }
        Ok(())
    }

    async fn tell_next(&mut self, next: Next) -> Result<(), Done> {
        let before = Instant::now();
        match next {
            Next::Together(together) => self.tell(together).await?,
            Next::LeftOut(window) => {
                self.lost_events = self.lost_events.saturating_add(window.end.lost_events);
                self.folded_events = self.folded_events.saturating_add(window.end.folded_events);
                let words = "a window of it came when its time was told already, and is left out".to_owned();
                let name = window.name.to_string();
                self.left_out(name, *window, Some(words)).await?;
            }
        }
        // The client may have read nothing meanwhile, and then no node was heard.
        self.windows.stood_still(before.elapsed());
        Ok(())
    }

    /// Says that a window is left out. What was lost in it is told all the same.
    pub(super) async fn left_out(
        &self,
        name: String,
        window: NodeWindow,
        words: Option<String>,
    ) -> Result<(), Done> {
        if let Some(words) = words {
            self.status(behind(&name, words)).await?;
        }
        for note in window.notes {
            self.send(name.clone(), note).await?;
        }
        Ok(())
    }

    /// Says that a node is behind.
    async fn behind(&self, node: NodeNumber, words: String) -> Result<(), Done> {
        match self.asked.get(node) {
            Some(node) => self.status(behind(&node.name(), words)).await,
            None => Ok(()),
        }
    }

    /// Sends a window of all nodes.
    async fn tell(&mut self, together: Together) -> Result<(), Done> {
        for number in &together.without {
            self.behind(*number, "its window has not come in time: figures lack it".to_owned()).await?;
        }
        let mut end = together.end();
        end.lost_events = end.lost_events.saturating_add(std::mem::take(&mut self.lost_events));
        end.folded_events = end.folded_events.saturating_add(std::mem::take(&mut self.folded_events));
        let mut notes = Vec::new();
        let mut summaries = Vec::new();
        for window in together.windows {
            notes.extend(window.notes.into_iter().map(|note| (window.name.to_string(), note)));
            summaries.extend(window.summaries.into_iter().map(|one| (Arc::clone(&window.name), one)));
        }
        let summaries = join::edges(summaries, &*self.whose.newest().await);
        let told = if let Some(told) = &mut self.told {
            told.next(summaries, &mut end)
        } else {
            (end.summaries, end.total) = (summaries.len() as u64, summaries.len() as u64);
            Ok(summaries.into_iter().map(|one| v1::Summary { key: 0, ..one }).collect())
        };
        let Ok(told) = told else {
            let _gone = self.out.send(Err(too_many())).await.is_err();
            return Err(Done);
        };
        for summary in told {
            let node_name = summary.node_name.clone();
            let summary = match &self.mask {
                Some(mask) => mask.apply(summary),
                None => summary,
            };
            self.send(node_name, Payload::Summary(summary)).await?;
        }
        for (node_name, note) in notes {
            self.send(node_name, note).await?;
        }
        self.send(String::new(), Payload::WindowEnd(end)).await
    }
}

fn too_many() -> Status {
    Status::resource_exhausted(
        "changes: there are too many summaries to compare with; ask for whole windows, or for fewer",
    )
}
