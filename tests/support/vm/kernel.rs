//! A kernel that set-up has fetched: its image, and its modules in the order in which they can be loaded.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::image::busybox;

/// One kernel below `target/kernels`.
#[derive(Debug)]
pub(super) struct Kernel {
    /// What it boots from.
    pub(super) image: PathBuf,
    /// Its package's exact version.
    pub(super) version: String,
    /// The files of all its modules by name, written with `_`.
    modules: BTreeMap<String, PathBuf>,
}

/// A module that is ready to be loaded.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name with `_`.
    pub(super) name: String,
    /// The module itself, not compressed.
    pub(super) content: Vec<u8>,
}

impl Kernel {
    /// The kernel of that name, such as `6.1`.
    pub(super) fn find(name: &str) -> Result<Self> {
        // target/<profile>/deps/<test>
        let own = std::env::current_exe()?;
        let target = own.ancestors().nth(3).context("the test is in no target folder")?;
        let dir = target.join("kernels").join(name);
        let version = fs::read_to_string(dir.join("version")).with_context(|| {
            format!("no kernel {name} in {}: cargo xtask setup --tests fetches it", dir.display())
        })?;
        let mut modules = BTreeMap::new();
        collect(&dir.join("modules"), &mut modules)?;
        Ok(Self { image: dir.join("vmlinuz"), version: version.trim().to_owned(), modules })
    }

    /// The modules of those names and all that they depend on, each after what it depends on.
    ///
    /// One that has no file is built into this kernel: were it missing, what needs it would fail in the guest.
    pub(super) fn modules(&self, names: &[&str]) -> Result<Vec<Module>> {
        let mut ordered = Vec::new();
        for name in names {
            self.add(name, &mut ordered)?;
        }
        Ok(ordered)
    }

    fn add(&self, name: &str, ordered: &mut Vec<Module>) -> Result<()> {
        let name = name.replace('-', "_");
        let Some(file) = self.modules.get(&name) else { return Ok(()) };
        if ordered.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let content = unpacked(file)?;
        for dependency in dependencies(&content) {
            self.add(&dependency, ordered)?;
        }
        ordered.push(Module { name, content });
        Ok(())
    }
}

fn collect(dir: &Path, modules: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, modules)?;
            continue;
        }
        let file = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if let Some((name, "ko" | "ko.xz")) = file.split_once('.') {
            modules.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn unpacked(file: &Path) -> Result<Vec<u8>> {
    if file.extension() != Some(OsStr::new("xz")) {
        return Ok(fs::read(file)?);
    }
    let output = Command::new(busybox()?).arg("xzcat").arg(file).output().context("cannot run busybox")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot unpack {}: {error}", file.display());
    Ok(output.stdout)
}

/// What a module says of itself: strings of the form `depends=one,two`, which end with a zero.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let value = String::from_utf8_lossy(value).into_owned();
    value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
