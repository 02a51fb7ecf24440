//! `cargo xtask image`: an image of the observer, from the release binary and what it needs, without an engine for containers.

mod tree;

mod layer;
mod program;

mod libraries;
mod packages;

mod root;

mod archive;
mod bill;

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::archive::About;
use self::layer::{Layer, digest};
use self::packages::Packages;
use self::program::{Elf, without_debug_information};
use self::tree::Tree;
use crate::command::{cargo, check, output};
use crate::workspace;

/// A larger archive is an error.
const MOST_BYTES: usize = 40 << 20;
/// Where the bill of materials is in the image.
const BILL: &str = "/usr/share/observer/observer.cdx.json";

/// What is made of what.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Take this program instead of building one in release
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Write the archive here, and its bill of materials beside it as .cdx.json [default: image/observer-ARCHITECTURE.tar in
    /// cargo's target folder]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The image's whole name, with a tag
    #[arg(long, value_name = "NAME:TAG", default_value = concat!("localhost/observer:", env!("CARGO_PKG_VERSION")), value_parser = name)]
    name: String,
}

/// Makes the image and says what it is.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let path = if let Some(path) = &arguments.binary {
        path.clone()
    } else {
        check(&mut cargo(&["build", "--locked", "--release", "--package", "observer"]))?;
        workspace::observer_binary()
    };
    let data = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let program = Elf::read(&data).with_context(|| format!("cannot use {}", path.display()))?;
    let time = time()?;
    let base = root::base(&program, &Packages::of_this_machine()?)?;
    let bill = bill::of(program.processor, &base.packages)?;
    let mut own = Tree::default();
    own.file("/usr/bin/observer", 0o755, without_debug_information(&data)?);
    own.file(BILL, 0o644, bill.as_slice());
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        own.file(
            &format!("/usr/share/doc/observer/{licence}"),
            0o644,
            fs::read(workspace::root().join(licence))?,
        );
    }
    // What changes with each release is behind what does not.
    let layers = [Layer::of(&base.tree, time)?, Layer::of(&own, time)?];
    let about = About {
        name: arguments.name.clone(),
        processor: program.processor,
        time,
        created: jiff::Timestamp::from_second(time.cast_signed())?.to_string(),
        labels: labels(arguments.binary.is_none()),
    };
    let archive = archive::archive(&about, &layers)?;
    ensure!(archive.len() < MOST_BYTES, "the image has {} bytes, more than {MOST_BYTES}", archive.len());
    let file = arguments.output.clone().unwrap_or_else(|| {
        workspace::target_directory().join(format!("image/observer-{}.tar", program.processor.name()))
    });
    write(&file, &archive)?;
    write(&file.with_extension("cdx.json"), &bill)?;
    println!(
        "{}: {} for {}, {:.1} MiB",
        file.display(),
        about.name,
        about.processor.name(),
        archive.len() as f64 / f64::from(1 << 20)
    );
    println!("{}", digest(&archive));
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let told = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(told)?;
    }
    fs::write(path, content).with_context(told)
}

/// The time that all of it has: as `SOURCE_DATE_EPOCH` says, else that of the last commit, else the beginning of time.
fn time() -> Result<u64> {
    if let Some(text) = env::var_os("SOURCE_DATE_EPOCH") {
        let text = text.to_string_lossy();
        return text
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH is {text:?}, which is no number of seconds"));
    }
    Ok(git(&["log", "-1", "--format=%ct"]).and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What is said of the image. Of which commit the program is, is known only where it was built just now, of nothing else.
fn labels(built: bool) -> HashMap<String, String> {
    let clean = || git(&["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    let revision = if built && clean() { git(&["rev-parse", "HEAD"]) } else { None };
    let all = [
        ("title", Some("observer".to_owned())),
        (
            "description",
            Some("Shows what the containers of this machine do on the network and as processes".to_owned()),
        ),
        ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("licenses", Some("Apache-2.0 OR MIT".to_owned())),
        ("revision", revision),
    ];
    let given = all.into_iter().filter_map(|(key, value)| Some((key, value?)));
    given.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value)).collect()
}

fn git(words: &[&str]) -> Option<String> {
    let root = workspace::root().to_string_lossy();
    output("git", &[&["-C", &*root], words].concat()).map(|text| text.trim().to_owned())
}

/// A name that every tool takes for the same image: with its registry, so that none puts another one in front, and a tag.
fn name(text: &str) -> Result<String, String> {
    let well_formed = || {
        let (path, tag) = text.rsplit_once(':')?;
        let (registry, rest) = path.split_once('/')?;
        let is = |text: &str, more: &str| {
            let letter = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || more.contains(letter)
            };
            !text.is_empty() && text.chars().all(letter)
        };
        let has_registry = registry == "localhost" || registry.contains(['.', ':']);
        let has_tag = is(&tag.to_lowercase(), "._-") && tag.len() <= 128;
        (has_registry && has_tag && is(registry, ".-:") && rest.split('/').all(|part| is(part, "._-")))
            .then_some(())
    };
    well_formed().map(|()| text.to_owned()).ok_or_else(|| {
        "a name has its registry and a tag, such as registry.example.org/observer:1.0, or localhost/ for none".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole() {
        for good in
            ["localhost/observer:0.1.0", "registry.example.org:5000/team/observer:V1", "ghcr.io/a/b-c:x"]
        {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in [
            "observer",
            "observer:1",
            "team/observer:1",
            "localhost/observer",
            "localhost/Observer:1",
            "localhost/:1",
            "localhost/a:",
            "localhost//a:1",
            "localhost/a:b c",
        ] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_commit_is_named_for_a_program_from_elsewhere() {
        let labels = labels(false);
        assert!(labels.contains_key("org.opencontainers.image.version"));
        assert!(!labels.contains_key("org.opencontainers.image.revision"));
    }
}
