//! The manifests of deploy/kubernetes, as the real `kubectl kustomize` renders them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::guardian::{Guardian, program};

/// The objects of a kustomization.
#[derive(Debug, Clone)]
pub struct Manifests(pub Vec<Value>);

/// The folder of all of them.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("deploy").join("kubernetes")
}

/// The `kubectl` that setup has fetched.
pub fn kubectl() -> Result<PathBuf> {
    // target/<profile>/testbed-guardian
    let guardian = program("testbed-guardian")?;
    let target = guardian.ancestors().nth(2).context("it is in no target folder")?;
    let kubectl = target.join("kubectl/bin/kubectl");
    ensure!(kubectl.is_file(), "no {}: cargo xtask setup --tests fetches it", kubectl.display());
    Ok(kubectl)
}

impl Manifests {
    /// Those of a folder below deploy/kubernetes, such as `overlays/k3s`.
    pub fn of(path: &str) -> Result<Self> {
        Self::render(&folder().join(path))
    }

    /// The same, with components, as a user's own kustomization puts them together.
    pub fn with(path: &str, components: &[&str]) -> Result<Self> {
        let line = |path: &str| format!("  - BASE/{path}\n");
        let components: String = components.iter().map(|name| line(&format!("components/{name}"))).collect();
        let text = format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{}components:\n{components}",
            line(path)
        );
        Self::own(&text)
    }

    /// A kustomization of a user's own, in which BASE stands for deploy/kubernetes.
    pub fn own(text: &str) -> Result<Self> {
        Self::own_with(text, &[])
    }

    /// The same with files beside it.
    pub fn own_with(text: &str, files: &[(&str, &str)]) -> Result<Self> {
        let own = fs::canonicalize(Guardian::shared()?.scratch("kustomization")?)?;
        for (name, content) in files {
            fs::write(own.join(name), content)?;
        }
        // kustomize wants relative paths.
        let up: PathBuf = own.components().skip(1).map(|_| "..").collect();
        let base = up.join(fs::canonicalize(folder())?.strip_prefix("/")?);
        fs::write(own.join("kustomization.yaml"), text.replace("BASE", &base.to_string_lossy()))?;
        Self::render(&own)
    }

    fn render(path: &Path) -> Result<Self> {
        let output = Command::new(kubectl()?).arg("kustomize").arg(path).output()?;
        ensure!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
        ensure!(output.stderr.is_empty(), "it warns: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self(serde_saphyr::from_multiple(&String::from_utf8(output.stdout)?)?))
    }

    /// The objects of a kind.
    pub fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The DaemonSet.
    pub fn daemon_set(&self) -> Result<DaemonSet> {
        let found = self.of_kind("DaemonSet");
        ensure!(found.len() == 1, "{found:?}");
        strictly(found[0])
    }

    /// The DaemonSet's pod.
    pub fn pod(&self) -> Result<PodSpec> {
        self.daemon_set()?.spec.template.spec.context("no pod")
    }

    /// Its one container.
    pub fn container(&self) -> Result<Container> {
        let mut containers = self.pod()?.containers;
        ensure!(containers.len() == 1, "{containers:?}");
        containers.pop().context("no container")
    }

    /// The files of the ConfigMap with this name.
    pub fn files(&self, config_map: &str) -> Result<BTreeMap<String, String>> {
        for object in self.of_kind("ConfigMap") {
            let map: ConfigMap = strictly(object)?;
            if map.metadata.name.as_deref() == Some(config_map) {
                return map.data.with_context(|| format!("nothing in {config_map}"));
            }
        }
        anyhow::bail!("no ConfigMap {config_map}")
    }

    /// One of them.
    pub fn file(&self, config_map: &str, file: &str) -> Result<String> {
        self.files(config_map)?.remove(file).with_context(|| format!("no {file} in {config_map}"))
    }
}

/// An object as its type has it. A field that the type does not know would be missing when it is written again.
pub fn strictly<T: DeserializeOwned + Serialize>(object: &Value) -> Result<T> {
    let read: T = serde_json::from_value(object.clone()).with_context(|| format!("{object:#}"))?;
    let again = serde_json::to_value(&read)?;
    ensure!(again == *object, "its type knows nothing of some fields:\n{object:#}\nit reads:\n{again:#}");
    Ok(read)
}
