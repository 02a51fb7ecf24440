//! From CRI's messages to facts.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_cri::v1::{
    Container, ContainerState, ContainerStatus, NamespaceMode, PodSandbox, PodSandboxState, PodSandboxStatus,
};

use super::super::{ContainerFact, PodFact};
use crate::event::{RuntimeEnd, WallTime};

const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";
const NAME_LABEL: &str = "io.kubernetes.pod.name";
const UID_LABEL: &str = "io.kubernetes.pod.uid";
const CONTAINER_LABEL: &str = "io.kubernetes.container.name";
/// The longest reason and message of an end that are kept, in bytes.
const REASON_MAX: usize = 128;
const MESSAGE_MAX: usize = 1024;

/// A pod from the list of sandboxes, which tells no addresses.
pub(super) fn listed_pod(sandbox: PodSandbox) -> PodFact {
    let metadata = sandbox.metadata.unwrap_or_default();
    PodFact {
        uid: metadata.uid,
        namespace: metadata.namespace,
        name: metadata.name,
        sandbox_id: sandbox.id,
        labels: pod_labels(sandbox.labels),
        addresses: Vec::new(),
        host_network: false,
        created: wall_time(sandbox.created_at),
        ready: sandbox.state == PodSandboxState::SandboxReady as i32,
    }
}

/// A pod from its sandbox's status.
pub(super) fn pod(status: PodSandboxStatus) -> PodFact {
    let metadata = status.metadata.unwrap_or_default();
    let ready = status.state == PodSandboxState::SandboxReady as i32;
    let options = status.linux.and_then(|linux| linux.namespaces).and_then(|spaces| spaces.options);
    let host_network = options.is_some_and(|options| options.network == NamespaceMode::Node as i32);
    let network = status.network.filter(|_| ready && !host_network).unwrap_or_default();
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|ip| ip.ip)) {
        // What is no address is an empty text: the network is not there yet.
        if let Ok(address) = ip.parse()
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    PodFact {
        uid: metadata.uid,
        namespace: metadata.namespace,
        name: metadata.name,
        sandbox_id: status.id,
        labels: pod_labels(status.labels),
        addresses,
        host_network,
        created: wall_time(status.created_at),
        ready,
    }
}

/// What a container's own labels tell of its pod.
pub(super) fn pod_of_container(container: &Container) -> PodFact {
    let label = |key| container.labels.get(key).cloned().unwrap_or_default();
    PodFact {
        uid: label(UID_LABEL),
        namespace: label(NAMESPACE_LABEL),
        name: label(NAME_LABEL),
        sandbox_id: container.pod_sandbox_id.clone(),
        ..PodFact::default()
    }
}

/// A container and its pod.
pub(super) fn container(mut container: Container, pod: Arc<PodFact>) -> ContainerFact {
    let label = container.labels.remove(CONTAINER_LABEL);
    let (name, attempt) = match container.metadata {
        Some(metadata) => (metadata.name, Some(metadata.attempt)),
        None => (String::new(), None),
    };
    let image = container.image.unwrap_or_default();
    ContainerFact {
        container_id: container.id,
        sandbox: false,
        name: label.filter(|label| !label.is_empty()).unwrap_or(name),
        // The kubelet asks for images by id, and passes the name that its user wrote beside it.
        image: if image.user_specified_image.is_empty() { image.image } else { image.user_specified_image },
        attempt,
        pod,
    }
}

/// A pod's sandbox as a container.
pub(super) fn sandbox(pod: Arc<PodFact>) -> ContainerFact {
    ContainerFact {
        container_id: pod.sandbox_id.clone(),
        sandbox: true,
        name: String::new(),
        image: String::new(),
        attempt: None,
        pod,
    }
}

/// How a container ended; `None` where it has not.
pub(super) fn end(status: ContainerStatus) -> Option<RuntimeEnd> {
    (status.state == ContainerState::ContainerExited as i32).then(|| RuntimeEnd {
        reason: bounded(status.reason, REASON_MAX),
        exit_code: status.exit_code,
        message: bounded(status.message, MESSAGE_MAX),
        finished: wall_time(status.finished_at),
        attempt: status.metadata.map(|metadata| metadata.attempt),
    })
}

fn bounded(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text.shrink_to_fit();
    text
}

/// It is an image's id, not a name.
pub(super) fn is_image_id(image: &str) -> bool {
    let digits = image.strip_prefix("sha256:").unwrap_or(image);
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The pod's labels, less those that the kubelet adds to tell the runtime whose sandbox it is.
fn pod_labels(labels: HashMap<String, String>) -> BTreeMap<String, String> {
    let added = [NAMESPACE_LABEL, NAME_LABEL, UID_LABEL];
    labels.into_iter().filter(|(key, _)| !added.contains(&key.as_str())).collect()
}

fn wall_time(nanoseconds: i64) -> Option<WallTime> {
    u64::try_from(nanoseconds).ok().filter(|time| *time > 0).map(WallTime)
}

#[cfg(test)]
mod tests {
    use k8s_cri::v1::{
        ContainerMetadata, ImageSpec, LinuxPodSandboxStatus, Namespace, NamespaceOption, PodIp,
        PodSandboxNetworkStatus,
    };

    use super::*;

    fn status(network: NamespaceMode, ip: &str, more: &[&str]) -> PodSandboxStatus {
        let options = NamespaceOption { network: network as i32, ..NamespaceOption::default() };
        PodSandboxStatus {
            network: Some(PodSandboxNetworkStatus {
                ip: ip.into(),
                additional_ips: more.iter().map(|ip| PodIp { ip: (*ip).into() }).collect(),
            }),
            linux: Some(LinuxPodSandboxStatus { namespaces: Some(Namespace { options: Some(options) }) }),
            ..PodSandboxStatus::default()
        }
    }

    #[test]
    fn addresses_are_the_pods_own() {
        let own = pod(status(NamespaceMode::Pod, "10.1.0.4", &["fd00::4", "10.1.0.4", ""]));
        assert_eq!(own.addresses, ["10.1.0.4".parse::<IpAddr>().unwrap(), "fd00::4".parse().unwrap()]);
        assert!(!own.host_network);
        let host = pod(status(NamespaceMode::Node, "192.0.2.1", &[]));
        assert!(host.host_network && host.addresses.is_empty());
        let gone = PodSandboxStatus {
            state: PodSandboxState::SandboxNotready as i32,
            ..status(NamespaceMode::Pod, "10.1.0.4", &[])
        };
        assert!(pod(gone).addresses.is_empty());
        assert!(pod(status(NamespaceMode::Pod, "", &[])).addresses.is_empty());
        assert_eq!(pod(PodSandboxStatus::default()).created, None);
    }

    #[test]
    fn an_end_is_bounded_and_one_that_was_not_is_none() {
        let running = ContainerStatus { state: 1, message: "ü".repeat(2000), ..ContainerStatus::default() };
        assert_eq!(end(running.clone()), None);
        let ended = end(ContainerStatus { state: 2, exit_code: 128, finished_at: 7, ..running }).unwrap();
        assert_eq!((ended.exit_code, ended.finished, ended.attempt), (128, Some(WallTime(7)), None));
        assert_eq!(ended.message, "ü".repeat(MESSAGE_MAX / 2));
    }

    #[test]
    fn labels_that_the_kubelet_adds_are_left_out() {
        let labels = [(NAME_LABEL, "web"), (UID_LABEL, "u"), (NAMESPACE_LABEL, "shop"), ("app", "web")];
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let pod = listed_pod(PodSandbox { labels, ..PodSandbox::default() });
        assert_eq!(pod.labels, BTreeMap::from([("app".to_owned(), "web".to_owned())]));
    }

    #[test]
    fn the_images_name_as_written_wins() {
        let id = format!("sha256:{}", "ab".repeat(32));
        let image =
            ImageSpec { image: id.clone(), user_specified_image: "web:1".into(), ..ImageSpec::default() };
        let metadata = ContainerMetadata { name: "web".into(), attempt: 3 };
        let listed = Container { image: Some(image), metadata: Some(metadata), ..Container::default() };
        let fact = container(listed, Arc::default());
        assert_eq!((fact.name.as_str(), fact.image.as_str(), fact.attempt), ("web", "web:1", Some(3)));
        assert!(is_image_id(&id));
        assert!(!is_image_id("docker.io/library/web:1"));
    }
}
