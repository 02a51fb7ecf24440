//! Fetches programs of a Debian suite that the system need not have: they are unpacked, and installed nowhere.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::archive::{PrivateApt, entries, field, put_in_place, workplace};
use crate::workspace;

/// Programs of a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Programs {
    /// What they are called.
    pub(crate) name: &'static str,
    /// What they are for.
    pub(crate) reason: &'static str,
    package: &'static str,
    /// The suite that has what is wanted.
    suite: &'static str,
    /// Their folder within the target directory: `bin` with the programs and, once all is there, `version`.
    folder: &'static str,
    /// What to get where this cannot be done.
    advice: &'static str,
}

/// A containerd of 2.0 or later: forky has one at 2.1 or later.
pub(crate) const CONTAINERD: Programs = Programs {
    name: "newer containerd",
    reason: "tells of its containers by itself, which older ones do not",
    package: "containerd",
    suite: "forky",
    folder: "containerd-newest",
    advice: "a containerd of 2.0 or later: containerd, containerd-shim-runc-v2 and ctr",
};

/// Prometheus. Its package, installed, would start a service; bookworm's needs no newer libraries than any system has.
pub(crate) const PROMETHEUS: Programs = Programs {
    name: "prometheus",
    reason: "scrapes the daemon, and judges metrics, rules and dashboards",
    package: "prometheus",
    suite: "bookworm",
    folder: "prometheus",
    advice: "a Prometheus of 2.42 or later: prometheus and promtool",
};

/// kubectl, with a kustomize that knows components: bookworm's is from before.
pub(crate) const KUBECTL: Programs = Programs {
    name: "kubectl",
    reason: "renders the manifests for Kubernetes",
    package: "kubectl",
    suite: "trixie",
    folder: "kubectl",
    advice: "kubectl of Kubernetes 1.27 or later",
};

impl Programs {
    fn folder(&self) -> PathBuf {
        workspace::target_directory().join(self.folder)
    }

    /// Whether they have been fetched.
    pub(super) fn is_here(&self) -> bool {
        self.folder().join("version").is_file()
    }

    /// What to do where this cannot be done.
    pub(super) fn by_hand(&self) -> String {
        let folder = self.folder();
        let (advice, folder) = (self.advice, folder.display());
        format!("{advice}; put them into {folder}/bin, and the version into {folder}/version")
    }

    /// Downloads the package and puts its programs into their folder.
    pub(super) fn fetch(&self) -> Result<()> {
        let Self { package, suite, .. } = self;
        let folder = self.folder();
        let work = workplace(&folder)?;
        let apt = PrivateApt::new(&work.join("apt"), suite)?;
        let text = apt.show(package)?;
        let version = field(&text, "Version").context("a package without a version")?;
        println!("setup: {package} is {version} of {suite}");
        let programs = apt.unpack(&[(*package).to_owned()], &work)?.join("usr/bin");
        let bin = work.join("new/bin");
        fs::create_dir_all(&bin)?;
        for program in entries(&programs)? {
            let name = program.file_name().context("a program without a name")?;
            fs::rename(&program, bin.join(name))?;
        }
        put_in_place(&work, version, &folder)
    }
}
