//! The calls that are about what is recorded: exports and comparisons.

use std::io;
use std::time::Duration;

use observer_proto::v1::{CompareWindowsRequest, CompareWindowsResponse, ExportIncidentRequest};

use super::super::Error;
use super::Client;

/// How long the daemon may read before it answers, at most.
const READING: Duration = Duration::from_mins(1);

impl Client {
    /// Has an incident or a part of time exported; `take` gets the pieces of the file in their order.
    pub(crate) async fn export(
        &self,
        request: ExportIncidentRequest,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut grpc = self.incidents.clone();
        let mut pieces = self.stream("exporting", grpc.export_incident(request)).await?;
        while let Some(piece) = pieces.next(&mut || Ok(())).await? {
            take(&piece?.data)?;
        }
        Ok(())
    }

    /// Has two incidents or parts of time compared.
    pub(crate) async fn compare(
        &self,
        request: CompareWindowsRequest,
    ) -> Result<CompareWindowsResponse, Error> {
        let mut grpc = self.incidents.clone();
        let patient = Self { timeout: self.timeout + READING, ..self.clone() };
        patient.answer("comparing", grpc.compare_windows(request)).await
    }
}
