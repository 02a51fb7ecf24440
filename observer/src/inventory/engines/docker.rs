//! Docker's own files: one folder a container, with what it was made of.

use std::path::Path;

use serde::Deserialize;

use super::{EngineFact, json};

/// The parts of `containers/<id>/config.v2.json` that are read.
#[derive(Deserialize)]
struct Container {
    /// With a slash before it.
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Config", default)]
    config: Config,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(rename = "Image", default)]
    image: String,
}

/// Whether a folder is a Docker engine's.
pub(super) fn is_its(folder: &Path) -> bool {
    folder.join("containers").is_dir() && folder.join("image").is_dir()
}

/// A container by its id.
pub(super) fn find(folder: &Path, id: &str) -> Option<EngineFact> {
    let container: Container = json(&folder.join("containers").join(id).join("config.v2.json"))?;
    let name = container.name.strip_prefix('/').unwrap_or(&container.name).to_owned();
    Some(EngineFact { container_id: id.to_owned(), name, image: container.config.image })
}
