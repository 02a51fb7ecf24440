//! What is offered to clients: the service under both of its names.

use observer_proto::served::incidents_server::IncidentsServer;
use observer_proto::served::observer_server::ObserverServer;
use tonic::service::Routes;

use super::Service;
use crate::serve::{LONGEST_ANSWER_BYTES, LONGEST_REQUEST_BYTES};

impl Service {
    /// Where its calls are found.
    pub(crate) fn routes(self) -> Routes {
        let incidents = IncidentsServer::new(self.clone())
            .max_decoding_message_size(LONGEST_REQUEST_BYTES)
            .max_encoding_message_size(LONGEST_ANSWER_BYTES);
        let observer = ObserverServer::new(self)
            .max_decoding_message_size(LONGEST_REQUEST_BYTES)
            .max_encoding_message_size(LONGEST_ANSWER_BYTES);
        Routes::new(observer).add_service(incidents)
    }
}
