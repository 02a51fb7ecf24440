//! Incidents of all nodes. An id is one node's; where two have the same, it is named as `NODE/ID`.

use std::cmp::Reverse;
use std::sync::Arc;

use observer_proto::v1;
use observer_proto::v1::incidents_server::Incidents;
use tonic::{Code, Request as Call, Response, Status};

use super::super::call::{Answers, Asker, Visit, ask};
use super::super::chosen::Chosen;
use super::super::node::Up;
use super::watching::Watching;
use super::{Answered, Service};
use crate::serve::fitting;

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
        let (asker, _) = Self::admit(&call, "ListIncidents")?;
        let request = call.into_inner();
        let limit = if request.limit == 0 { LISTED } else { request.limit as usize };
        let Answers { answers, missing } = self
            .ask(&asker, &Chosen::default(), |Visit { asker, mut incidents, .. }| {
                let request = asker.request(request.clone());
                async move { asker.heeded(incidents.list_incidents(request).await?) }
            })
            .await?;
        let total = answers.iter().map(|(.., answer)| answer.total).sum();
        let mut incidents: Vec<_> = answers.into_iter().flat_map(|(.., answer)| answer.incidents).collect();
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
        let (asker, _seat) = Self::seat(&call, "GetIncident")?;
        Ok(Response::new(self.owner(&asker, &call.into_inner().id).await?.told))
    }

    async fn watch_incidents(
        &self,
        call: Call<v1::WatchIncidentsRequest>,
    ) -> Result<Response<Self::WatchIncidentsStream>, Status> {
        let (asker, seat) = Self::seat(&call, "WatchIncidents")?;
        let stream = Watching::open(asker, seat, call.into_inner(), &self.nodes, self.settings.patience);
        Ok(Response::new(stream))
    }

    async fn open_incident(
        &self,
        call: Call<v1::OpenIncidentRequest>,
    ) -> Result<Response<v1::OpenIncidentResponse>, Status> {
        let (asker, _) = Self::admit(&call, "OpenIncident")?;
        let v1::OpenIncidentRequest { allow, deny, note } = call.into_inner();
        if allow.is_empty() && self.nodes_now()?.len() > 1 {
            return Err(Status::invalid_argument(
                "allow: missing; a relay opens incidents about workloads, or about a node that is named (node_names)",
            ));
        }
        let Answers { answers, missing } = self
            .ask(&asker, &Chosen::new(allow, deny), |Visit { asker, mut incidents, filters, .. }| {
                let (allow, deny) = filters;
                let request = asker.request(v1::OpenIncidentRequest { allow, deny, note: note.clone() });
                async move { known(incidents.open_incident(request).await, &asker) }
            })
            .await?;
        let mut opened = answers.into_iter().filter_map(|(.., answer)| answer?.incident);
        let Some(incident) = opened.next() else {
            return Err(nobody_has("no container that matches", &missing));
        };
        let others = opened.collect();
        Ok(Response::new(v1::OpenIncidentResponse { incident: Some(incident), others }))
    }

    async fn close_incident(
        &self,
        call: Call<v1::CloseIncidentRequest>,
    ) -> Result<Response<v1::CloseIncidentResponse>, Status> {
        let (asker, _) = Self::admit(&call, "CloseIncident")?;
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
        let (asker, _) = Self::admit(&call, "DeleteIncident")?;
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
        let (asker, seat) = Self::seat(&call, "ExportIncident")?;
        let v1::ExportIncidentRequest { of, allow, deny } = call.into_inner();
        let chosen = Chosen::new(allow, deny);
        let (up, of) = match of {
            Some(Of::Id(id)) => {
                let Owner { up, told } = self.owner(&asker, &id).await?;
                (up, Some(Of::Id(id_of(told))))
            }
            other => (self.one_node(&chosen, "a file is of one node").await?, other),
        };
        let (allow, deny) = chosen.of(&up.name).unwrap_or_default();
        let request = v1::ExportIncidentRequest { of, allow, deny };
        let answer = up.incidents.clone().export_incident(asker.request(request)).await?;
        Ok(Response::new(super::through(asker.heeded(answer)?, seat)))
    }

    async fn compare_windows(
        &self,
        call: Call<v1::CompareWindowsRequest>,
    ) -> Result<Response<v1::CompareWindowsResponse>, Status> {
        let (asker, _seat) = Self::seat(&call, "CompareWindows")?;
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
        let (allow, deny) = chosen.of(&up.name).unwrap_or_default();
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
        let of =
            v1::Filter { node_names: node.map(str::to_owned).into_iter().collect(), ..Default::default() };
        let chosen = if node.is_some() { Chosen::new(vec![of], Vec::new()) } else { Chosen::default() };
        let patience = self.settings.patience + READING;
        let visit = |Visit { up, asker, mut incidents, .. }| {
            let request = asker.request(v1::GetIncidentRequest { id: id.to_owned() });
            async move { Ok(known(incidents.get_incident(request).await, &asker)?.map(|told| (up, told))) }
        };
        let Answers { answers, missing } = ask(asker, &self.nodes_now()?, &chosen, patience, visit).await?;
        let mut owners: Vec<_> = answers.into_iter().filter_map(|(.., answer)| answer).collect();
        let Some((up, told)) = owners.pop() else {
            return Err(nobody_has(&format!("no incident {id:?}"), &missing));
        };
        if owners.is_empty() {
            return Ok(Owner { up, told });
        }
        let names: Vec<_> = owners.iter().map(|(up, _)| &*up.name).chain([&*up.name]).collect();
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
        let (mut meant, mut names) = (Vec::new(), Vec::new());
        for node in self.nodes_now()?.iter() {
            let up = node.up(self.settings.patience).await;
            let asked_elsewhere =
                up.as_ref().is_err_and(|status| status.state() == v1::NodeState::Unspecified);
            if !asked_elsewhere && chosen.of(&node.name()).is_some() {
                names.push(node.name().to_string());
                meant.push(up);
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
            (None, _) => Err(Status::not_found("no node of that name is known; see `observer status`")),
        }
    }
}

/// The answer, or that it has nothing like that.
fn known<T>(answer: Result<Response<T>, Status>, asker: &Asker) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => asker.heeded(answer).map(Some),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}

fn nobody_has(what: &str, missing: &[v1::NodeStatus]) -> Status {
    if missing.is_empty() {
        return Status::not_found(format!("there is {what} on any node"));
    }
    let silent: Vec<_> = missing.iter().map(|one| format!("{} ({})", one.node_name, one.message)).collect();
    Status::unavailable(format!(
        "there is {what} on the nodes that answered; these did not: {}",
        silent.join(", ")
    ))
}

fn id_of(told: v1::GetIncidentResponse) -> String {
    told.incident.unwrap_or_default().id
}
