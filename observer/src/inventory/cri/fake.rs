//! A CRI server for tests, in this process: it tells what it is told to tell.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use k8s_cri::v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use k8s_cri::v1::*;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What the server knows, and how often it was asked.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) sandboxes: Vec<PodSandboxStatus>,
    pub(super) containers: Vec<Container>,
    pub(super) image_names: HashMap<String, String>,
    /// What it says of single containers.
    pub(super) statuses: HashMap<String, ContainerStatus>,
    /// Its name and version, where it is another's.
    pub(super) poses_as: Option<(&'static str, &'static str)>,
    /// It has `GetContainerEvents`: each call gets the next of these streams.
    pub(super) streams: Option<VecDeque<mpsc::Receiver<Result<ContainerEventResponse, Status>>>>,
    /// It takes every call and answers none.
    pub(super) silent: bool,
    pub(super) calls: HashMap<&'static str, u32>,
}

/// A running server; it stops, connections and all, when this is dropped.
pub(super) struct Fake {
    pub(super) world: Arc<Mutex<World>>,
    socket: PathBuf,
    /// Its own, so that its end is the end of its connections too.
    runtime: Option<Runtime>,
}

impl Fake {
    /// Serves `world` at `socket`.
    pub(super) fn start(socket: &Path, world: &Arc<Mutex<World>>) -> Self {
        let _absent = std::fs::remove_file(socket);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = {
            let _entered = runtime.enter();
            UnixListener::bind(socket).unwrap()
        };
        let service = RuntimeServiceServer::new(Service { world: Arc::clone(world) });
        let incoming = UnixListenerStream::new(listener);
        runtime.spawn(async { Server::builder().add_service(service).serve_with_incoming(incoming).await });
        Self { world: Arc::clone(world), socket: socket.to_owned(), runtime: Some(runtime) }
    }

    /// How often a call was made.
    pub(super) fn calls(&self, call: &str) -> u32 {
        self.world.lock().unwrap().calls.get(call).copied().unwrap_or_default()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let _gone = std::fs::remove_file(&self.socket);
    }
}

/// A ready sandbox with an address.
pub(super) fn sandbox(id: &str, name: &str, address: &str) -> PodSandboxStatus {
    PodSandboxStatus {
        id: id.into(),
        metadata: Some(PodSandboxMetadata {
            name: name.into(),
            uid: format!("uid-{name}"),
            namespace: "shop".into(),
            attempt: 0,
        }),
        created_at: 5,
        network: Some(PodSandboxNetworkStatus { ip: address.into(), additional_ips: Vec::new() }),
        labels: HashMap::from([("app".into(), name.into())]),
        ..PodSandboxStatus::default()
    }
}

/// A container of that sandbox.
pub(super) fn container(id: &str, sandbox_id: &str, name: &str, image: &str) -> Container {
    Container {
        id: id.into(),
        pod_sandbox_id: sandbox_id.into(),
        metadata: Some(ContainerMetadata { name: name.into(), attempt: 2 }),
        image: Some(ImageSpec { image: image.into(), ..ImageSpec::default() }),
        ..Container::default()
    }
}

struct Service {
    world: Arc<Mutex<World>>,
}

impl Service {
    async fn answer<T>(
        &self,
        call: &'static str,
        answer: impl FnOnce(&mut World) -> Option<T>,
    ) -> Result<Response<T>, Status> {
        let answer = {
            let mut world = self.world.lock().unwrap();
            *world.calls.entry(call).or_default() += 1;
            if world.silent { None } else { Some(answer(&mut world)) }
        };
        match answer {
            Some(Some(answer)) => Ok(Response::new(answer)),
            Some(None) => Err(Status::not_found("no such thing")),
            None => std::future::pending().await,
        }
    }
}

/// The whole trait: the calls that are given, and `Unimplemented` for the rest.
macro_rules! runtime_service {
    ({ $($given:tt)* } $($name:ident $request:ident $response:ident;)*) => {
        #[tonic::async_trait]
        impl RuntimeService for Service {
            $($given)*
            $(
                async fn $name(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                    Err(Status::unimplemented(stringify!($name)))
                }
            )*
        }
    };
}

runtime_service! {
    {
        type GetContainerEventsStream = ReceiverStream<Result<ContainerEventResponse, Status>>;

        async fn version(&self, _: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
            self.answer("version", |world| {
                let (name, version) = world.poses_as.unwrap_or(("fake", "1"));
                let (runtime_name, runtime_version) = (name.to_owned(), version.to_owned());
                Some(VersionResponse { runtime_name, runtime_version, ..VersionResponse::default() })
            })
            .await
        }

        async fn list_pod_sandbox(
            &self,
            _: Request<ListPodSandboxRequest>,
        ) -> Result<Response<ListPodSandboxResponse>, Status> {
            self.answer("list_pod_sandbox", |world| {
                let items = world.sandboxes.iter().cloned().map(|status| PodSandbox {
                    id: status.id,
                    metadata: status.metadata,
                    state: status.state,
                    created_at: status.created_at,
                    labels: status.labels,
                    ..PodSandbox::default()
                });
                Some(ListPodSandboxResponse { items: items.collect() })
            })
            .await
        }

        async fn pod_sandbox_status(
            &self,
            request: Request<PodSandboxStatusRequest>,
        ) -> Result<Response<PodSandboxStatusResponse>, Status> {
            let id = request.into_inner().pod_sandbox_id;
            self.answer("pod_sandbox_status", |world| {
                let status = world.sandboxes.iter().find(|sandbox| sandbox.id == id)?.clone();
                Some(PodSandboxStatusResponse { status: Some(status), ..PodSandboxStatusResponse::default() })
            })
            .await
        }

        async fn list_containers(
            &self,
            request: Request<ListContainersRequest>,
        ) -> Result<Response<ListContainersResponse>, Status> {
            let filter = request.into_inner().filter;
            let call = if filter.is_some() { "one_container" } else { "list_containers" };
            self.answer(call, |world| {
                let wanted = |id: &str| filter.as_ref().is_none_or(|filter| id.starts_with(&filter.id));
                let containers = world.containers.iter().filter(|container| wanted(&container.id));
                Some(ListContainersResponse { containers: containers.cloned().collect() })
            })
            .await
        }

        async fn container_status(
            &self,
            request: Request<ContainerStatusRequest>,
        ) -> Result<Response<ContainerStatusResponse>, Status> {
            let id = request.into_inner().container_id;
            self.answer("container_status", |world| {
                if let Some(status) = world.statuses.get(&id).cloned() {
                    let status = Some(status);
                    return Some(ContainerStatusResponse { status, ..ContainerStatusResponse::default() });
                }
                let image = ImageSpec { image: world.image_names.get(&id)?.clone(), ..ImageSpec::default() };
                let status = ContainerStatus { id, image: Some(image), ..ContainerStatus::default() };
                Some(ContainerStatusResponse { status: Some(status), ..ContainerStatusResponse::default() })
            })
            .await
        }

        async fn get_container_events(
            &self,
            _: Request<GetEventsRequest>,
        ) -> Result<Response<Self::GetContainerEventsStream>, Status> {
            let next = self.answer("get_container_events", |world| {
                Some(world.streams.as_mut().map(VecDeque::pop_front))
            });
            match next.await?.into_inner() {
                None => Err(Status::unimplemented("as containerd 1.6")),
                Some(None) => Err(Status::internal("pods are not enabled to produce container events")),
                Some(Some(stream)) => Ok(Response::new(ReceiverStream::new(stream))),
            }
        }
    }
    run_pod_sandbox RunPodSandboxRequest RunPodSandboxResponse;
    stop_pod_sandbox StopPodSandboxRequest StopPodSandboxResponse;
    remove_pod_sandbox RemovePodSandboxRequest RemovePodSandboxResponse;
    create_container CreateContainerRequest CreateContainerResponse;
    start_container StartContainerRequest StartContainerResponse;
    stop_container StopContainerRequest StopContainerResponse;
    remove_container RemoveContainerRequest RemoveContainerResponse;
    update_container_resources UpdateContainerResourcesRequest UpdateContainerResourcesResponse;
    reopen_container_log ReopenContainerLogRequest ReopenContainerLogResponse;
    exec_sync ExecSyncRequest ExecSyncResponse;
    exec ExecRequest ExecResponse;
    attach AttachRequest AttachResponse;
    port_forward PortForwardRequest PortForwardResponse;
    container_stats ContainerStatsRequest ContainerStatsResponse;
    list_container_stats ListContainerStatsRequest ListContainerStatsResponse;
    pod_sandbox_stats PodSandboxStatsRequest PodSandboxStatsResponse;
    list_pod_sandbox_stats ListPodSandboxStatsRequest ListPodSandboxStatsResponse;
    update_runtime_config UpdateRuntimeConfigRequest UpdateRuntimeConfigResponse;
    status StatusRequest StatusResponse;
    checkpoint_container CheckpointContainerRequest CheckpointContainerResponse;
    list_metric_descriptors ListMetricDescriptorsRequest ListMetricDescriptorsResponse;
    list_pod_sandbox_metrics ListPodSandboxMetricsRequest ListPodSandboxMetricsResponse;
    runtime_config RuntimeConfigRequest RuntimeConfigResponse;
}
