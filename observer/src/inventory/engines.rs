//! Names of the containers of Docker and Podman, from the files that these engines keep: none of them is asked.
//!
//! What is found in no file is handed on to those who ask the runtimes over CRI.

mod docker;
mod storage;

use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Fact;
use crate::status::IdentitySource;

/// The name under which the health of these sources is kept.
pub(crate) const SOURCE: &str = "engines";
/// Users whose own engines are looked for.
const MAX_HOMES: usize = 256;
/// A larger file is none of an engine's.
const MAX_FILE: u64 = 64 << 20;

/// A container as its engine knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineFact {
    /// The full id.
    pub(crate) container_id: String,
    /// Its name.
    pub(crate) name: String,
    /// The image's name.
    pub(crate) image: String,
}

/// Where engines keep their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Folders {
    /// Where they do so usually, users without privileges included.
    Usual,
    /// Here, and they are expected to be there.
    Given(Vec<PathBuf>),
}

/// Starts to answer `requests`; what no engine knows goes on to `others`.
pub(super) fn spawn(
    folders: Folders,
    mut requests: mpsc::Receiver<String>,
    others: mpsc::Sender<String>,
    facts: mpsc::Sender<Fact>,
    tasks: &mut JoinSet<()>,
) {
    let mut files = Files { folders, storage: storage::Lists::default() };
    tasks.spawn(async move {
        let mut told = Vec::new();
        let mut id = None;
        loop {
            // Files are read where that may take its time, one container after the other.
            let read = tokio::task::spawn_blocking(move || {
                let found = id.as_deref().and_then(|id| files.find(id));
                let health = files.health();
                (files, id, found, health)
            });
            let Ok((files_again, asked, found, health)) = read.await else { return };
            files = files_again;
            if health != told {
                told.clone_from(&health);
                // Where nobody listens any more, these tasks are about to be stopped.
                let _closed = facts.send(Fact::Sources(SOURCE, health)).await;
            }
            match (asked, found) {
                (_, Some(fact)) => _ = facts.send(Fact::Engine(fact)).await,
                (Some(container_id), None) => {
                    if let Err(refused) = others.try_send(container_id) {
                        let container_id = refused.into_inner();
                        let _closed = facts.send(Fact::Unknown { container_id }).await;
                    }
                }
                (None, None) => {}
            }
            id = requests.recv().await;
            if id.is_none() {
                return;
            }
        }
    });
}

/// The engines' files, as they were found last.
struct Files {
    folders: Folders,
    storage: storage::Lists,
}

impl Files {
    fn find(&mut self, id: &str) -> Option<EngineFact> {
        // It becomes a part of a path, and nothing but an id may do so.
        if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.folders
            .all()
            .iter()
            .find_map(|folder| docker::find(folder, id).or_else(|| self.storage.find(folder, id)))
    }

    /// What there is of engines; of the usual places only those that are there are worth a word.
    fn health(&self) -> Vec<IdentitySource> {
        let of = |folder: &PathBuf| {
            let (name, message) = if docker::is_its(folder) {
                ("docker", "names of containers, as they were made")
            } else if storage::is_its(folder) {
                ("podman", "names of containers")
            } else if matches!(self.folders, Folders::Given(_)) {
                let message = "no files of Docker or Podman; their containers show by id".to_owned();
                let endpoint = folder.display().to_string();
                return Some(IdentitySource { name: SOURCE, endpoint, healthy: false, message });
            } else {
                return None;
            };
            let endpoint = folder.display().to_string();
            Some(IdentitySource { name, endpoint, healthy: true, message: message.to_owned() })
        };
        self.folders.all().iter().filter_map(of).collect()
    }
}

impl Folders {
    fn all(&self) -> Vec<PathBuf> {
        match self {
            Self::Given(folders) => folders.clone(),
            Self::Usual => {
                let homes = std::fs::read_dir("/home").into_iter().flatten().flatten().take(MAX_HOMES);
                let homes = homes.map(|home| home.path().join(".local/share"));
                let users = homes.flat_map(|home| [home.join("docker"), home.join("containers/storage")]);
                ["/var/lib/docker", "/var/lib/containers/storage"]
                    .map(PathBuf::from)
                    .into_iter()
                    .chain(users)
                    .collect()
            }
        }
    }
}

/// A file's JSON, where it is there and is one.
fn json<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Option<T> {
    let size = std::fs::metadata(path).ok()?.len();
    if size > MAX_FILE {
        log::warn!("{} has {size} bytes: it is not read", path.display());
        return None;
    }
    match serde_json::from_slice(&std::fs::read(path).ok()?) {
        Ok(value) => Some(value),
        Err(error) => {
            log::debug!("{}: {error}", path.display());
            None
        }
    }
}

#[cfg(test)]
mod tests;
