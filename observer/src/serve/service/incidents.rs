//! The service of incidents: lists and watches what is known, has the event loop open and close, and makes stories.

mod past;
mod seen;
mod stream;

use observer_proto::served::incidents_server::Incidents;
use observer_proto::{served, v1};
use prost::Message;
use tonic::{Request as Call, Response, Status};

use self::seen::seen;
pub(crate) use self::stream::IncidentStream;
use super::Service;
use super::asked::wall_time;
use super::export::ExportStream;
use crate::filter::{Filters, Purpose, Scope};
use crate::serve::access::Caller;
use crate::serve::{OpenIncident, Request};
use crate::story;

/// Incidents that are listed where the client names no limit.
const LISTED: usize = 100;
/// The longest note, in characters.
const LONGEST_NOTE: usize = 1_000;
/// The longest id, in bytes: ours have some twenty.
const LONGEST_ID: usize = 64;

#[tonic::async_trait]
impl Incidents for Service {
    type WatchIncidentsStream = IncidentStream;
    type ExportIncidentStream = ExportStream;

    async fn list_incidents(
        &self,
        call: Call<served::ListIncidentsRequest>,
    ) -> Result<Response<served::ListIncidentsResponse>, Status> {
        let (scope, _) = Caller::admit(&call, "ListIncidents")?;
        let request = call.into_inner();
        let state = request.state();
        let served::ListIncidentsRequest { namespaces, pods, state: _, since, limit } = request;
        let chosen = self.chosen(namespaces, pods)?;
        let since = since.map(|since| wall_time("since", since)).transpose()?;
        let limit = if limit == 0 { LISTED } else { limit as usize };
        let of_state = |one: &v1::Incident| match state {
            served::IncidentState::Unspecified => true,
            served::IncidentState::Open => one.state() == v1::IncidentState::Open,
            served::IncidentState::Closed => one.state() == v1::IncidentState::Closed,
        };
        let lately = |one: &v1::Incident| match (since, &one.window_end) {
            (Some(since), Some(end)) => wall_time("window_end", *end).is_ok_and(|end| end >= since),
            (Some(_) | None, _) => true,
        };
        let all = self.book.all();
        let matching = all.iter().filter(|one| of_state(one) && lately(one));
        // What is hidden from somebody must not be found out by filters either.
        let told = matching.filter_map(|one| seen(&scope, one)).filter(|one| chosen.has(one));
        let told: Vec<v1::Incident> = told.collect();
        let total = told.len() as u64;
        let told = told.iter().take(limit).map(transcoded);
        Ok(Response::new(served::ListIncidentsResponse {
            incidents: super::fitting(told, None),
            total,
            node_name: self.settings.node_name.clone(),
            missing_nodes: Vec::new(),
        }))
    }

    async fn get_incident(
        &self,
        call: Call<served::GetIncidentRequest>,
    ) -> Result<Response<served::GetIncidentResponse>, Status> {
        let (scope, caller) = Caller::admit(&call, "GetIncident")?;
        let _seat = caller.seat()?;
        let mut incident = self.visible(&scope, &call.into_inner().id)?;
        self.note_what_is_gone(&mut incident);
        let (told, windows) = self.material(&scope, &incident).await?;
        let about = incident.clone();
        // It may have a million events to look at: other clients shall not wait for that.
        let story = tokio::task::spawn_blocking(move || story::tell(&about, told, windows));
        let story =
            story.await.map_err(|error| Status::internal(format!("the story was not told: {error}")))?;
        let told = v1::GetIncidentResponse {
            incident: Some(incident),
            timeline: story.timeline,
            omitted: story.omitted,
            node_name: self.settings.node_name.clone(),
        };
        Ok(Response::new(transcoded(&told)))
    }

    async fn watch_incidents(
        &self,
        call: Call<served::WatchIncidentsRequest>,
    ) -> Result<Response<IncidentStream>, Status> {
        let (scope, caller) = Caller::admit(&call, "WatchIncidents")?;
        let served::WatchIncidentsRequest { namespaces, pods } = call.into_inner();
        let chosen = self.chosen(namespaces, pods)?;
        let seat = caller.seat()?;
        Ok(Response::new(IncidentStream::new(&self.book, &self.settings, (scope, chosen), seat)))
    }

    async fn open_incident(
        &self,
        call: Call<served::OpenIncidentRequest>,
    ) -> Result<Response<served::OpenIncidentResponse>, Status> {
        let (scope, caller) = Caller::admit(&call, "OpenIncident")?;
        self.may_change()?;
        let served::OpenIncidentRequest { allow, deny, note } = call.into_inner();
        let note = checked_note(note)?;
        if allow.is_empty() && !scope.is_all() {
            return Err(Status::invalid_argument(
                "say which workloads the incident is about: you may not see all",
            ));
        }
        let filters = self.compile(allow, deny, Purpose::Workloads)?.within(scope.clone());
        let client = caller.name();
        let open = OpenIncident { filters, client, note };
        let opened = self.ask(|reply| Request::OpenIncident { open, reply }).await??;
        let incident = seen(&scope, &opened).map(|incident| transcoded(&incident));
        Ok(Response::new(served::OpenIncidentResponse {
            incident,
            others: Vec::new(),
            missing_nodes: Vec::new(),
        }))
    }

    async fn close_incident(
        &self,
        call: Call<served::CloseIncidentRequest>,
    ) -> Result<Response<served::CloseIncidentResponse>, Status> {
        let (scope, caller) = Caller::admit(&call, "CloseIncident")?;
        self.may_change()?;
        let served::CloseIncidentRequest { id, note } = call.into_inner();
        let note = checked_note(note)?;
        let known = self.visible(&scope, &id)?;
        sees_all(&scope)?;
        let client = caller.name();
        let closed = self.ask(|reply| Request::CloseIncident { id, client, note, reply }).await?;
        let incident = closed.map_or(known, |closed| v1::Incident::clone(&closed));
        Ok(Response::new(served::CloseIncidentResponse { incident: Some(transcoded(&incident)) }))
    }

    async fn delete_incident(
        &self,
        call: Call<served::DeleteIncidentRequest>,
    ) -> Result<Response<served::DeleteIncidentResponse>, Status> {
        let (scope, caller) = Caller::admit(&call, "DeleteIncident")?;
        self.may_change()?;
        let id = call.into_inner().id;
        self.visible(&scope, &id)?;
        sees_all(&scope)?;
        let client = caller.name();
        self.ask(|reply| Request::DeleteIncident { id, client, reply }).await?;
        Ok(Response::new(served::DeleteIncidentResponse {}))
    }

    async fn export_incident(
        &self,
        call: Call<served::ExportIncidentRequest>,
    ) -> Result<Response<ExportStream>, Status> {
        let (scope, caller) = Caller::admit(&call, "ExportIncident")?;
        let seat = caller.seat()?;
        self.export(scope, seat, call.into_inner()).await.map(Response::new)
    }

    async fn compare_windows(
        &self,
        call: Call<served::CompareWindowsRequest>,
    ) -> Result<Response<v1::CompareWindowsResponse>, Status> {
        let (scope, caller) = Caller::admit(&call, "CompareWindows")?;
        let _seat = caller.seat()?;
        self.compare(scope, call.into_inner()).await.map(Response::new)
    }
}

/// Which incidents are wanted.
#[derive(Clone, Debug)]
pub(super) struct Chosen(Option<Filters>);

impl Chosen {
    /// One of its workloads is one that is wanted.
    pub(super) fn has(&self, incident: &v1::Incident) -> bool {
        let Self(Some(filters)) = self else { return true };
        incident.workloads.iter().any(|workload| filters.told_workload(workload))
    }
}

impl Service {
    fn chosen(&self, namespaces: Vec<String>, pods: Vec<String>) -> Result<Chosen, Status> {
        if namespaces.is_empty() && pods.is_empty() {
            return Ok(Chosen(None));
        }
        let filter = served::Filter { namespaces, pods, ..served::Filter::default() };
        Ok(Chosen(Some(self.compile(vec![filter], Vec::new(), Purpose::Workloads)?)))
    }

    /// The incident with that id, as far as it may be seen; one that may not be seen is not there.
    pub(super) fn visible(&self, scope: &Scope, id: &str) -> Result<v1::Incident, Status> {
        let known = if id.len() <= LONGEST_ID { self.book.get(id) } else { None };
        known.and_then(|incident| seen(scope, &incident)).ok_or_else(|| {
            let id: String = id.chars().take(LONGEST_ID).collect();
            Status::not_found(format!("there is no incident {id:?}; ListIncidents tells which there are"))
        })
    }
}

fn sees_all(scope: &Scope) -> Result<(), Status> {
    if scope.is_all() {
        return Ok(());
    }
    Err(Status::permission_denied(
        "only a client that may see the whole node may close or delete an incident",
    ))
}

fn checked_note(note: String) -> Result<String, Status> {
    if note.chars().count() > LONGEST_NOTE {
        return Err(Status::invalid_argument(format!("the note has more than {LONGEST_NOTE} characters")));
    }
    Ok(note)
}

/// The same message for the server's own types: the same bytes, read by the other code.
pub(super) fn transcoded<F: Message, T: Message + Default>(from: &F) -> T {
    T::decode(from.encode_to_vec().as_slice()).unwrap_or_default()
}
