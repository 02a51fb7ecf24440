//! Fetches a kernel from a Debian suite that need not be the system's: by apt with a configuration of its own, which
//! changes nothing of the system's and needs no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command::{check, output};
use crate::kernels::Kernel;

/// The package that depends on a suite's newest kernel; the small one, made for virtual machines.
const META: &str = "linux-image-cloud-amd64";

/// What the packages that make up a kernel are called; newer suites part image and modules.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// What Debian signs its archive with, newer suites included.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What to do where this cannot be done.
pub(super) fn by_hand(kernel: &Kernel) -> String {
    let (name, suite, folder) = (kernel.name, kernel.suite, kernel.folder());
    let folder = folder.display();
    format!(
        "kernel {name}: {META} of Debian's {suite}, or another one with BTF, veth and netem; put its image at \
         {folder}/vmlinuz, what is in its folder below /lib/modules at {folder}/modules, and its version into \
         {folder}/version"
    )
}

/// Downloads the suite's newest kernel and unpacks image and modules into its folder.
pub(super) fn fetch(kernel: &Kernel) -> Result<()> {
    let folder = kernel.folder();
    let work = folder.with_file_name(format!("{}.partial", kernel.name));
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let apt = PrivateApt::new(&work.join("apt"), kernel.suite)?;
    check(&mut apt.get(&["update"]))?;
    let (version, packages) = apt.parts()?;
    println!("setup: kernel {} is {version} of {}", kernel.name, kernel.suite);
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    let downloads = work.join("downloads");
    fs::create_dir_all(&downloads)?;
    check(apt.get(&["download"]).args(names).current_dir(&downloads))?;

    let root = work.join("root");
    for package in entries(&downloads)? {
        check(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
    }
    let (image, modules) = find(&root)?;
    let new = work.join("new");
    fs::create_dir_all(&new)?;
    fs::rename(image, new.join("vmlinuz"))?;
    fs::rename(modules, new.join("modules"))?;
    fs::write(new.join("version"), format!("{version}\n"))?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(new, &folder)?;
    Ok(fs::remove_dir_all(work)?)
}

/// An apt that knows one suite alone.
struct PrivateApt {
    configuration: PathBuf,
}

impl PrivateApt {
    /// Writes its configuration: own state, cache and sources, and none of the system's hooks.
    fn new(folder: &Path, suite: &str) -> Result<Self> {
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
        Ok(Self { configuration })
    }

    fn get(&self, words: &[&str]) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-q").arg("-c").arg(&self.configuration).args(words);
        command
    }

    /// The version of the suite's newest kernel, and the packages that it consists of.
    fn parts(&self) -> Result<(String, Vec<String>)> {
        let mut newest = None;
        let mut waiting = vec![META.to_owned()];
        let mut found: Vec<String> = Vec::new();
        while let Some(package) = waiting.pop() {
            let configuration = self.configuration.to_string_lossy();
            let arguments = ["-c", &configuration, "show", "--no-all-versions", &package];
            let text = output("apt-cache", &arguments).with_context(|| format!("no package {package}"))?;
            newest.get_or_insert(field(&text, "Version").context("a package without a version")?.to_owned());
            let more = parts_of(&text);
            waiting.extend(more.into_iter().filter(|name| !found.contains(name)));
            if package != META {
                found.push(package);
            }
        }
        ensure!(!found.is_empty(), "{META} depends on no kernel");
        Ok((newest.unwrap_or_default(), found))
    }
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
fn field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The parts of a kernel that a package depends on, by its description.
fn parts_of(text: &str) -> Vec<String> {
    let dependencies = field(text, "Depends").unwrap_or_default().split(',');
    let names = dependencies.filter_map(|one| one.split_whitespace().next());
    names.filter(|name| PARTS.iter().any(|part| name.starts_with(part))).map(str::to_owned).collect()
}

/// The image and the folder of modules, wherever this suite puts them.
fn find(root: &Path) -> Result<(PathBuf, PathBuf)> {
    let modules = ["usr/lib/modules", "lib/modules"].map(|path| root.join(path));
    let modules = modules.iter().find(|path| path.is_dir()).context("the packages have no modules")?;
    let modules = entries(modules)?.pop().context("the packages have no modules")?;
    let mut images = vec![modules.join("vmlinuz")];
    if let Ok(boot) = entries(&root.join("boot")) {
        let is_image = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        };
        images.extend(boot.into_iter().filter(is_image));
    }
    let image = images.into_iter().find(|path| path.is_file()).context("the packages have no image")?;
    Ok((image, modules))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_kernel_are_found_among_all_dependencies() {
        let old = "Package: linux-image-6.1.0-1-cloud-amd64\nVersion: 6.1.9-1\nDepends: kmod, linux-base (>= 4.3~)\n";
        assert_eq!((field(old, "Version"), parts_of(old)), (Some("6.1.9-1"), vec![]));
        let new = "Depends: dracut | linux-initramfs-tool, linux-base-7 (= 1), linux-binary-7 (= 1), linux-modules-7 (= 1)";
        assert_eq!(parts_of(new), ["linux-binary-7", "linux-modules-7"]);
        assert_eq!(
            parts_of("Depends: linux-image-6.1.0-1-cloud-amd64 (= 6.1.9-1)"),
            ["linux-image-6.1.0-1-cloud-amd64"]
        );
    }
}
