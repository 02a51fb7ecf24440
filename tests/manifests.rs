//! Proves deploy/kubernetes: the real kustomize renders it, Kubernetes' own types take all of it and nothing is left over, what
//! is named is there, and the daemon is given what docs/privileges.md says. `tests/image.rs` runs the DaemonSet's pod.

#[path = "privileges/documented.rs"]
#[allow(dead_code, reason = "the table alone is used")]
mod documented;
#[path = "manifests/kinds.rs"]
mod kinds;
#[path = "manifests/relay.rs"]
mod relay;
#[path = "manifests/resources.rs"]
mod resources;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kinds::{PodMonitorSpec, check};
use observer_tests::client::observer;
use observer_tests::manifests::{Manifests, strictly};
use serde_json::{Value, json};

/// All overlays, and where their runtime has its socket.
const OVERLAYS: [(&str, &str, &str); 3] = [
    ("containerd", "/run/containerd", "unix:///run/runtime/containerd.sock"),
    ("crio", "/run/crio", "unix:///run/runtime/crio.sock"),
    ("k3s", "/run/k3s/containerd", "unix:///run/runtime/containerd.sock"),
];
const COMPONENTS: [&str; 2] = ["api", "prometheus"];

/// Everything that a user may render, by its name; rendered once.
fn all() -> Result<&'static [(String, Manifests)]> {
    static ALL: LazyLock<Result<Vec<(String, Manifests)>, String>> =
        LazyLock::new(|| render().map_err(|error| format!("{error:#}")));
    ALL.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn render() -> Result<Vec<(String, Manifests)>> {
    let mut all = Vec::new();
    for (overlay, ..) in OVERLAYS {
        let path = format!("overlays/{overlay}");
        all.push((path.clone(), Manifests::of(&path)?));
        for component in COMPONENTS {
            all.push((format!("{path} with {component}"), Manifests::with(&path, &[component])?));
        }
        all.push((format!("{path} with all"), Manifests::with(&path, &COMPONENTS)?));
    }
    Ok(all)
}

#[test]
fn every_object_is_as_its_type_wants_it() -> Result<()> {
    for (name, manifests) in all()? {
        for object in &manifests.0 {
            check(object).with_context(|| name.clone())?;
            let labels = &object["metadata"]["labels"];
            ensure!(labels["app.kubernetes.io/name"] == "observer", "{name}: {object:#}");
            let cluster = ["Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass"];
            let namespaced = !cluster.contains(&object["kind"].as_str().unwrap_or_default());
            let namespace = &object["metadata"]["namespace"];
            ensure!(
                if namespaced { namespace == "observer" } else { namespace.is_null() },
                "{name}: {object:#}"
            );
        }
    }
    // A field that does not exist is seen.
    let mut object = Manifests::of("overlays/containerd")?.of_kind("DaemonSet")[0].clone();
    object["spec"]["template"]["spec"]["hostPid"] = json!(true);
    ensure!(check(&object).is_err());
    Ok(())
}

#[test]
fn what_is_named_is_there() -> Result<()> {
    for (name, manifests) in all()? {
        named(manifests).with_context(|| name.clone())?;
    }
    Ok(())
}

fn named(manifests: &Manifests) -> Result<()> {
    let set = manifests.daemon_set()?.spec;
    let labels = set.template.metadata.context("no metadata")?.labels.context("no labels")?;
    let pod = set.template.spec.context("no pod")?;
    let container = manifests.container()?;
    let has = |kind: &str, name: &str| {
        manifests.of_kind(kind).iter().any(|object| object["metadata"]["name"] == name)
    };
    let matches = |wanted: &Value| {
        let wanted: BTreeMap<String, String> = serde_json::from_value(wanted.clone()).unwrap_or_default();
        wanted.len() == 2 && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    ensure!(matches(&json!(set.selector.match_labels)));
    ensure!(pod.service_account_name.as_deref().is_some_and(|account| has("ServiceAccount", account)));
    ensure!(pod.priority_class_name.as_deref().is_some_and(|class| has("PriorityClass", class)));
    // Each volume is mounted, each mount has its volume, and each ConfigMap exists.
    let volumes = pod.volumes.context("no volumes")?;
    let mounts = container.volume_mounts.context("no mounts")?;
    let of_volumes: BTreeSet<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    ensure!(of_volumes == mounts.iter().map(|mount| mount.name.as_str()).collect());
    for map in volumes.iter().filter_map(|volume| volume.config_map.as_ref()) {
        ensure!(has("ConfigMap", &map.name), "{map:?}");
    }
    for mount in &mounts {
        ensure!(
            mount.read_only == Some(true) || ["socket", "recording"].contains(&mount.name.as_str()),
            "{mount:?}"
        );
    }
    // Files that the environment names are below a mount.
    for variable in container.env.iter().flatten() {
        let Some(path) = variable.value.as_deref().filter(|value| value.starts_with('/')) else { continue };
        ensure!(
            mounts.iter().any(|mount| path.starts_with(&format!("{}/", mount.mount_path))),
            "{variable:?}"
        );
    }
    let ports: BTreeMap<String, i32> = container
        .ports
        .iter()
        .flatten()
        .map(|port| (port.name.clone().unwrap_or_default(), port.container_port))
        .collect();
    // In the node's network a port is the node's.
    ensure!(container.ports.iter().flatten().all(|port| port.host_port == Some(port.container_port)));
    for (variable, port) in [("OBSERVER_LISTEN", "grpc"), ("OBSERVER_HTTP_LISTEN", "metrics")] {
        let variable = container.env.iter().flatten().find(|one| one.name == variable);
        let value = variable.and_then(|one| one.value.clone());
        let listens = ports.get(port).map(|port| format!(":{port}"));
        ensure!(value.is_some() == listens.is_some(), "{value:?} {ports:?}");
        ensure!(value.zip(listens).is_none_or(|(value, end)| value.ends_with(&end)), "{ports:?}");
    }
    for service in manifests.of_kind("Service") {
        ensure!(matches(&service["spec"]["selector"]), "{service:#}");
        let service: Service = strictly(service)?;
        for port in service.spec.and_then(|spec| spec.ports).context("no ports")? {
            let Some(IntOrString::String(target)) = port.target_port else { anyhow::bail!("no name") };
            ensure!(ports.get(&target) == Some(&port.port), "{target}");
        }
    }
    for policy in manifests.of_kind("NetworkPolicy") {
        ensure!(matches(&policy["spec"]["podSelector"]["matchLabels"]), "{policy:#}");
        for rule in policy["spec"]["ingress"].as_array().context("no ingress")? {
            for port in rule["ports"].as_array().context("no ports")? {
                ensure!(port["port"].as_str().is_some_and(|name| ports.contains_key(name)), "{policy:#}");
            }
        }
    }
    for monitor in manifests.of_kind("PodMonitor") {
        let spec: PodMonitorSpec = strictly(&monitor["spec"])?;
        ensure!(matches(&json!(spec.selector.match_labels)));
        ensure!(spec.pod_metrics_endpoints.iter().all(|endpoint| ports.contains_key(&endpoint.port)));
    }
    for binding in manifests.of_kind("ClusterRoleBinding") {
        let binding: ClusterRoleBinding = strictly(binding)?;
        ensure!(has("ClusterRole", &binding.role_ref.name), "{binding:?}");
        for subject in binding.subjects.context("nobody")? {
            ensure!(has(&subject.kind, &subject.name) && subject.namespace.as_deref() == Some("observer"));
        }
    }
    Ok(())
}

#[test]
fn the_daemon_gets_what_is_documented_and_no_more() -> Result<()> {
    let documented = documented::names(&documented::documented()?, |_| true);
    let documented: BTreeSet<String> = documented.iter().map(|name| name.replace("CAP_", "")).collect();
    for (name, manifests) in all()? {
        let (pod, container) = (manifests.pod()?, manifests.container()?);
        let security = container.security_context.context("no security context")?;
        let capabilities = security.capabilities.context("no capabilities")?;
        let added: BTreeSet<String> = capabilities.add.into_iter().flatten().collect();
        ensure!(added == documented && added.len() >= 5, "{name}: {added:?}, documented are {documented:?}");
        ensure!(capabilities.drop == Some(vec!["ALL".to_owned()]), "{name}");
        ensure!(security.privileged == Some(false) && security.allow_privilege_escalation == Some(false));
        ensure!(security.read_only_root_filesystem == Some(true), "{name}");
        let profile =
            pod.security_context.and_then(|context| context.seccomp_profile).context("no profile")?;
        ensure!(profile.type_ == "RuntimeDefault", "{name}: {profile:?}");
        ensure!(pod.host_pid == Some(true) && pod.host_network == Some(true) && pod.host_ipc.is_none());
        // A folder of the node that holds everything is none that is named one by one.
        for volume in pod.volumes.iter().flatten().filter_map(|volume| volume.host_path.as_ref()) {
            ensure!(volume.path.matches('/').count() >= 2 && volume.type_.is_some(), "{name}: {volume:?}");
        }
    }
    Ok(())
}

#[test]
fn it_may_read_what_the_inventory_reads_and_nothing_else() -> Result<()> {
    let manifests = Manifests::of("overlays/containerd")?;
    let roles = manifests.of_kind("ClusterRole");
    ensure!(roles.len() == 1 && manifests.of_kind("Role").is_empty());
    let role: ClusterRole = strictly(roles[0])?;
    let mut granted = BTreeSet::new();
    for rule in role.rules.context("no rules")? {
        ensure!(rule.verbs == ["list", "watch"], "{rule:?}");
        for group in rule.api_groups.iter().flatten() {
            granted.extend(rule.resources.iter().flatten().map(|resource| format!("{group}/{resource}")));
        }
    }
    // The addresses in observer/src/inventory/kubernetes/query.rs.
    let asked = include_str!("../observer/src/inventory/kubernetes/query.rs");
    let words = asked.split('"').filter_map(|text| text.strip_prefix("/api"));
    // What is asked of one namespace is the relay's.
    let words = words.filter(|path| !path.contains("{namespace}"));
    let asked: BTreeSet<String> = words
        .map(|path| match path.trim_start_matches(['/', 's']).split('/').collect::<Vec<_>>()[..] {
            ["v1", resource] => format!("/{resource}"),
            [group, _, resource] => format!("{group}/{resource}"),
            _ => path.to_owned(),
        })
        .collect();
    ensure!(granted == asked && granted.len() == 4, "{granted:?}, asked are {asked:?}");
    Ok(())
}

#[test]
fn each_overlay_leads_to_its_runtime() -> Result<()> {
    for (overlay, folder, endpoint) in OVERLAYS {
        let manifests = Manifests::of(&format!("overlays/{overlay}"))?;
        let (pod, container) = (manifests.pod()?, manifests.container()?);
        let runtime = pod.volumes.iter().flatten().find(|volume| volume.name == "runtime");
        let path = runtime.and_then(|volume| volume.host_path.as_ref()).map(|volume| volume.path.as_str());
        ensure!(path == Some(folder), "{overlay}: {path:?}");
        let variable = container.env.iter().flatten().find(|one| one.name == "OBSERVER_CRI_ENDPOINT");
        ensure!(variable.and_then(|one| one.value.as_deref()) == Some(endpoint), "{overlay}");
    }
    Ok(())
}

#[test]
fn the_daemon_knows_every_setting() -> Result<()> {
    let help = Command::new(observer()?).args(["daemon", "--help"]).output()?;
    let help = String::from_utf8(help.stdout)?;
    for (name, manifests) in all()? {
        for variable in manifests.container()?.env.iter().flatten() {
            let flag = variable.name.replace("OBSERVER_", "--").replace('_', "-").to_lowercase();
            ensure!(help.contains(&format!("{flag} ")), "{name}: no {flag}");
        }
        // The settings of a component are the base's, and some more.
        let own = include_str!("../deploy/kubernetes/base/observer.toml");
        let volumes = manifests.pod()?.volumes.context("no volumes")?;
        let map = volumes.iter().find(|volume| volume.name == "config");
        let map = map.and_then(|volume| volume.config_map.as_ref()).context("no settings")?;
        ensure!(manifests.file(&map.name, "observer.toml")?.starts_with(own), "{name}");
    }
    Ok(())
}

#[test]
fn what_the_documentation_renders_can_be_rendered() -> Result<()> {
    let text = include_str!("../docs/kubernetes.md");
    let named = text
        .lines()
        .filter_map(|line| line.split_once("deploy/kubernetes/")?.1.split(['?', ' ', '`']).next());
    let (mut overlays, mut components) = (BTreeSet::new(), BTreeSet::new());
    for path in named {
        // tests/manifests/relay.rs renders it.
        if path == "relay" {
            continue;
        }
        match path.split_once('/').with_context(|| path.to_owned())? {
            ("overlays", name) => overlays.insert(name),
            ("components", name) => components.insert(name),
            _ => anyhow::bail!("{path} is not there"),
        };
    }
    ensure!(components == BTreeSet::from(COMPONENTS), "{components:?}");
    ensure!(
        !overlays.is_empty()
            && overlays.iter().all(|name| OVERLAYS.iter().any(|(overlay, ..)| overlay == name))
    );
    ensure!(OVERLAYS.iter().all(|(overlay, ..)| text.contains(&format!("`overlays/{overlay}`"))));
    Ok(())
}
