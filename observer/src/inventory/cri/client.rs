//! A connection to one runtime: the few calls that are needed, each with a time limit.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    Container, ContainerEventResponse, ContainerFilter, ContainerStatus, ContainerStatusRequest,
    GetEventsRequest, ListContainersRequest, ListPodSandboxRequest, PodSandbox, PodSandboxStatus,
    PodSandboxStatusRequest, VersionRequest,
};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Response, Status, Streaming};
use tower::service_fn;

/// How long a runtime may take to answer for one container.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// How long it may take to list all of them.
const LIST_LIMIT: Duration = Duration::from_secs(10);
/// The longest answer that is taken, the same as the kubelet's.
const MAX_ANSWER: usize = 16 << 20;

/// Why a runtime did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CriError {
    /// There is no socket.
    #[error("there is no socket")]
    Absent,
    /// The socket is somebody else's, or the runtime's CRI service is off.
    #[error("it does not serve version 1 of CRI")]
    Unsupported(#[source] Box<Status>),
    /// It takes too long.
    #[error("{call} was not answered within {} s", limit.as_secs())]
    Timeout {
        /// The CRI call.
        call: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// It says no, or the connection broke.
    #[error("{call} failed")]
    Failed {
        /// The CRI call.
        call: &'static str,
        /// What came instead of an answer.
        #[source]
        source: Box<Status>,
    },
}

impl CriError {
    /// The runtime as a whole is the matter, not the container that was asked for.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Absent | Self::Unsupported(_) | Self::Timeout { .. } => true,
            Self::Failed { source, .. } => source.code() == Code::Unavailable || source.source().is_some(),
        }
    }

    /// In one line, with the first cause.
    pub(super) fn explain(&self) -> String {
        let Self::Failed { source, .. } = self else { return self.to_string() };
        let mut cause = source.source();
        while let Some(deeper) = cause.and_then(|error| error.source()) {
            cause = Some(deeper);
        }
        match cause {
            Some(cause) => format!("{self}: {cause}"),
            None => format!("{self}: {}", source.message()),
        }
    }
}

/// A connection, made by the first call and made again by any call after it broke.
#[derive(Clone, Debug)]
pub(super) struct Client {
    service: RuntimeServiceClient<Channel>,
}

impl Client {
    /// A connection to the runtime at `socket`.
    pub(super) fn new(socket: &Path) -> Self {
        let socket = socket.to_owned();
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(service_fn(
            move |_: Uri| {
                let socket = socket.clone();
                async move { UnixStream::connect(socket).await.map(TokioIo::new) }
            },
        ));
        Self { service: RuntimeServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER) }
    }

    /// The runtime's name and version.
    pub(super) async fn version(&self) -> Result<String, CriError> {
        let mut service = self.service.clone();
        let answer = service.version(VersionRequest { version: "v1".into() });
        let version = limited("Version", CALL_LIMIT, answer).await?;
        Ok(format!("{} {}", version.runtime_name, version.runtime_version))
    }

    /// All pods' sandboxes.
    pub(super) async fn sandboxes(&self) -> Result<Vec<PodSandbox>, CriError> {
        let mut service = self.service.clone();
        let answer = service.list_pod_sandbox(ListPodSandboxRequest { filter: None });
        Ok(limited("ListPodSandbox", LIST_LIMIT, answer).await?.items)
    }

    /// One sandbox; `None` where the runtime does not know it.
    pub(super) async fn sandbox(&self, id: &str) -> Result<Option<PodSandboxStatus>, CriError> {
        let mut service = self.service.clone();
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let answer = limited("PodSandboxStatus", CALL_LIMIT, service.pod_sandbox_status(request)).await;
        // An id that is asked for is a full one, but runtimes also match by its beginning.
        Ok(known(answer)?.and_then(|answer| answer.status).filter(|status| status.id == id))
    }

    /// All containers.
    pub(super) async fn containers(&self) -> Result<Vec<Container>, CriError> {
        let mut service = self.service.clone();
        let answer = service.list_containers(ListContainersRequest { filter: None });
        Ok(limited("ListContainers", LIST_LIMIT, answer).await?.containers)
    }

    /// One container; `None` where the runtime does not know it. (Unlike `ContainerStatus`, the list
    /// tells the sandbox too, so one call is enough.)
    pub(super) async fn container(&self, id: &str) -> Result<Option<Container>, CriError> {
        let mut service = self.service.clone();
        let filter = ContainerFilter { id: id.to_owned(), ..ContainerFilter::default() };
        let answer = service.list_containers(ListContainersRequest { filter: Some(filter) });
        let answer = known(limited("ListContainers", CALL_LIMIT, answer).await)?;
        Ok(answer.and_then(|answer| answer.containers.into_iter().find(|container| container.id == id)))
    }

    /// A container's status; `None` where the runtime does not know it.
    pub(super) async fn status(&self, id: &str) -> Result<Option<ContainerStatus>, CriError> {
        let mut service = self.service.clone();
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let answer = limited("ContainerStatus", CALL_LIMIT, service.container_status(request)).await;
        Ok(known(answer)?.and_then(|answer| answer.status).filter(|status| status.id == id))
    }

    /// The name of a container's image; `None` where the runtime has none for it.
    pub(super) async fn image_name(&self, id: &str) -> Result<Option<String>, CriError> {
        Ok(self.status(id).await?.and_then(|status| status.image).map(|image| image.image))
    }

    /// What happens to containers and sandboxes from now on. The stream begins with the runtime's first word, which
    /// may be long in coming; newer runtimes alone have it.
    pub(super) async fn events(&self) -> Result<Streaming<ContainerEventResponse>, CriError> {
        let mut service = self.service.clone();
        match service.get_container_events(GetEventsRequest {}).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) if status.code() == Code::Unimplemented => {
                Err(CriError::Unsupported(Box::new(status)))
            }
            Err(status) => Err(CriError::Failed { call: "GetContainerEvents", source: Box::new(status) }),
        }
    }
}

async fn limited<T>(
    call: &'static str,
    limit: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CriError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) if status.code() == Code::Unimplemented => {
            Err(CriError::Unsupported(Box::new(status)))
        }
        Ok(Err(status)) => Err(CriError::Failed { call, source: Box::new(status) }),
        Err(_elapsed) => Err(CriError::Timeout { call, limit }),
    }
}

/// Tells "there is no such thing" from other failures.
fn known<T>(answer: Result<T, CriError>) -> Result<Option<T>, CriError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CriError::Failed { source, .. }) if source.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
