//! Resources: whose something is, by OpenTelemetry's semantic conventions.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::attributes::Attributes;
use crate::event::{Workload, WorkloadKind};

/// Labels that name what a pod is a part of, the first one that it has.
const SERVICE_LABELS: [&str; 2] = ["app.kubernetes.io/instance", "app.kubernetes.io/name"];
/// Kinds of owners that have an attribute of their own.
const OWNERS: [(&str, &str); 6] = [
    ("Deployment", "k8s.deployment.name"),
    ("StatefulSet", "k8s.statefulset.name"),
    ("DaemonSet", "k8s.daemonset.name"),
    ("ReplicaSet", "k8s.replicaset.name"),
    ("Job", "k8s.job.name"),
    ("CronJob", "k8s.cronjob.name"),
];

/// Who tells.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "observer".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The resource of a workload, or of the node.
pub(super) fn resource(workload: Option<&Arc<Workload>>, node_name: &str) -> Resource {
    let mut all = Attributes::default();
    all.text("host.name", node_name);
    match workload.map(Arc::as_ref) {
        Some(workload) => of_workload(&mut all, workload, node_name),
        None => all.text("service.name", node_name),
    }
    Resource { attributes: all.into_inner(), ..Resource::default() }
}

fn of_workload(all: &mut Attributes, workload: &Workload, node_name: &str) {
    let Workload {
        id: _,
        kind,
        namespace,
        pod,
        pod_uid,
        container,
        container_id,
        unit,
        labels: _,
        image,
        restart_count,
        cgroup_id: _,
        sandbox: _,
        owner,
        told: _,
    } = workload;
    all.text("service.name", service_name(workload, node_name));
    all.text("service.namespace", namespace);
    match kind {
        WorkloadKind::Pod => {
            all.text("k8s.node.name", node_name);
            all.text("k8s.namespace.name", namespace);
            all.text("k8s.pod.name", pod);
            all.text("k8s.pod.uid", pod_uid);
            all.text("k8s.container.name", container);
            if let Some(key) = owner.as_deref().and_then(|owner| owner_key(&owner.kind)) {
                all.text(key, owner.as_deref().map_or("", |owner| &owner.name));
            }
            all.known("k8s.container.restart_count", *restart_count);
        }
        WorkloadKind::Container => all.text("container.name", container),
        WorkloadKind::Unit => all.text("systemd.unit", unit),
        WorkloadKind::Host => {}
    }
    all.text("container.id", container_id);
    all.text("container.image.name", image);
}

/// As the conventions for Kubernetes have it: what the pod's labels say, else what made it, else the pod, and so on.
pub(super) fn service_name<'a>(workload: &'a Workload, node_name: &'a str) -> &'a str {
    let label = SERVICE_LABELS.iter().find_map(|label| workload.labels.get(*label));
    let named = label.map(String::as_str).filter(|name| !name.is_empty());
    match workload.kind {
        WorkloadKind::Host => node_name,
        WorkloadKind::Pod | WorkloadKind::Container | WorkloadKind::Unit => {
            named.or(workload.owner.as_deref().map(|owner| owner.name.as_str())).unwrap_or(workload.name())
        }
    }
}

fn owner_key(kind: &str) -> Option<&'static str> {
    OWNERS.iter().find(|(known, _)| *known == kind).map(|(_, key)| *key)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;
    use crate::event::{Owner, examples};
    use crate::export::otlp::attributes::of;

    fn text(resource: &Resource, key: &str) -> String {
        match of(&resource.attributes, key) {
            Some(Value::StringValue(text)) => text.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_pod_of_a_deployment() {
        let mut pod = Workload::clone(&examples::pod(7, "shop", "web-6d4b-x2"));
        pod.owner = Some(Arc::new(Owner { kind: "Deployment".into(), name: "web".into() }));
        let found = resource(Some(&Arc::new(pod.clone())), "node-1");
        let expected = [
            ("host.name", "node-1"),
            ("service.name", "web"),
            ("service.namespace", "shop"),
            ("k8s.node.name", "node-1"),
            ("k8s.namespace.name", "shop"),
            ("k8s.pod.name", "web-6d4b-x2"),
            ("k8s.pod.uid", "uid-7"),
            ("k8s.container.name", "app"),
            ("k8s.deployment.name", "web"),
            ("container.image.name", "registry/app:1"),
        ];
        for (key, value) in expected {
            assert_eq!(text(&found, key), value, "{key}");
        }
        assert_eq!(of(&found.attributes, "k8s.container.restart_count"), Some(&Value::IntValue(0)));
        pod.labels.insert("app.kubernetes.io/name".into(), "shop-web".into());
        assert_eq!(text(&resource(Some(&Arc::new(pod)), "n"), "service.name"), "shop-web");
    }

    #[test]
    fn the_machine_and_nobody() {
        for found in [resource(Some(&examples::host(1)), "node-1"), resource(None, "node-1")] {
            assert_eq!(text(&found, "service.name"), "node-1");
            assert!(of(&found.attributes, "k8s.pod.name").is_none());
        }
    }
}
