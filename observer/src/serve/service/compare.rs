//! Two parts of the recording, compared.

use std::sync::Arc;

use observer_proto::served::compared_range::Of;
use observer_proto::{served, v1};
use prost::Message as _;
use tokio::sync::Semaphore;
use tonic::Status;

use super::Service;
use super::lists::LONGEST_LIST_BYTES;
use super::replayed::unreadable;
use crate::event::WallTime;
use crate::filter::{Purpose, Scope};
use crate::record;

/// One comparison at a time: each may take all of a core, and tens of megabytes.
static TURNS: Semaphore = Semaphore::const_new(1);

impl Service {
    pub(super) async fn compare(
        &self,
        scope: Scope,
        request: served::CompareWindowsRequest,
    ) -> Result<v1::CompareWindowsResponse, Status> {
        let served::CompareWindowsRequest { a, b, allow, deny } = request;
        let filters = self.compile(allow, deny, Purpose::Summaries)?.within(scope.clone());
        let ranges = [self.compared(&scope, "a", a)?, self.compared(&scope, "b", b)?];
        let store = self.recording().await?;
        let side = (store, self.settings.node_name.clone());
        // Nobody closes it.
        let turn = TURNS.acquire().await.ok();
        let wanted = Arc::new(());
        let asked = Arc::downgrade(&wanted);
        // It may have thousands of windows to read: other clients shall not wait for that.
        let compared = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let is_wanted = || asked.strong_count() > 0;
            record::compare(&[side.clone(), side], ranges, &filters, &is_wanted)
        });
        let compared =
            compared.await.map_err(|error| Status::internal(format!("nothing was compared: {error}")))?;
        // Until here: where the client goes meanwhile, so does this.
        drop(wanted);
        let mut told = compared.map_err(|error| unreadable(&error))?;
        for (name, side) in [("a", &told.a), ("b", &told.b)] {
            if side.as_ref().is_none_or(|side| side.windows == 0) {
                return Err(Status::not_found(format!("{name}: no window of that time is recorded")));
            }
        }
        let mut bytes = 0;
        let fit = told.comparisons.iter().take_while(|one| {
            bytes += one.encoded_len() + 8;
            bytes <= LONGEST_LIST_BYTES
        });
        let fit = fit.count();
        told.comparisons.truncate(fit);
        Ok(told)
    }

    fn compared(
        &self,
        scope: &Scope,
        name: &str,
        range: Option<served::ComparedRange>,
    ) -> Result<[WallTime; 2], Status> {
        match range.and_then(|range| range.of) {
            Some(Of::IncidentId(id)) => Ok(self.kept(scope, &id)?.0),
            Some(Of::Range(range)) => Self::range(&range),
            None => Err(Status::invalid_argument(format!("{name}: name an incident's id or a range"))),
        }
    }
}
