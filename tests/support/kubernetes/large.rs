//! A pod as large as they usually are.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, EnvVar, Pod, PodCondition, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};

use super::pod;

/// A pod with all that usual ones have: three containers, volumes, probes' figures, conditions, managed fields.
pub fn large_pod(number: u32) -> Pod {
    let address = IpAddr::from((0x0af4_0000_u32 + number).to_be_bytes());
    let deployment = format!("deployment-{}", number % 400);
    let name = format!("{deployment}-7d9f8c6b5-{number:05}");
    let owner = format!("{deployment}-7d9f8c6b5");
    let node = format!("node-{}", number % 100);
    let mut pod = pod("production", &name, &node, &[address], Some(("ReplicaSet", &owner)));
    let text = |prefix: &str, number: usize| format!("{prefix}-{number:08}");
    let labels = (0..8).map(|label| (text("app.kubernetes.io/label", label), deployment.clone()));
    pod.metadata.labels = Some(labels.chain([("pod-template-hash".into(), "7d9f8c6b5".into())]).collect());
    pod.metadata.annotations =
        Some((0..6).map(|at| (text("annotation.example.com/key", at), "v".repeat(100))).collect());
    let fields = serde_json::json!({ "f:metadata": { "f:labels": (0..40).map(|at| (text("f:field", at),
        serde_json::json!({}))).collect::<serde_json::Map<_, _>>() } });
    let entry = ManagedFieldsEntry { fields_v1: Some(FieldsV1(fields)), ..ManagedFieldsEntry::default() };
    pod.metadata.managed_fields = Some(vec![entry.clone(), entry]);
    let names = ["app", "proxy", "logs"];
    if let Some(spec) = &mut pod.spec {
        spec.containers = names
            .map(|name| Container {
                name: name.to_owned(),
                image: Some(format!("registry.example.com/team/{name}:1.2.3")),
                env: Some(
                    (0..12)
                        .map(|at| EnvVar {
                            name: text("VARIABLE", at),
                            value: Some("value-of-it".to_owned()),
                            ..EnvVar::default()
                        })
                        .collect(),
                ),
                volume_mounts: Some(
                    (0..4)
                        .map(|at| VolumeMount {
                            name: text("volume", at),
                            mount_path: text("/var/lib/some/where", at),
                            ..VolumeMount::default()
                        })
                        .collect(),
                ),
                ..Container::default()
            })
            .into();
    }
    if let Some(status) = &mut pod.status {
        status.conditions = Some(
            ["Initialized", "Ready", "ContainersReady", "PodScheduled"]
                .map(|name| PodCondition {
                    type_: name.to_owned(),
                    status: "True".to_owned(),
                    ..PodCondition::default()
                })
                .into(),
        );
        status.container_statuses = Some(
            names
                .map(|name| ContainerStatus {
                    name: name.to_owned(),
                    container_id: Some(format!("containerd://{number:064x}")),
                    image: format!("registry.example.com/team/{name}:1.2.3"),
                    image_id: format!("registry.example.com/team/{name}@sha256:{number:064x}"),
                    ready: true,
                    ..ContainerStatus::default()
                })
                .into(),
        );
    }
    pod
}
