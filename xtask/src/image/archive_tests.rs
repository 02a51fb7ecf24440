//! Tests of the archive: what is in it, as its readers find it.

use std::io::Read as _;

use oci_spec::image::{ImageIndex, ImageManifest, OciLayout};

use super::super::tree::Tree;
use super::*;

fn about(processor: Processor) -> About {
    let labels = ["a", "b", "c", "d", "e"].map(|name| (format!("org.example.{name}"), name.to_owned()));
    About {
        name: "localhost/observer:1.2.3".to_owned(),
        processor,
        time: 86_400,
        created: "1970-01-02T00:00:00Z".to_owned(),
        labels: labels.into(),
    }
}

fn layers() -> Vec<Layer> {
    let layer = |path: &str| {
        let mut tree = Tree::default();
        tree.file(path, 0o644, "content");
        Layer::of(&tree, 86_400).unwrap()
    };
    vec![layer("/one"), layer("/two")]
}

/// The files of an archive, by their paths.
fn files(archive: &[u8]) -> HashMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let read = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    read.collect()
}

/// What a descriptor leads to; its digest and size are right.
fn blob<'files>(files: &'files HashMap<String, Vec<u8>>, descriptor: &Descriptor) -> &'files [u8] {
    let content = &files[&format!("blobs/sha256/{}", descriptor.digest().digest())];
    assert_eq!(digest(content), descriptor.digest().to_string());
    assert_eq!(content.len() as u64, descriptor.size());
    content
}

#[test]
fn a_reader_of_the_format_finds_everything() {
    let layers = layers();
    let files = files(&archive(&about(Processor::Arm64), &layers).unwrap());
    OciLayout::from_reader(files["oci-layout"].as_slice()).unwrap();
    let index = ImageIndex::from_reader(files["index.json"].as_slice()).unwrap();
    let [entry] = &index.manifests()[..] else { panic!("{index:?}") };
    let names = entry.annotations().as_ref().unwrap();
    assert_eq!(names["io.containerd.image.name"], "localhost/observer:1.2.3");
    assert_eq!(names["org.opencontainers.image.ref.name"], "1.2.3");
    let platform = entry.platform().as_ref().unwrap();
    assert_eq!((platform.architecture(), platform.variant().as_deref()), (&Arch::ARM64, Some("v8")));
    let manifest = ImageManifest::from_reader(blob(&files, entry)).unwrap();
    let config = ImageConfiguration::from_reader(blob(&files, manifest.config())).unwrap();
    assert_eq!(config.architecture(), &Arch::ARM64);
    assert_eq!(config.created().as_deref(), Some("1970-01-02T00:00:00Z"));
    let diff_ids: Vec<&String> = layers.iter().map(|layer| &layer.diff_id).collect();
    assert_eq!(config.rootfs().diff_ids().iter().collect::<Vec<_>>(), diff_ids);
    for (descriptor, layer) in manifest.layers().iter().zip(&layers) {
        assert_eq!(blob(&files, descriptor), layer.compressed);
    }
    let run = config.config().as_ref().unwrap();
    assert_eq!(run.entrypoint().as_ref().unwrap(), &["/usr/bin/observer"]);
    assert_eq!(run.cmd().as_ref().unwrap(), &["daemon"]);
    assert_eq!(run.labels().as_ref().unwrap()["org.example.c"], "c");
}

#[test]
fn it_is_the_same_each_time() {
    let of = |processor| archive(&about(processor), &layers()).unwrap();
    for _ in 0..5 {
        assert_eq!(of(Processor::Amd64), of(Processor::Amd64));
    }
    assert_ne!(of(Processor::Amd64), of(Processor::Arm64));
}
