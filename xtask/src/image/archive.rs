//! The image as one file: OCI's image layout in a tar archive.

use std::collections::HashMap;

use anyhow::Result;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, Digest, ImageConfiguration,
    ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, Platform,
    PlatformBuilder, RootFsBuilder,
};
use serde::Serialize;
use std::str::FromStr as _;
use tar::{Builder, EntryType};

use super::layer::{Layer, digest, header};
use super::program::Processor;
use super::root::AUTHORITIES;

/// What is said of an image.
#[derive(Debug, Clone)]
pub(super) struct About {
    /// Its whole name, with a tag.
    pub(super) name: String,
    pub(super) processor: Processor,
    /// When it was made, in seconds since 1970.
    pub(super) time: u64,
    /// The same as text.
    pub(super) created: String,
    pub(super) labels: HashMap<String, String>,
}

impl About {
    /// What stands behind the name.
    fn tag(&self) -> &str {
        self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag)
    }
}

/// The archive: layers in their order.
pub(super) fn archive(about: &About, layers: &[Layer]) -> Result<Vec<u8>> {
    let mut layout = Layout { builder: Builder::new(Vec::new()), time: about.time };
    layout.add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    layout.folder("blobs")?;
    layout.folder("blobs/sha256")?;
    let layer = |layer: &Layer| layout.blob(&layer.compressed, MediaType::ImageLayerGzip);
    let descriptors = layers.iter().map(layer).collect::<Result<Vec<_>>>()?;
    let config = layout.blob(&json(&configuration(about, layers)?)?, MediaType::ImageConfig)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(descriptors)
        .annotations(about.labels.clone())
        .build()?;
    let mut manifest = layout.blob(&json(&manifest)?, MediaType::ImageManifest)?;
    manifest.set_platform(Some(platform(about.processor)?));
    // The former is containerd's, and whole; the latter OCI's, which holds a tag.
    let names =
        [("io.containerd.image.name", &*about.name), ("org.opencontainers.image.ref.name", about.tag())];
    manifest.set_annotations(Some(names.map(|(key, name)| (key.to_owned(), name.to_owned())).into()));
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests([manifest])
        .build()?;
    layout.add("index.json", &json(&index)?)?;
    Ok(layout.builder.into_inner()?)
}

/// An archive that grows.
struct Layout {
    builder: Builder<Vec<u8>>,
    time: u64,
}

impl Layout {
    fn folder(&mut self, path: &str) -> Result<()> {
        let mut header = header(EntryType::Directory, 0o755, 0, self.time);
        Ok(self.builder.append_data(&mut header, format!("{path}/"), &[][..])?)
    }

    fn add(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let mut header = header(EntryType::Regular, 0o644, content.len() as u64, self.time);
        Ok(self.builder.append_data(&mut header, path, content)?)
    }

    fn blob(&mut self, content: &[u8], media_type: MediaType) -> Result<Descriptor> {
        let digest = digest(content);
        self.add(&format!("blobs/{}", digest.replace(':', "/")), content)?;
        let descriptor = DescriptorBuilder::default()
            .media_type(media_type)
            .digest(Digest::from_str(&digest)?)
            .size(content.len() as u64);
        Ok(descriptor.build()?)
    }
}

/// How the program is run where nothing else is said.
fn configuration(about: &About, layers: &[Layer]) -> Result<ImageConfiguration> {
    let config = ConfigBuilder::default()
        // Root, with the few capabilities that it is given: docs/privileges.md says why.
        .user("0:0")
        .env(["PATH=/usr/bin".to_owned(), format!("SSL_CERT_FILE={AUTHORITIES}")])
        .entrypoint(["/usr/bin/observer".to_owned()])
        .cmd(["daemon".to_owned()])
        .working_dir("/")
        .stop_signal("SIGTERM")
        .labels(about.labels.clone())
        .build()?;
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let (architecture, variant) = (about.processor.name(), about.processor.variant());
    let mut configuration = ImageConfigurationBuilder::default()
        .created(&*about.created)
        .architecture(Arch::from(architecture))
        .os(Os::Linux)
        .config(config)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build()?)
        .build()?;
    configuration.set_variant(variant.map(str::to_owned));
    Ok(configuration)
}

fn platform(processor: Processor) -> Result<Platform> {
    let mut platform =
        PlatformBuilder::default().architecture(Arch::from(processor.name())).os(Os::Linux).build()?;
    platform.set_variant(processor.variant().map(str::to_owned));
    Ok(platform)
}

/// JSON with its keys in order: maps come in another one each time.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut value = serde_json::to_value(value)?;
    value.sort_all_objects();
    Ok(serde_json::to_vec(&value)?)
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
