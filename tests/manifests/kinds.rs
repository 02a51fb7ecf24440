//! The kinds of objects in deploy/kubernetes, each read by its type.

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use observer_tests::manifests::strictly;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the Prometheus operator's definition of a PodMonitor has, as far as it is used here: its names, and no others.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PodMonitorSpec {
    pub(crate) selector: k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
    pub(crate) pod_metrics_endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Endpoint {
    pub(crate) port: String,
    path: String,
    scheme: String,
    interval: String,
    scrape_timeout: String,
    tls_config: Value,
    relabelings: Vec<Value>,
}

/// Has the object's type read it, which knows all of it.
pub(crate) fn check(object: &Value) -> Result<()> {
    match object["kind"].as_str().context("no kind")? {
        "Namespace" => strictly::<Namespace>(object).map(drop),
        "ServiceAccount" => strictly::<ServiceAccount>(object).map(drop),
        "ClusterRole" => strictly::<ClusterRole>(object).map(drop),
        "ClusterRoleBinding" => strictly::<ClusterRoleBinding>(object).map(drop),
        "ConfigMap" => strictly::<ConfigMap>(object).map(drop),
        "PriorityClass" => strictly::<PriorityClass>(object).map(drop),
        "DaemonSet" => strictly::<DaemonSet>(object).map(drop),
        "NetworkPolicy" => strictly::<NetworkPolicy>(object).map(drop),
        "Service" => strictly::<Service>(object).map(drop),
        "PodMonitor" => strictly::<PodMonitorSpec>(&object["spec"]).map(drop),
        other => anyhow::bail!("nothing reads a {other}"),
    }
}
