//! The guest's only file system: busybox, the observer, the workload, tools for the truth, and the kernel's modules.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use cpio::newc::{self, Builder, ModeFileType};

use super::kernel::Kernel;
use crate::client::observer;
use crate::guardian::program;
use crate::image::{busybox, shared_objects};

/// What the guest talks to its host with, what its network is made of, and what breaks it.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_console", "veth", "sch_netem"];

/// The system's own programs that go into the guest.
const TOOLS: [&str; 4] = ["ip", "tc", "bpftool", "dnsmasq"];

/// Where distributions put programs for root.
const TOOL_DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// Writes the archive for a kernel.
pub(super) fn write(kernel: &Kernel, archive: &Path) -> Result<()> {
    let mut files = BTreeMap::new();
    let mut add = |path: String, content: Vec<u8>| files.insert(path, content);
    add("init".to_owned(), include_bytes!("init.sh").to_vec());
    add("bin/busybox".to_owned(), fs::read(busybox()?)?);
    let mut programs =
        vec![("observer".to_owned(), observer()?), ("workload".to_owned(), program("workload")?)];
    for name in TOOLS {
        let mut paths = TOOL_DIRECTORIES.iter().map(|dir| Path::new(dir).join(name));
        let path = paths.find(|path| path.is_file());
        let path = path.with_context(|| format!("no {name}: cargo xtask setup --tests installs it"))?;
        programs.push((name.to_owned(), path));
    }
    for (name, path) in programs {
        for object in shared_objects(&path)? {
            let content = fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
            add(object.strip_prefix("/")?.display().to_string(), content);
        }
        add(format!("usr/bin/{name}"), fs::read(&path)?);
    }
    let mut order = String::new();
    for module in kernel.modules(&MODULES)? {
        let file = format!("{}.ko", module.name);
        order.push_str(&file);
        order.push('\n');
        add(format!("modules/{file}"), module.content);
    }
    add("modules/order".to_owned(), order.into_bytes());
    pack(&files, archive)
}

/// Writes an archive of those files, of the folders that they are in, and of those that the guest mounts on.
fn pack(files: &BTreeMap<String, Vec<u8>>, archive: &Path) -> Result<()> {
    let mut output = BufWriter::new(File::create(archive)?);
    let mounts = ["proc", "sys", "dev", "tmp", "run", "etc", "var"].map(|name| format!("{name}/x"));
    let mut folders = Vec::new();
    for path in files.keys().chain(&mounts) {
        let parents = Path::new(path).ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
        folders.extend(parents.map(|path| path.display().to_string()));
    }
    // A folder comes before what is in it.
    folders.sort_unstable();
    folders.dedup();
    let mut number = 0;
    let mut entry = |name: &str, kind, content: &[u8]| -> Result<()> {
        number += 1;
        let entry = Builder::new(name).ino(number).nlink(1).mode(0o755).set_mode_file_type(kind);
        let mut writer = entry.write(&mut output, content.len().try_into()?);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    };
    for folder in &folders {
        entry(folder, ModeFileType::Directory, &[])?;
    }
    for (path, content) in files {
        entry(path, ModeFileType::Regular, content)?;
    }
    newc::trailer(&mut output)?;
    Ok(output.flush()?)
}
