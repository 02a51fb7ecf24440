//! The inputs of a target: its seeds and what once failed, in `corpus/NAME`, and what earlier long runs found.

use std::fs;
use std::path::{Path, PathBuf};

/// They.
#[derive(Debug)]
pub(super) struct Corpus {
    inputs: Vec<Vec<u8>>,
    seeds: PathBuf,
    /// Where what is found is kept, in a long run.
    found: Option<PathBuf>,
}

impl Corpus {
    /// Reads it; `long` runs go on where the last one ended.
    pub(super) fn read(name: &str, long: bool) -> Self {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fuzz/corpus").join(name);
        let found = std::env::var_os("OBSERVER_FUZZ_FOUND").filter(|_| long);
        let found = found.map(|folder| Path::new(&folder).join(name));
        if let Some(folder) = &found {
            fs::create_dir_all(folder).unwrap();
        }
        let mut inputs = files(&seeds);
        assert!(!inputs.is_empty(), "no seeds in {}", seeds.display());
        inputs.extend(found.iter().flat_map(|folder| files(folder)));
        Self { inputs, seeds, found }
    }

    pub(super) fn inputs(&self) -> &[Vec<u8>] {
        &self.inputs
    }

    /// One that reached something new.
    pub(super) fn add(&mut self, input: Vec<u8>) {
        if let Some(folder) = &self.found {
            fs::write(folder.join(named(&input)), &input).unwrap();
        }
        self.inputs.push(input);
    }

    /// Keeps one that failed beside the seeds, so that it is tried again each time. Gives its path.
    pub(super) fn keep(&self, input: &[u8]) -> String {
        let path = self.seeds.join(format!("failed-{}", named(input)));
        fs::write(&path, input).unwrap();
        path.display().to_string()
    }
}

fn named(input: &[u8]) -> String {
    format!("{:016x}", super::hash(input))
}

/// The contents of a folder's files, in order of their names.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}
