//! What a container that this process runs in hides of the machine, and by which setting of its pod it would show.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::cgroups::Cgroups;
use super::kubernetes::ApiAccess;
use crate::status::{Capability, Missing};

/// The kernel's number of the first PID namespace, which never changes.
const FIRST_PID_NAMESPACE: u64 = 0xefff_fffc;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The number of this process's PID namespace.
    pid_namespace: Option<u64>,
    /// This process is in the network namespace of the node.
    node_network: Option<bool>,
    /// The hierarchy of cgroups shows its root.
    whole_hierarchy: Option<bool>,
    /// This is a pod that could ask the Kubernetes API, is to, and has no token.
    lacks_token: bool,
}

/// What is hidden; nothing, outside of containers, and in one whose pod is as deploy/kubernetes makes it. Whether the
/// Kubernetes API is to be asked where there is one.
pub(crate) fn hidden(asks_api: bool) -> Vec<Capability> {
    let number = |path: &str| fs::metadata(path).ok().map(|namespace| namespace.ino());
    let pid_namespace = number("/proc/self/ns/pid");
    // In another PID namespace the first process is another one, and says nothing.
    let is_first = pid_namespace == Some(FIRST_PID_NAMESPACE);
    // The first process may be kept from everybody's eyes; the kernel's own first thread is where the node is.
    let of_node = number("/proc/1/ns/net").or_else(|| number("/proc/2/ns/net"));
    let networks = number("/proc/self/ns/net").zip(of_node);
    told(Seen {
        pid_namespace,
        node_network: networks.filter(|_| is_first).map(|(own, of_node)| own == of_node),
        whole_hierarchy: Cgroups::find().ok().map(|cgroups| cgroups.is_whole()),
        lacks_token: asks_api && ApiAccess::lacks_token(),
    })
}

fn told(seen: Seen) -> Vec<Capability> {
    let mut hidden = Vec::new();
    let mut hide = |name, reason: &str, consequence: &str, remedy: &str| {
        let [reason, consequence, remedy] = [reason, consequence, remedy].map(str::to_owned);
        hidden.push(Capability { name, missing: Some(Missing { reason, consequence, remedy }) });
    };
    if seen.pid_namespace.is_some_and(|number| number != FIRST_PID_NAMESPACE) {
        hide(
            "node_processes",
            "this process is in a PID namespace of its own",
            "processes are taken for others or show without names, and older connections without theirs",
            "set hostPID: true in its pod",
        );
    }
    if seen.node_network == Some(false) {
        hide(
            "node_network",
            "this process is in another network namespace than the node",
            "connections to Services show without their backends, and the node's own addresses as addresses",
            "set hostNetwork: true in its pod",
        );
    }
    if seen.whole_hierarchy == Some(false) {
        hide(
            "node_cgroups",
            "the cgroup hierarchy that is mounted here is a container's part of it",
            "nothing outside of that can be attributed to containers or units",
            "mount the node's /sys/fs/cgroup at /sys/fs/cgroup",
        );
    }
    if seen.lacks_token {
        hide(
            "cluster_names",
            "there is no token at /var/run/secrets/kubernetes.io/serviceaccount",
            "other nodes' pods, services and what made a pod show without names",
            "set automountServiceAccountToken: true in its pod, or kubernetes to off",
        );
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(seen: Seen) -> Vec<&'static str> {
        told(seen).into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn each_thing_that_is_hidden_is_told_with_its_remedy() {
        let good = Seen {
            pid_namespace: Some(FIRST_PID_NAMESPACE),
            node_network: Some(true),
            whole_hierarchy: Some(true),
            lacks_token: false,
        };
        assert_eq!(names(good), [""; 0]);
        assert_eq!(names(Seen { pid_namespace: Some(4_026_532_190), ..good }), ["node_processes"]);
        assert_eq!(names(Seen { node_network: Some(false), ..good }), ["node_network"]);
        assert_eq!(names(Seen { whole_hierarchy: Some(false), ..good }), ["node_cgroups"]);
        assert_eq!(names(Seen { lacks_token: true, ..good }), ["cluster_names"]);
        let missing = told(Seen { whole_hierarchy: Some(false), ..good }).remove(0).missing.unwrap();
        assert!(missing.remedy.contains("/sys/fs/cgroup"));
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_told_as_hidden() {
        assert_eq!(names(Seen::default()), [""; 0]);
    }
}
