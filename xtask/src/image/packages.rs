//! Which of Debian's packages a file is from, from dpkg's own files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Where dpkg keeps what is installed.
const DPKG: &str = "/var/lib/dpkg";

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    /// All that dpkg says of it.
    pub(super) stanza: String,
}

/// The installed packages.
#[derive(Debug)]
pub(super) struct Packages {
    folder: PathBuf,
    /// By name and architecture.
    installed: BTreeMap<(String, String), Package>,
}

impl Packages {
    /// Those of this machine.
    pub(super) fn of_this_machine() -> Result<Self> {
        Self::read(Path::new(DPKG))
    }

    fn read(folder: &Path) -> Result<Self> {
        let status = folder.join("status");
        let text = fs::read_to_string(&status).with_context(|| {
            format!("cannot read {}: an image is made of Debian's packages", status.display())
        })?;
        let packages = text.split("\n\n").filter_map(package);
        let installed =
            packages.map(|package| ((package.name.clone(), package.architecture.clone()), package)).collect();
        Ok(Self { folder: folder.to_owned(), installed })
    }

    /// The package with that name, for that processor or for all.
    pub(super) fn named(&self, name: &str, architecture: &str) -> Result<&Package> {
        [architecture, "all"]
            .iter()
            .find_map(|architecture| self.installed.get(&(name.to_owned(), (*architecture).to_owned())))
            .with_context(|| format!("the package {name} is not installed for {architecture}"))
    }

    /// The paths that a package has brought.
    pub(super) fn files(&self, package: &Package) -> Result<Vec<String>> {
        let names =
            [format!("{}.list", package.name), format!("{}:{}.list", package.name, package.architecture)];
        let list = names.iter().find_map(|name| fs::read_to_string(self.folder.join("info").join(name)).ok());
        let list = list.with_context(|| format!("dpkg has no list of the files of {}", package.name))?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// The package that brought a file, be it called by its path with `/usr` or without.
    pub(super) fn owner(&self, path: &Path, architecture: &str) -> Result<&Package> {
        let path = path.to_str().context("a path that is no text")?;
        let plain = path.strip_prefix("/usr").unwrap_or(path);
        let names = [plain.to_owned(), format!("/usr{plain}")];
        let mut owners = self.installed.values().filter(|package| {
            [architecture, "all"].contains(&package.architecture.as_str())
                && self.files(package).is_ok_and(|files| files.iter().any(|file| names.contains(file)))
        });
        let owner = owners.next().with_context(|| format!("{path} is of no package of Debian's"))?;
        ensure!(owners.next().is_none(), "{path} is of several packages");
        Ok(owner)
    }
}

/// A stanza of the list of packages, if that one is installed.
fn package(stanza: &str) -> Option<Package> {
    let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    field("Status")?.ends_with(" installed").then_some(())?;
    Some(Package {
        name: field("Package")?.to_owned(),
        version: field("Version")?.to_owned(),
        architecture: field("Architecture")?.to_owned(),
        stanza: format!("{}\n", stanza.trim_matches('\n')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\nDescription: C\n more\n\n\
        Package: libc6\nStatus: install ok installed\nArchitecture: arm64\nVersion: 2.36-9\n\n\
        Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n";

    fn packages(folder: &Path) -> Packages {
        fs::create_dir_all(folder.join("info")).unwrap();
        fs::write(folder.join("status"), STATUS).unwrap();
        fs::write(folder.join("info/libc6:amd64.list"), "/.\n/lib/x86_64-linux-gnu/libc.so.6\n").unwrap();
        fs::write(folder.join("info/libc6:arm64.list"), "/.\n/lib/aarch64-linux-gnu/libc.so.6\n").unwrap();
        Packages::read(folder).unwrap()
    }

    #[test]
    fn a_file_is_of_the_package_that_lists_it() {
        let folder = tempfile::tempdir().unwrap();
        let packages = packages(folder.path());
        let owner = packages.owner(Path::new("/usr/lib/x86_64-linux-gnu/libc.so.6"), "amd64").unwrap();
        assert_eq!([&*owner.name, &*owner.architecture, &*owner.version], ["libc6", "amd64", "2.36-9"]);
        assert!(owner.stanza.ends_with("more\n"));
        let other = packages.owner(Path::new("/lib/aarch64-linux-gnu/libc.so.6"), "arm64").unwrap();
        assert_eq!(other.architecture, "arm64");
        assert!(packages.owner(Path::new("/lib/aarch64-linux-gnu/libc.so.6"), "amd64").is_err());
    }

    #[test]
    fn what_is_not_installed_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let packages = packages(folder.path());
        assert!(packages.named("gone", "amd64").is_err());
        assert!(packages.named("libc6", "arm64").is_ok());
        assert!(Packages::read(&folder.path().join("none")).is_err());
    }
}
