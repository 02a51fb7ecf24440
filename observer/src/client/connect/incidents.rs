//! The calls of the service of incidents.

use std::time::Duration;

use observer_proto::v1::{
    CloseIncidentRequest, DeleteIncidentRequest, GetIncidentRequest, GetIncidentResponse, Incident,
    ListIncidentsRequest, ListIncidentsResponse, OpenIncidentRequest, OpenIncidentResponse,
    WatchIncidentsRequest, WatchIncidentsResponse,
};

use super::super::Error;
use super::{Answers, Client};

/// How long the daemon may read what is recorded, at most.
const READING: Duration = Duration::from_secs(30);

impl Client {
    /// Lists incidents.
    pub(crate) async fn incidents(
        &self,
        request: ListIncidentsRequest,
    ) -> Result<ListIncidentsResponse, Error> {
        let mut grpc = self.incidents.clone();
        self.answer("listing incidents", grpc.list_incidents(request)).await
    }

    /// Asks for an incident and its story.
    pub(crate) async fn incident(&self, id: &str) -> Result<GetIncidentResponse, Error> {
        let mut grpc = self.incidents.clone();
        let patient = Self { timeout: self.timeout + READING, ..self.clone() };
        patient
            .answer("asking for an incident", grpc.get_incident(GetIncidentRequest { id: id.to_owned() }))
            .await
    }

    /// Watches incidents.
    pub(crate) async fn watch_incidents(
        &self,
        request: WatchIncidentsRequest,
    ) -> Result<Answers<WatchIncidentsResponse>, Error> {
        let mut grpc = self.incidents.clone();
        self.stream("watching incidents", grpc.watch_incidents(request)).await
    }

    /// Opens an incident; at a relay one on each node that has such containers.
    pub(crate) async fn open_incident(
        &self,
        request: OpenIncidentRequest,
    ) -> Result<OpenIncidentResponse, Error> {
        let mut grpc = self.incidents.clone();
        self.answer("opening an incident", grpc.open_incident(request)).await
    }

    /// Closes an incident.
    pub(crate) async fn close_incident(&self, request: CloseIncidentRequest) -> Result<Incident, Error> {
        let mut grpc = self.incidents.clone();
        let response = self.answer("closing an incident", grpc.close_incident(request)).await?;
        Ok(response.incident.unwrap_or_default())
    }

    /// Deletes an incident.
    pub(crate) async fn delete_incident(&self, id: &str) -> Result<(), Error> {
        let mut grpc = self.incidents.clone();
        let request = DeleteIncidentRequest { id: id.to_owned() };
        self.answer("deleting an incident", grpc.delete_incident(request)).await.map(|_| ())
    }
}
