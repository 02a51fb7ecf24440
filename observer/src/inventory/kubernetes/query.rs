//! What the API is asked for one resource.

use kube::api::{ListParams, WatchParams};
use kube::core::Request;

use super::super::cluster::Resource;
use super::access::ApiError;

/// The label of an endpoint slice that names its Service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// How long the API may let a watch go on, in seconds: it ends it then, in order.
pub(super) const WATCH_SECONDS: u32 = 240;

/// A resource, and which of its objects.
pub(super) struct Query {
    request: Request,
    fields: Option<String>,
    labels: Option<String>,
}

impl Query {
    pub(super) fn new(resource: Resource, node_name: &str) -> Self {
        let (path, fields) = match resource {
            Resource::OwnPods => ("/api/v1/pods", Some(format!("spec.nodeName={node_name}"))),
            // What has ended has no address any more, and is often the larger part of a cluster's pods.
            Resource::FarPods => (
                "/api/v1/pods",
                Some(format!("spec.nodeName!={node_name},status.phase!=Succeeded,status.phase!=Failed")),
            ),
            Resource::Nodes => ("/api/v1/nodes", None),
            Resource::Services => ("/api/v1/services", None),
            Resource::EndpointSlices => ("/apis/discovery.k8s.io/v1/endpointslices", None),
        };
        Self { request: Request::new(path), fields, labels: None }
    }

    /// The endpoint slices of one Service. Both are names that Kubernetes allows.
    pub(super) fn endpoints_of(namespace: &str, service: &str) -> Self {
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        let labels = Some(format!("{SERVICE_NAME}={service}"));
        Self { request: Request::new(path), fields: None, labels }
    }

    /// A page of the list of all of them.
    pub(super) fn page(&self, limit: u32, token: Option<String>) -> Result<http::Request<Vec<u8>>, ApiError> {
        // Without a version the list is of the present, and comes in pages.
        let params = ListParams {
            field_selector: self.fields.clone(),
            label_selector: self.labels.clone(),
            limit: Some(limit),
            continue_token: token,
            ..ListParams::default()
        };
        self.request.list(&params).map_err(|error| ApiError::Nonsense(error.to_string()))
    }

    /// What changes from a version on, with bookmarks.
    pub(super) fn watch(&self, version: &str) -> Result<http::Request<Vec<u8>>, ApiError> {
        let params = WatchParams {
            field_selector: self.fields.clone(),
            label_selector: self.labels.clone(),
            timeout: Some(WATCH_SECONDS),
            ..WatchParams::default()
        };
        self.request.watch(&params, version).map_err(|error| ApiError::Nonsense(error.to_string()))
    }
}
