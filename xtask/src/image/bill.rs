//! The bill of materials: all crates and packages that the image is made of, in CycloneDX.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use cyclonedx_bom::external_models::normalized_string::NormalizedString;
use cyclonedx_bom::external_models::spdx::SpdxExpression;
use cyclonedx_bom::external_models::uri::Purl;
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata as About;
use cyclonedx_bom::validation::Validate as _;

use super::packages::Package;
use super::program::Processor;
use crate::command::{cargo, line_of};
use crate::toolchain::BPF_TARGET;

/// A crate and those that it is linked with, by their references.
type Crates = BTreeMap<String, (Component, BTreeSet<String>)>;

/// The bill as JSON.
pub(super) fn of(processor: Processor, packages: &BTreeSet<Package>) -> Result<Vec<u8>> {
    let mut crates = linked(&metadata(processor.target())?, "observer")?;
    // The programs for the kernel are compiled for another target, and are a part of the daemon.
    for (reference, (component, linked)) in linked(&metadata(BPF_TARGET)?, "observer-ebpf")? {
        crates.entry(reference).or_insert_with(|| (component, BTreeSet::new())).1.extend(linked);
    }
    write(crates, packages)
}

fn write(mut crates: Crates, packages: &BTreeSet<Package>) -> Result<Vec<u8>> {
    let debian = packages.iter().map(of_debian).collect::<Result<Vec<_>>>()?;
    let (own, (program, linked)) = crates
        .iter()
        .find(|(_, (component, _))| is(component, "observer"))
        .map(|(reference, found)| (reference.clone(), found.clone()))
        .context("observer is not among its own crates")?;
    crates.remove(&own);
    let mut dependencies = vec![Dependency {
        dependency_ref: own,
        dependencies: linked.into_iter().chain(debian.iter().filter_map(|one| one.bom_ref.clone())).collect(),
    }];
    let mut components = Vec::new();
    for (reference, (component, linked)) in crates {
        dependencies
            .push(Dependency { dependency_ref: reference, dependencies: linked.into_iter().collect() });
        components.push(component);
    }
    components.extend(debian);
    let bom = Bom {
        // It would be another one each time.
        serial_number: None,
        metadata: Some(About { component: Some(program), ..About::default() }),
        components: Some(Components(components)),
        dependencies: Some(Dependencies(dependencies)),
        ..Bom::default()
    };
    let checked = bom.validate_version(SpecVersion::V1_5);
    ensure!(checked.passed(), "the bill of materials is not as CycloneDX wants it: {checked:?}");
    let mut text = Vec::new();
    bom.output_as_json(&mut text, SpecVersion::V1_5)?;
    text.push(b'\n');
    Ok(text)
}

fn is(component: &Component, name: &str) -> bool {
    component.name == NormalizedString::new(name)
}

/// A package of the distribution's.
fn of_debian(package: &Package) -> Result<Component> {
    let Package { name, version, architecture, .. } = package;
    let url = format!("pkg:deb/debian/{}@{}?arch={architecture}", encoded(name), encoded(version));
    let mut component = Component::new(Classification::Library, name, version, Some(url.clone()));
    component.purl = Some(url.parse().map_err(|()| anyhow::anyhow!("{url} is no package's address"))?);
    Ok(component)
}

/// As the address of a package wants it.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    let letters = text
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    letters.collect::<Vec<_>>().concat()
}

/// What cargo says of the workspace for a target.
fn metadata(target: &str) -> Result<Metadata> {
    let mut command = cargo(&["metadata", "--locked", "--format-version=1", "--filter-platform", target]);
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("`{}` failed: {}", line_of(&command), String::from_utf8_lossy(&output.stderr));
    }
    Ok(MetadataCommand::parse(String::from_utf8(output.stdout)?)?)
}

/// All crates that are linked with one of the workspace's, itself among them: not those that only build or test it.
fn linked(metadata: &Metadata, root: &str) -> Result<Crates> {
    let resolve = metadata.resolve.as_ref().context("cargo has resolved nothing")?;
    let members = metadata.workspace_packages();
    let root = members.iter().find(|package| package.name == root).context("no such crate")?;
    let mut crates = Crates::new();
    let mut open = vec![root.id.clone()];
    while let Some(id) = open.pop() {
        let (reference, component) = of_crate(metadata, &id)?;
        if crates.contains_key(&reference) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == id).context("a crate is not resolved")?;
        let normal = |dependency: &&cargo_metadata::NodeDep| {
            dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
        };
        let needed: Vec<PackageId> =
            node.deps.iter().filter(normal).map(|dependency| dependency.pkg.clone()).collect();
        let references =
            needed.iter().map(|id| Ok(of_crate(metadata, id)?.0)).collect::<Result<BTreeSet<_>>>()?;
        crates.insert(reference, (component, references));
        open.extend(needed);
    }
    Ok(crates)
}

fn of_crate(metadata: &Metadata, id: &PackageId) -> Result<(String, Component)> {
    let package = metadata.packages.iter().find(|package| package.id == *id).context("an unknown crate")?;
    let (name, version) = (package.name.as_str(), package.version.to_string());
    let url = Purl::new("cargo", name, &version)?;
    let reference = url.to_string();
    let kind = if name == "observer" { Classification::Application } else { Classification::Library };
    let mut component = Component::new(kind, name, &version, Some(reference.clone()));
    component.purl = Some(url);
    // Older crates write `/` for `OR`.
    let licence = package.license.as_deref().map(|text| text.replace('/', " OR "));
    component.licenses =
        licence.map(|text| Licenses(vec![LicenseChoice::Expression(SpdxExpression::new(&text))]));
    Ok((reference, component))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Package {
        let [name, version, architecture] = [name, version, "amd64"].map(str::to_owned);
        Package { name, version, architecture, stanza: String::new() }
    }

    #[test]
    fn it_has_what_is_linked_and_nothing_that_only_tests_or_builds() {
        let packages = BTreeSet::from([package("libc6", "2.36-9+deb12u14")]);
        let text = of(Processor::Amd64, &packages).unwrap();
        assert_eq!(text, of(Processor::Amd64, &packages).unwrap(), "not the same twice");
        let bom = Bom::parse_from_json_v1_5(text.as_slice()).unwrap();
        assert!(bom.validate_version(SpecVersion::V1_5).passed());
        let components = bom.components.unwrap().0;
        let named = |name: &str| components.iter().find(|component| is(component, name));
        for name in ["aya", "aya-ebpf", "observer-ebpf", "tonic", "rustls", "libc"] {
            let found = named(name).unwrap_or_else(|| panic!("no {name}"));
            assert!(found.licenses.is_some(), "{name}");
        }
        for name in ["observer", "proptest", "tonic-build", "observer-tests", "xtask", "cyclonedx-bom"] {
            assert!(named(name).is_none(), "{name}");
        }
        let libc = named("libc6").unwrap().purl.as_ref().unwrap().to_string();
        assert_eq!(libc, "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64");
        let own = bom.metadata.unwrap().component.unwrap();
        assert!(is(&own, "observer"));
        let depends = bom.dependencies.unwrap().0;
        let own = depends.iter().find(|one| Some(&one.dependency_ref) == own.bom_ref.as_ref()).unwrap();
        assert!(own.dependencies.iter().any(|one| one.starts_with("pkg:cargo/tonic@")));
        assert!(own.dependencies.contains(&libc));
    }

    #[test]
    fn arm64_has_its_own() {
        assert!(of(Processor::Arm64, &BTreeSet::new()).is_ok());
    }
}
