//! Finds a program's shared libraries as its loader would, without running anything of another processor's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::program::{Elf, Processor};

/// The loader and all libraries, by their path inside the image; where they are on this machine, links followed.
pub(super) fn of(program: &Elf) -> Result<BTreeMap<String, PathBuf>> {
    let loader =
        program.loader.as_deref().context("it has no loader: this is no program that glibc loads")?;
    let mut found = BTreeMap::new();
    let (path, elf) = take(Path::new(loader), program.processor)?;
    ensure!(elf.needed.is_empty(), "{loader} needs {:?}", elf.needed);
    found.insert(loader.to_owned(), path);
    let mut open = program.needed.clone();
    while let Some(name) = open.pop() {
        // The loader finds itself.
        let is_loader = Path::new(loader).file_name().is_some_and(|own| *own == *name);
        let inside = format!("/usr/lib/{}/{name}", program.processor.triplet());
        if is_loader || found.contains_key(&inside) {
            continue;
        }
        let (path, elf) = take(&find(&name, program.processor)?, program.processor)?;
        open.extend(elf.needed);
        found.insert(inside, path);
    }
    Ok(found)
}

/// Where Debian's loader looks, in its order.
fn find(name: &str, processor: Processor) -> Result<PathBuf> {
    ensure!(!name.contains('/'), "{name} is a path and not a library's name");
    let folders = [format!("/lib/{}", processor.triplet()), format!("/usr/lib/{}", processor.triplet())];
    let paths = folders.iter().map(|folder| Path::new(folder).join(name));
    paths.into_iter().find(|path| path.is_file()).with_context(|| {
        format!(
            "no {name} in {}: an image is made of Debian's libraries for {} (libc6:{2}, libgcc-s1:{2})",
            folders.join(" and "),
            processor.name(),
            processor.name()
        )
    })
}

fn take(path: &Path, processor: Processor) -> Result<(PathBuf, Elf)> {
    let read = || -> Result<_> {
        let real = fs::canonicalize(path)?;
        let elf = Elf::read(&fs::read(&real)?)?;
        ensure!(elf.processor == processor, "it is for {}", elf.processor.name());
        Ok((real, elf))
    };
    read().with_context(|| format!("cannot use {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Elf {
        Elf::read(&fs::read("/proc/self/exe").unwrap()).unwrap()
    }

    #[test]
    fn it_finds_what_ldd_finds() {
        let output = std::process::Command::new("ldd").arg("/proc/self/exe").output();
        let Ok(output) = output else { panic!("no ldd") };
        let own_path = fs::read_link("/proc/self/exe").unwrap();
        let output = if output.status.success() && !output.stdout.is_empty() {
            std::process::Command::new("ldd").arg(own_path).output().unwrap()
        } else {
            output
        };
        let text = String::from_utf8(output.stdout).unwrap();
        let mut expected: Vec<PathBuf> = text
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
            .map(|path| fs::canonicalize(path).unwrap())
            .collect();
        expected.sort();
        let mut found: Vec<PathBuf> = of(&own()).unwrap().into_values().collect();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_cannot_be_found_is_named_with_the_package_that_would_have_it() {
        let none = Elf { needed: vec!["libnone.so.1".to_owned()], ..own() };
        let said = format!("{:#}", of(&none).unwrap_err());
        assert!(said.contains("libnone.so.1") && said.contains("libc6:"), "{said}");
        assert!(of(&Elf { needed: vec!["../libc.so.6".to_owned()], ..own() }).is_err());
        assert!(of(&Elf { loader: None, ..own() }).is_err());
    }

    #[test]
    fn libraries_of_another_processor_are_refused() {
        let other = match own().processor {
            Processor::Amd64 => Processor::Arm64,
            Processor::Arm64 => Processor::Amd64,
        };
        let said = format!("{:#}", of(&Elf { processor: other, ..own() }).unwrap_err());
        assert!(said.contains("it is for "), "{said}");
    }
}
