//! Debugging sessions: each is one daemon's, as its programs run in one kernel.

use observer_proto::v1;
use tonic::Status;

use super::super::call::{Answers, Asker};
use super::super::chosen::Chosen;
use super::{Answered, Service, through};
use crate::filter::Purpose;
use crate::serve::Seat;

impl Service {
    /// Opens a session on the node that has the containers.
    pub(super) async fn session(
        &self,
        asker: Asker,
        seat: Seat,
        request: v1::DebugRequest,
    ) -> Result<Answered<v1::DebugResponse>, Status> {
        if request.allow.is_empty() {
            return Err(Status::invalid_argument("allow: missing; name the containers to be watched"));
        }
        let chosen = Chosen::checked(request.allow.clone(), request.deny.clone(), Purpose::Workloads)?;
        let Answers { given: answers, missing, held: _held } = self.workloads_of(&asker, &chosen).await?;
        let having = answers.into_iter().filter(|answer| !answer.told.workloads.is_empty());
        let having: Vec<_> = having.map(|answer| answer.up).collect();
        let up = match having.as_slice() {
            [up] => up,
            [] => {
                let silent: Vec<_> =
                    missing.iter().map(|one| format!("{} ({})", one.node_name, one.message)).collect();
                let but = if silent.is_empty() {
                    String::new()
                } else {
                    format!("; these nodes did not answer: {}", silent.join(", "))
                };
                return Err(Status::not_found(format!(
                    "no container that matches is known on any node{but}"
                )));
            }
            several => {
                let names: Vec<_> = several.iter().map(|up| &*up.name).collect();
                return Err(Status::failed_precondition(format!(
                    "such containers are on several nodes, and a session is on one: name it (--node-name): {}",
                    names.join(", ")
                )));
            }
        };
        let (allow, deny) = chosen.of_owner(&up.name)?;
        let request = v1::DebugRequest { allow, deny, ..request };
        let answer = up.observer.clone().debug(asker.request(request)).await?;
        Ok(through(asker.heeded(answer)?, seat))
    }
}
