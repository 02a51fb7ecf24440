//! Writes the images of the testbed: one layer with busybox and the workload, under the names that pods use.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::guardian::program;

/// The image of sandboxes.
pub const PAUSE: &str = "docker.io/local/pause:1";

/// The image of containers: `workload` and busybox's applets are on its PATH.
pub const WORK: &str = "docker.io/local/work:1";

/// What busybox is called by in the image.
const APPLETS: [&str; 12] =
    ["sh", "sleep", "nc", "wget", "true", "false", "cat", "ls", "ps", "kill", "echo", "ip"];

/// Writes an archive in the OCI image layout with both images into `dir` and returns its path.
pub fn write(dir: &Path) -> Result<PathBuf> {
    let blobs = dir.join("layout/blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer_file = layer(dir)?;
    let layer = add_file(&blobs, &layer_file, "application/vnd.oci.image.layer.v1.tar")?;
    let manifests = [(PAUSE, json!(["/bin/workload", "pause"])), (WORK, json!(["/bin/sh"]))]
        .into_iter()
        .map(|(name, entrypoint)| manifest(&blobs, name, &entrypoint, &layer))
        .collect::<Result<Vec<_>>>()?;
    let layout = dir.join("layout");
    fs::write(layout.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    fs::write(layout.join("index.json"), index.to_string())?;
    let archive = dir.join("images.tar");
    tar(&layout, &archive)?;
    Ok(archive)
}

/// Writes the images' one layer, a root file system, into `dir` and returns its path.
pub fn layer(dir: &Path) -> Result<PathBuf> {
    let (root, file) = (dir.join("rootfs"), dir.join("layer.tar"));
    fill(&root)?;
    tar(&root, &file)?;
    Ok(file)
}

/// The root file system: static busybox, the workload, and the shared objects that the workload needs.
fn fill(root: &Path) -> Result<()> {
    let bin = root.join("bin");
    fs::create_dir_all(&bin)?;
    for folder in ["tmp", "etc", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(busybox()?, bin.join("busybox"))?;
    for applet in APPLETS {
        symlink("busybox", bin.join(applet))?;
    }
    let workload = program("workload")?;
    fs::copy(&workload, bin.join("workload"))?;
    for object in shared_objects(&workload)? {
        let inside = root.join(object.strip_prefix("/")?);
        if let Some(folder) = inside.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(&object, &inside).with_context(|| format!("cannot copy {}", object.display()))?;
    }
    Ok(())
}

/// The static busybox.
pub(crate) fn busybox() -> Result<&'static Path> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.is_file())
        .context("no static busybox: cargo xtask setup --tests installs it")
}

/// What `ldd` says that the loader will look for, the loader itself included.
pub(crate) fn shared_objects(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    ensure!(
        output.status.success(),
        "ldd {}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

fn manifest(blobs: &Path, name: &str, entrypoint: &Value, layer: &Value) -> Result<Value> {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", None),
        "aarch64" => ("arm64", Some("v8")),
        other => (other, None),
    };
    let mut platform = json!({"architecture": architecture, "os": "linux"});
    if let Some(variant) = variant {
        platform["variant"] = json!(variant);
    }
    let mut config = platform.clone();
    config["config"] = json!({"Entrypoint": entrypoint, "Env": ["PATH=/bin"]});
    // The layer is not compressed, so its digest is its content's.
    config["rootfs"] = json!({"type": "layers", "diff_ids": [layer["digest"]]});
    let config = add(blobs, config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json")?;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let mut entry = add(blobs, manifest.to_string().as_bytes(), media_type)?;
    entry["platform"] = platform;
    entry["annotations"] = json!({"io.containerd.image.name": name});
    Ok(entry)
}

/// Adds a blob and returns its descriptor.
fn add(blobs: &Path, content: &[u8], media_type: &str) -> Result<Value> {
    let file = blobs.with_file_name("new");
    fs::write(&file, content)?;
    add_file(blobs, &file, media_type)
}

/// Moves a file among the blobs and returns its descriptor.
fn add_file(blobs: &Path, file: &Path, media_type: &str) -> Result<Value> {
    let output = Command::new("sha256sum").arg("--").arg(file).output().context("cannot run sha256sum")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let digest = text.split_whitespace().next().context("sha256sum said nothing")?;
    let size = File::open(file)?.metadata()?.len();
    fs::rename(file, blobs.join(digest))?;
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size}))
}

fn tar(folder: &Path, archive: &Path) -> Result<()> {
    let status = Command::new("tar")
        .args(["--create", "--numeric-owner", "--owner=0", "--group=0", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .arg(".")
        .status()
        .context("cannot run tar")?;
    ensure!(status.success(), "tar of {} failed", folder.display());
    Ok(())
}
