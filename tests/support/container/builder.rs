//! What a container is to be, before it is created.

use std::path::Path;

use anyhow::{Context, Result};
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ImageSpec, KeyValue, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, Mount,
};

use super::Container;
use crate::image;
use crate::pod::Pod;

/// A container that does not run yet.
#[derive(Debug)]
pub struct ContainerBuilder<'a> {
    pod: &'a Pod,
    config: ContainerConfig,
    resources: LinuxContainerResources,
    security: LinuxContainerSecurityContext,
}

impl<'a> ContainerBuilder<'a> {
    pub(crate) fn new(pod: &'a Pod, name: &str, command: Vec<String>) -> Self {
        let mut labels = pod.config.labels.clone();
        labels.insert("io.kubernetes.container.name".to_owned(), name.to_owned());
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: image::WORK.to_owned(), ..ImageSpec::default() }),
            log_path: format!("{name}_0.log"),
            labels,
            command,
            ..ContainerConfig::default()
        };
        let (resources, security) = Default::default();
        Self { pod, config, resources, security }
    }

    /// Makes it of another image than [`image::WORK`]; without a command it runs what that says.
    #[must_use]
    pub fn image(mut self, name: &str) -> Self {
        self.config.image = Some(ImageSpec { image: name.to_owned(), ..ImageSpec::default() });
        self
    }

    /// Adds arguments to the image's own program.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.config.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.config.envs.push(KeyValue { key: key.to_owned(), value: value.to_owned() });
        self
    }

    /// Shows it a path of the host.
    #[must_use]
    pub fn mount(mut self, host: &Path, inside: &str, readonly: bool) -> Self {
        let [host_path, container_path] = [host.display().to_string(), inside.to_owned()];
        self.config.mounts.push(Mount { container_path, host_path, readonly, ..Mount::default() });
        self
    }

    /// Runs it with these capabilities, users and profiles; its namespaces are the pod's.
    #[must_use]
    pub fn security(mut self, security: LinuxContainerSecurityContext) -> Self {
        self.security = security;
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.config.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Which try this is of a container that is started again.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        if let Some(metadata) = &mut self.config.metadata {
            metadata.attempt = attempt;
            self.config.log_path = format!("{}_{attempt}.log", metadata.name);
        }
        self
    }

    /// Limits its memory; what takes more is killed by the kernel.
    #[must_use]
    pub fn memory_limit(mut self, bytes: i64) -> Self {
        self.resources.memory_limit_in_bytes = bytes;
        self
    }

    /// Creates the container without starting it.
    pub async fn create(mut self) -> Result<Container> {
        let security = LinuxContainerSecurityContext {
            namespace_options: Some(self.pod.options.clone()),
            ..self.security
        };
        self.config.linux =
            Some(LinuxContainerConfig { resources: Some(self.resources), security_context: Some(security) });
        let mut cri = self.pod.cri.clone();
        let log = self.pod.logs().join(&self.config.log_path);
        let name = self.config.metadata.as_ref().map_or_else(String::new, |metadata| metadata.name.clone());
        let request = CreateContainerRequest {
            pod_sandbox_id: self.pod.id().to_owned(),
            config: Some(self.config),
            sandbox_config: Some(self.pod.config.clone()),
        };
        // Boxed, as the generated futures are large, and a test that starts many containers holds many.
        let response =
            Box::pin(cri.create_container(request)).await.with_context(|| format!("cannot create {name}"))?;
        Ok(Container { id: response.into_inner().container_id, name, log, cri })
    }

    /// Creates and starts the container.
    pub async fn start(self) -> Result<Container> {
        let container = self.create().await?;
        container.start().await?;
        Ok(container)
    }

    /// Creates and starts the container and waits until its log has a JSON line with the field `field`, such as
    /// the server's `listening`.
    pub async fn start_until(self, field: &str) -> Result<Container> {
        let container = self.start().await?;
        container.wait_json(&format!("a line with {field:?}"), |line| line.get(field).is_some()).await?;
        Ok(container)
    }
}
