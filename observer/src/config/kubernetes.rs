//! Whether and how the Kubernetes API is asked.

use std::path::PathBuf;

use super::Error;
use super::setting::Setting;

/// Where to ask the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KubernetesApi {
    /// Nowhere: `off` was given.
    Off,
    /// Where the surroundings say: as the pod's service account, or as `KUBECONFIG` names it; else nowhere.
    Auto,
    /// As this kubeconfig file says, and it is expected to be there.
    Kubeconfig(PathBuf),
}

/// The API to ask.
pub(crate) fn api(setting: Option<&Setting>) -> Result<KubernetesApi, Error> {
    const ALLOWED: &str = "`auto`, `off`, or the absolute path of a kubeconfig file";
    let Some(setting) = setting else { return Ok(KubernetesApi::Auto) };
    match setting.single(ALLOWED)? {
        "auto" => Ok(KubernetesApi::Auto),
        "off" => Ok(KubernetesApi::Off),
        path if path.starts_with('/') && !path.contains('\0') => Ok(KubernetesApi::Kubeconfig(path.into())),
        other => Err(setting.refused(other, ALLOWED)),
    }
}
