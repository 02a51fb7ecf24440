//! The library containers/storage, which Podman keeps its containers with: one list a storage driver, in one file.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{EngineFact, json};

/// What the folder of each storage driver's containers ends with; before that is the driver's name.
const CONTAINERS: &str = "-containers";
/// The lists of containers, and of those that are gone with the next boot.
const FILES: [&str; 2] = ["containers.json", "volatile-containers.json"];
/// Containers beyond this many are not remembered.
const MAX_CONTAINERS: usize = 32_768;
/// Lists that are remembered.
const MAX_LISTS: usize = 1024;

/// The parts of a container in the list that are read.
#[derive(Deserialize)]
struct Container {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// JSON in JSON, of whoever uses the library.
    #[serde(default)]
    metadata: String,
}

/// The parts of that which are read, as Podman, Buildah and CRI-O write it.
#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(rename = "image-name", default)]
    image: String,
}

/// When a file was written last, and which file it was: it is replaced, not changed.
type Version = (u64, i64, i64, u64);

/// The lists that were read, each as long as its file is the same.
#[derive(Default)]
pub(super) struct Lists {
    lists: HashMap<PathBuf, (Version, HashMap<String, EngineFact>)>,
}

/// Whether a folder is one of the library's.
pub(super) fn is_its(folder: &Path) -> bool {
    drivers(folder).next().is_some()
}

impl Lists {
    /// A container by its id.
    pub(super) fn find(&mut self, folder: &Path, id: &str) -> Option<EngineFact> {
        drivers(folder)
            .flat_map(|driver| FILES.map(|file| driver.join(file)))
            .find_map(|file| self.list(&file)?.get(id).cloned())
    }

    fn list(&mut self, file: &Path) -> Option<&HashMap<String, EngineFact>> {
        let version = version(file)?;
        if self.lists.get(file).is_none_or(|(read, _)| *read != version) {
            if self.lists.len() >= MAX_LISTS {
                self.lists.clear();
            }
            let containers: Vec<Container> = json(file)?;
            let facts = containers.into_iter().take(MAX_CONTAINERS).filter_map(fact).collect();
            self.lists.insert(file.to_owned(), (version, facts));
        }
        self.lists.get(file).map(|(_, facts)| facts)
    }
}

fn drivers(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(CONTAINERS)))
}

fn version(file: &Path) -> Option<Version> {
    let of = std::fs::metadata(file).ok()?;
    Some((of.ino(), of.mtime(), of.mtime_nsec(), of.len()))
}

fn fact(container: Container) -> Option<(String, EngineFact)> {
    let Container { id, names, metadata } = container;
    let Metadata { image } = serde_json::from_str(&metadata).unwrap_or_default();
    let name = names.into_iter().next()?;
    Some((id.clone(), EngineFact { container_id: id, name, image }))
}
