//! Packages of a Debian suite that need not be the system's: by apt with a configuration of its own, which changes nothing of
//! the system's and needs no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{check, output};

/// What Debian signs its archive with, newer suites included.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt that knows one suite alone.
pub(super) struct PrivateApt {
    configuration: PathBuf,
}

impl PrivateApt {
    /// Writes its configuration (own state, cache and sources, and none of the system's hooks), and learns what there is.
    pub(super) fn new(folder: &Path, suite: &str) -> Result<Self> {
        for inner in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(inner))?;
        }
        let sources = folder.join("sources.list");
        let uri = mirror()?;
        fs::write(
            &sources,
            format!("deb [arch=amd64 target=Packages signed-by={KEYRING}] {uri} {suite} main\n"),
        )?;
        let configuration = folder.join("apt.conf");
        let (folder, sources) = (folder.display(), sources.display());
        let text = format!(
            "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n\
             Dir::State \"{folder}/state\";\nDir::State::status \"/dev/null\";\nDir::Cache \"{folder}/cache\";\n\
             Dir::Etc::SourceList \"{sources}\";\nDir::Etc::SourceParts \"/dev/null\";\n\
             APT::Architecture \"amd64\";\nAPT::Sandbox::User \"\";\n"
        );
        fs::write(&configuration, text)?;
        let apt = Self { configuration };
        check(&mut apt.get(&["update"]))?;
        Ok(apt)
    }

    fn get(&self, words: &[&str]) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-q").arg("-c").arg(&self.configuration).args(words);
        command
    }

    /// What the suite says of a package.
    pub(super) fn show(&self, package: &str) -> Result<String> {
        let configuration = self.configuration.to_string_lossy();
        let arguments = ["-c", &configuration, "show", "--no-all-versions", package];
        output("apt-cache", &arguments).with_context(|| format!("no package {package}"))
    }

    /// These packages and all that they need, on a machine that has nothing.
    pub(super) fn with_dependencies(&self, packages: &[&str]) -> Result<Vec<String>> {
        let configuration = self.configuration.to_string_lossy();
        let arguments = ["-q", "-c", &configuration, "install", "--simulate", "--no-install-recommends"];
        let text = output("apt-get", &[&arguments[..], packages].concat())
            .with_context(|| format!("apt cannot say what {packages:?} need"))?;
        let names = text.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Downloads packages and unpacks them into `work/root`, which it gives.
    pub(super) fn unpack(&self, packages: &[String], work: &Path) -> Result<PathBuf> {
        let (downloads, root) = (work.join("downloads"), work.join("root"));
        fs::create_dir_all(&downloads)?;
        let names: Vec<&str> = packages.iter().map(String::as_str).collect();
        check(self.get(&["download"]).args(names).current_dir(&downloads))?;
        for package in entries(&downloads)? {
            check(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
        }
        Ok(root)
    }
}

/// An empty folder beside `folder`, in which it is put together.
pub(super) fn workplace(folder: &Path) -> Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let work = folder.with_file_name(format!("{name}.partial"));
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(work.join("new"))?;
    Ok(work)
}

/// What was put together in `work/new` takes the folder's place, with its version.
pub(super) fn put_in_place(work: &Path, version: &str, folder: &Path) -> Result<()> {
    let new = work.join("new");
    fs::write(new.join("version"), format!("{version}\n"))?;
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(new, folder)?;
    Ok(fs::remove_dir_all(work)?)
}

/// Where the system gets Debian's packages from.
fn mirror() -> Result<String> {
    let arguments = [
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
        "Label: Debian",
    ];
    let uris = output("apt-get", &arguments).unwrap_or_default();
    match uris.lines().next() {
        Some(uri) => Ok(uri.to_owned()),
        None => bail!(
            "none of this system's package sources is Debian's archive (`apt-get {}`)",
            arguments.join(" ")
        ),
    }
}

/// A field of a package's description.
pub(super) fn field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// What is in a folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
}
