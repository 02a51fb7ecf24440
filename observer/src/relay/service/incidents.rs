//! Incidents of all nodes. An id is one node's; where two have the same, it is named as `NODE/ID`.

use std::cmp::Reverse;
use std::sync::Arc;

use observer_proto::v1;
use observer_proto::v1::incidents_server::Incidents;
use tokio::time::Instant;
use tonic::{Request as Call, Response, Status};

use super::super::call::{Answer, Answers, Asker, Pace, Visit, ask, may_answer};
use super::super::chosen::Chosen;
use super::super::node::Up;
use super::watching::Watching;
use super::{Answered, Service};
use crate::filter::Purpose;
use crate::serve::{asked_time, fitting};

/// Incidents that are listed where the client names no limit.
const LISTED: usize = 100;
/// How long a daemon may read what is recorded of one, beside its usual time.
const READING: std::time::Duration = std::time::Duration::from_secs(30);

/// The node that has an incident, and what it says of it.
struct Owner {
    up: Arc<Up>,
    told: v1::GetIncidentResponse,
}

#[tonic::async_trait]
impl Incidents for Service {
    type WatchIncidentsStream = Answered<v1::WatchIncidentsResponse>;
    type ExportIncidentStream = Answered<v1::ExportIncidentResponse>;

    async fn list_incidents(
        &self,
        call: Call<v1::ListIncidentsRequest>,
    ) -> Result<Response<v1::ListIncidentsResponse>, Status> {
        let (asker, _place) = self.place(&call, "ListIncidents").await?;
        let request = call.into_inner();
        check(&request)?;
        let limit = if request.limit == 0 { LISTED } else { request.limit as usize };
        let Answers { given: answers, missing, held: _held } = self
            .ask(&asker, &Chosen::default(), |Visit { asker, mut incidents, .. }| {
                let request = asker.request(request.clone());
                async move { asker.heeded(incidents.list_incidents(request).await?) }
            })
            .await?;
        let total = answers.iter().fold(0, |sum: u64, answer| sum.saturating_add(answer.told.total));
        let mut incidents: Vec<_> = answers.into_iter().flat_map(|answer| answer.told.incidents).collect();
        incidents.sort_by_key(|one| Reverse(one.open_time.map(|time| (time.seconds, time.nanos))));
        Ok(Response::new(v1::ListIncidentsResponse {
            incidents: fitting(incidents.into_iter().take(limit), None),
            total,
            node_name: String::new(),
            missing_nodes: missing,
        }))
    }

    async fn get_incident(
        &self,
        call: Call<v1::GetIncidentRequest>,
    ) -> Result<Response<v1::GetIncidentResponse>, Status> {
        let (asker, _seat) = self.seat(&call, "GetIncident")?;
        Ok(Response::new(self.owner(&asker, &call.into_inner().id).await?.told))
    }

    async fn watch_incidents(
        &self,
        call: Call<v1::WatchIncidentsRequest>,
    ) -> Result<Response<Self::WatchIncidentsStream>, Status> {
        let (asker, seat) = self.seat(&call, "WatchIncidents")?;
        let stream = Watching::open(asker, seat, call.into_inner(), &self.nodes, self.settings.patience);
        Ok(Response::new(stream))
    }

    async fn open_incident(
        &self,
        call: Call<v1::OpenIncidentRequest>,
    ) -> Result<Response<v1::OpenIncidentResponse>, Status> {
        let (asker, _seat) = self.seat(&call, "OpenIncident")?;
        let v1::OpenIncidentRequest { allow, deny, note } = call.into_inner();
        if allow.is_empty() && self.nodes_now()?.len() > 1 {
            return Err(Status::invalid_argument(
                "allow: missing; a relay opens incidents about workloads, or about a node that is named (node_names)",
            ));
        }
        let chosen = Chosen::checked(allow, deny, Purpose::Workloads)?;
        let Answers { given: answers, missing, held: _held } = self
            .ask(&asker, &chosen, |Visit { asker, mut incidents, filters, .. }| {
                let (allow, deny) = filters;
                let request = v1::OpenIncidentRequest { allow, deny, note: note.clone() };
                async move {
                    // A daemon that does not heed who asks is not to do anything.
                    let read = v1::ListIncidentsRequest { limit: 1, ..v1::ListIncidentsRequest::default() };
                    asker.heeded(incidents.list_incidents(asker.request(read)).await?)?;
                    asker.heeded(incidents.open_incident(asker.request(request)).await?)
                }
            })
            .await?;
        let mut opened = answers.into_iter().filter_map(|answer| answer.told.incident);
        let Some(incident) = opened.next() else {
            return Err(nobody_has("no container that matches", &missing));
        };
        let others = opened.collect();
        let missing_nodes = missing;
        Ok(Response::new(v1::OpenIncidentResponse { incident: Some(incident), others, missing_nodes }))
    }

    async fn close_incident(
        &self,
        call: Call<v1::CloseIncidentRequest>,
    ) -> Result<Response<v1::CloseIncidentResponse>, Status> {
        let (asker, _seat) = self.seat(&call, "CloseIncident")?;
        let v1::CloseIncidentRequest { id, note } = call.into_inner();
        let Owner { up, told } = self.owner(&asker, &id).await?;
        let request = v1::CloseIncidentRequest { id: id_of(told), note };
        let answer = up.incidents.clone().close_incident(asker.request(request)).await?;
        Ok(Response::new(asker.heeded(answer)?))
    }

    async fn delete_incident(
        &self,
        call: Call<v1::DeleteIncidentRequest>,
    ) -> Result<Response<v1::DeleteIncidentResponse>, Status> {
        let (asker, _seat) = self.seat(&call, "DeleteIncident")?;
        let Owner { up, told } = self.owner(&asker, &call.into_inner().id).await?;
        let request = v1::DeleteIncidentRequest { id: id_of(told) };
        let answer = up.incidents.clone().delete_incident(asker.request(request)).await?;
        Ok(Response::new(asker.heeded(answer)?))
    }

    async fn export_incident(
        &self,
        call: Call<v1::ExportIncidentRequest>,
    ) -> Result<Response<Self::ExportIncidentStream>, Status> {
        use v1::export_incident_request::Of;
        let (asker, seat) = self.seat(&call, "ExportIncident")?;
        let v1::ExportIncidentRequest { of, allow, deny } = call.into_inner();
        let chosen = Chosen::new(allow, deny);
        let (up, of) = match of {
            Some(Of::Id(id)) => {
                let Owner { up, told } = self.owner(&asker, &id).await?;
                (up, Some(Of::Id(id_of(told))))
            }
            other => (self.one_node(&chosen, "a file is of one node").await?, other),
        };
        let (allow, deny) = chosen.of_owner(&up.name)?;
        let request = v1::ExportIncidentRequest { of, allow, deny };
        let answer = up.incidents.clone().export_incident(asker.request(request)).await?;
        Ok(Response::new(super::through(asker.heeded(answer)?, seat)))
    }

    async fn compare_windows(
        &self,
        call: Call<v1::CompareWindowsRequest>,
    ) -> Result<Response<v1::CompareWindowsResponse>, Status> {
        let (asker, _seat) = self.seat(&call, "CompareWindows")?;
        let v1::CompareWindowsRequest { a, b, allow, deny } = call.into_inner();
        let chosen = Chosen::new(allow, deny);
        let mut owner: Option<Arc<Up>> = None;
        let mut sides = Vec::new();
        for side in [a, b] {
            let (of, of_side) = self.side(&asker, side).await?;
            if let (Some(one), Some(other)) = (&owner, &of)
                && !one.is_same(other)
            {
                return Err(Status::failed_precondition(
                    "the two incidents are of different nodes: only what one node recorded can be compared",
                ));
            }
            owner = owner.or(of);
            sides.push(of_side);
        }
        let up = match owner {
            Some(up) => up,
            None => self.one_node(&chosen, "only what one node recorded can be compared").await?,
        };
        let (allow, deny) = chosen.of_owner(&up.name)?;
        let b = sides.pop().flatten();
        let request = v1::CompareWindowsRequest { a: sides.pop().flatten(), b, allow, deny };
        let answer = up.incidents.clone().compare_windows(asker.request(request)).await?;
        Ok(Response::new(asker.heeded(answer)?))
    }
}

impl Service {
    /// The node that has an incident.
    async fn owner(&self, asker: &Asker, id: &str) -> Result<Owner, Status> {
        let (node, id) = id.rsplit_once('/').map_or((None, id), |(node, id)| (Some(node), id));
        let patience = self.settings.patience;
        // A node that is silent does not keep anybody from what another one has.
        let pace = Pace { patience: patience + READING, one_is_enough: true, ..Pace::usual(patience) };
        let visit = |Visit { asker, mut incidents, .. }| {
            let request = asker.request(v1::GetIncidentRequest { id: id.to_owned() });
            async move { asker.heeded(incidents.get_incident(request).await?) }
        };
        let Answers { given: mut owners, missing, held: _held } =
            ask(asker, &self.nodes_now()?, &Chosen::node(node), pace, visit).await?;
        let Some(Answer { up, told }) = owners.pop() else {
            return Err(nobody_has(&format!("no incident {id:?}"), &missing));
        };
        if owners.is_empty() {
            return Ok(Owner { up, told });
        }
        let names: Vec<_> = owners.iter().map(|owner| &*owner.up.name).chain([&*up.name]).collect();
        Err(Status::failed_precondition(format!(
            "{} have an incident {id:?} each: name one, such as {}/{id}",
            names.join(" and "),
            up.name
        )))
    }

    /// Whose one side of a comparison is, where that is an incident.
    async fn side(
        &self,
        asker: &Asker,
        side: Option<v1::ComparedRange>,
    ) -> Result<(Option<Arc<Up>>, Option<v1::ComparedRange>), Status> {
        use v1::compared_range::Of;
        let Some(v1::ComparedRange { of: Some(Of::IncidentId(id)) }) = side else { return Ok((None, side)) };
        let Owner { up, told } = self.owner(asker, &id).await?;
        Ok((Some(up), Some(v1::ComparedRange { of: Some(Of::IncidentId(id_of(told))) })))
    }

    /// The one node that is meant, where it cannot be several.
    pub(super) async fn one_node(&self, chosen: &Chosen, why: &str) -> Result<Arc<Up>, Status> {
        let (mut meant, mut names, mut nameless) = (Vec::new(), Vec::new(), Vec::new());
        let connected = Instant::now() + self.settings.patience;
        for node in self.nodes_now()?.iter() {
            let up = node.up(connected.saturating_duration_since(Instant::now())).await;
            let named = chosen.of(&node.name()).is_some();
            match &up {
                Err(status) if !may_answer(node, status, chosen) => {}
                Err(status) if !named => nameless.push(status.clone()),
                Ok(_) if !named => {}
                Ok(_) | Err(_) => {
                    names.push(node.name().to_string());
                    meant.push(up);
                }
            }
        }
        match (meant.pop(), meant.is_empty()) {
            (Some(Ok(up)), true) => Ok(up),
            (Some(Err(status)), true) => {
                Err(Status::unavailable(format!("{}: {}", status.node_name, status.message)))
            }
            (Some(_), false) => Err(Status::failed_precondition(format!(
                "{why}: name one (--node-name): {}",
                names.join(", ")
            ))),
            (None, _) if nameless.is_empty() => {
                Err(Status::not_found("no node of that name is known; see `observer status`"))
            }
            (None, _) => Err(Status::unavailable(nobody_like("no node of that name among those", &nameless))),
        }
    }
}

/// Daemons would refuse what is wrong there as well, each for itself.
fn check(request: &v1::ListIncidentsRequest) -> Result<(), Status> {
    let v1::ListIncidentsRequest { namespaces, pods, state: _, since, limit: _ } = request;
    if let Some(since) = since {
        asked_time("since", *since)?;
    }
    let (namespaces, pods) = (namespaces.clone(), pods.clone());
    let filter = v1::Filter { namespaces, pods, ..v1::Filter::default() };
    let filters = Some(filter).filter(|filter| *filter != v1::Filter::default());
    Chosen::checked(filters.into_iter().collect(), Vec::new(), Purpose::Workloads).map(drop)
}

fn nobody_has(what: &str, missing: &[v1::NodeStatus]) -> Status {
    if missing.is_empty() {
        return Status::not_found(format!("there is {what} on any node"));
    }
    Status::unavailable(nobody_like(&format!("{what} on the nodes"), missing))
}

fn nobody_like(what: &str, missing: &[v1::NodeStatus]) -> String {
    let silent: Vec<_> = missing.iter().map(|one| format!("{} ({})", one.node_name, one.message)).collect();
    format!("there is {what} that answered; these did not: {}", silent.join(", "))
}

fn id_of(told: v1::GetIncidentResponse) -> String {
    told.incident.unwrap_or_default().id
}
