//! The relay's objects: each by its type, what is named is there, and it has no right that it does not need.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use observer_tests::client::observer;
use observer_tests::manifests::{Manifests, strictly};

#[test]
fn the_relay_has_what_it_needs_and_no_more() -> Result<()> {
    let manifests = Manifests::of("relay")?;
    let one = |kind: &str| {
        let all = manifests.of_kind(kind);
        all.first().copied().with_context(|| format!("no {kind}"))
    };
    let deployment: Deployment = strictly(one("Deployment")?)?;
    let spec = deployment.spec;
    let labels = spec.template.metadata.context("no metadata")?.labels.context("no labels")?;
    let is_its = |wanted: &BTreeMap<String, String>| {
        !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    ensure!(is_its(&spec.selector.match_labels.context("no selector")?));
    let pod = spec.template.spec.context("no pod")?;
    let [container] = &pod.containers[..] else { anyhow::bail!("several containers") };

    // It is nobody, and has no capability.
    ensure!(pod.host_network.is_none() && pod.host_pid.is_none());
    ensure!(pod.security_context.and_then(|context| context.run_as_non_root) == Some(true));
    let security = container.security_context.clone().context("no security context")?;
    let capabilities = security.capabilities.context("no capabilities")?;
    ensure!(capabilities.add.is_none() && capabilities.drop == Some(vec!["ALL".to_owned()]));
    ensure!(security.read_only_root_filesystem == Some(true) && security.privileged == Some(false));
    let account: ServiceAccount = strictly(one("ServiceAccount")?)?;
    ensure!(pod.service_account_name == account.metadata.name);
    let binding: RoleBinding = strictly(one("RoleBinding")?)?;
    ensure!(
        binding
            .subjects
            .context("nobody")?
            .iter()
            .all(|subject| Some(&subject.name) == account.metadata.name.as_ref())
    );
    let role: Role = strictly(one("Role")?)?;
    ensure!(Some(&binding.role_ref.name) == role.metadata.name.as_ref());
    let [rule] = &role.rules.context("no rules")?[..] else { anyhow::bail!("several rules") };
    ensure!(
        rule.verbs == ["list", "watch"] && rule.resources == Some(vec!["endpointslices".to_owned()]),
        "{rule:?}"
    );
    ensure!(manifests.of_kind("ClusterRole").is_empty());

    // Each flag is one of the relay's, and each file is below a mount that has its volume.
    let help = Command::new(observer()?).args(["relay", "--help"]).output()?;
    let help = String::from_utf8(help.stdout)?;
    let mounts = container.volume_mounts.as_ref().context("no mounts")?;
    let args = container.args.as_ref().context("no arguments")?;
    ensure!(args.first().is_some_and(|first| first == "relay"));
    for arg in &args[1..] {
        let (flag, value) = arg.split_once('=').with_context(|| arg.clone())?;
        ensure!(help.contains(&format!("{flag} <")), "{flag}");
        if value.starts_with('/') {
            ensure!(mounts.iter().any(|mount| value.starts_with(&format!("{}/", mount.mount_path))), "{arg}");
        }
    }
    let named = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    let volumes = pod.volumes.as_ref().context("no volumes")?;
    ensure!(
        named(volumes.iter().map(|volume| volume.name.as_str()).collect())
            == named(mounts.iter().map(|mount| mount.name.as_str()).collect())
    );
    for map in volumes.iter().filter_map(|volume| volume.config_map.as_ref()) {
        ensure!(
            manifests.of_kind("ConfigMap").iter().any(|one| one["metadata"]["name"] == map.name.as_str())
        );
    }

    // It asks the Service that the daemons' component has, by the name that their certificates are for.
    let daemons = Manifests::with("overlays/containerd", &["api"])?;
    let service: Service = strictly(daemons.of_kind("Service").first().copied().context("no Service")?)?;
    let name = service.metadata.name.context("no name")?;
    ensure!(args.contains(&format!("--nodes-service=observer/{name}")), "{args:?}");
    ensure!(args.contains(&format!("--node-tls-name={name}.observer.svc")), "{args:?}");
    let maps = daemons.of_kind("ConfigMap");
    let access = maps.iter().find_map(|map| map["data"]["access.toml"].as_str()).context("no access file")?;
    let own: Service = strictly(one("Service")?)?;
    let own_name = own.metadata.name.context("no name")?;
    ensure!(
        access.contains(&format!("dns:{own_name}.observer.svc")) && access.contains("relay = true"),
        "{access}"
    );
    ensure!(is_its(&own.spec.and_then(|spec| spec.selector).context("no selector")?));
    let policy: NetworkPolicy = strictly(one("NetworkPolicy")?)?;
    let selector = policy.spec.and_then(|spec| spec.pod_selector).and_then(|selector| selector.match_labels);
    ensure!(is_its(&selector.context("no selector")?));
    Ok(())
}

#[test]
fn whatever_is_a_part_of_it_may_ask() -> Result<()> {
    // The daemons' port and the relay's.
    for manifests in [Manifests::with("overlays/containerd", &["api"])?, Manifests::of("relay")?] {
        let policies: Vec<NetworkPolicy> =
            manifests.of_kind("NetworkPolicy").into_iter().map(strictly).collect::<Result<_>>()?;
        let rules = policies.into_iter().filter_map(|policy| policy.spec?.ingress).flatten();
        let from: Vec<_> = rules.filter_map(|rule| rule.from).flatten().collect();
        let [from] = &from[..] else { anyhow::bail!("{from:?}") };
        // A client's pod has this label and none of the observer's others.
        let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "observer".to_owned())]);
        let selector = from.pod_selector.as_ref().context("no selector")?;
        ensure!(selector.match_labels.as_ref() == Some(&labels), "{selector:?}");
        ensure!(selector.match_expressions.is_none(), "{selector:?}");
        ensure!(from.namespace_selector.is_none() && from.ip_block.is_none(), "{from:?}");
    }
    Ok(())
}
