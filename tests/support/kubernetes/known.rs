//! What a daemon knows of the API's objects.

use anyhow::{Context, Result};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{GetStatusRequest, Status};

use crate::daemon::Daemon;

/// The daemon's status.
pub async fn status(daemon: &Daemon) -> Result<Status> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")
}

/// Objects of the cluster that the daemon knows.
pub async fn objects(daemon: &Daemon) -> Result<u64> {
    let tables = status(daemon).await?.tables;
    let table = tables.iter().find(|table| table.name == "cluster_objects");
    table.map(|table| table.entries).context("no table")
}
