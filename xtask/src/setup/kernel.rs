//! Fetches a kernel from a Debian suite.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::archive::{PrivateApt, entries, field, put_in_place, workplace};
use crate::kernels::Kernel;

/// What the packages that make up a kernel are called; newer suites part image and modules.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// What to do where this cannot be done.
pub(super) fn by_hand(kernel: &Kernel<'_>) -> String {
    let (name, suite, folder) = (kernel.name, kernel.suite, kernel.folder());
    let package = kernel.package;
    let folder = folder.display();
    format!(
        "kernel {name}: {package} of Debian's {suite}, or another one with BTF, veth and netem; put its image at \
         {folder}/vmlinuz, what is in its folder below /lib/modules at {folder}/modules, and its version into \
         {folder}/version"
    )
}

/// Downloads the suite's newest kernel and unpacks image and modules into its folder.
pub(super) fn fetch(kernel: &Kernel<'_>) -> Result<()> {
    let folder = kernel.folder();
    let work = workplace(&folder)?;
    let apt = PrivateApt::new(&work.join("apt"), kernel.suite)?;
    let (version, packages) = parts(&apt, kernel.package)?;
    println!("setup: kernel {} is {version} of {}", kernel.name, kernel.suite);
    let (image, modules) = find(&apt.unpack(&packages, &work)?)?;
    let new = work.join("new");
    fs::rename(image, new.join("vmlinuz"))?;
    fs::rename(modules, new.join("modules"))?;
    put_in_place(&work, &version, &folder)
}

/// The version of the suite's newest kernel, and the packages that it consists of.
fn parts(apt: &PrivateApt, first: &str) -> Result<(String, Vec<String>)> {
    let mut newest = None;
    let mut waiting = vec![first.to_owned()];
    let mut found: Vec<String> = Vec::new();
    while let Some(package) = waiting.pop() {
        let text = apt.show(&package)?;
        newest.get_or_insert(field(&text, "Version").context("a package without a version")?.to_owned());
        let more = parts_of(&text);
        waiting.extend(more.into_iter().filter(|name| !found.contains(name)));
        found.push(package);
    }
    Ok((newest.unwrap_or_default(), found))
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
