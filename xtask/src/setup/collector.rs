//! Builds OpenTelemetry's Collector of the source that Debian has packaged, with Debian's Go; neither is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::archive::{PrivateApt, field, put_in_place, workplace};
use crate::command::check;
use crate::workspace;

/// What it is called.
pub(super) const NAME: &str = "OpenTelemetry Collector";
/// What it is for.
pub(super) const REASON: &str = "takes what the daemon exports, by the configuration in deploy/collector";
/// The first suite that has its source.
const SUITE: &str = "forky";
const SOURCE: &str = "golang-opentelemetry-collector-dev";
/// Large packages that its dependencies lead to, and of which it uses nothing.
const UNUSED: [&str; 12] = [
    "golang-github-apache-",
    "golang-github-aws-",
    "golang-github-cloudflare-",
    "golang-github-go-git-",
    "golang-github-google-go-github-",
    "golang-github-google-pprof-",
    "golang-golang-x-image-",
    "golang-golang-x-tools",
    "golang-gonum-v1-plot-",
    "golang-google-api-",
    "golang-google-cloud-",
    "golang-mongodb-",
];

fn folder() -> PathBuf {
    workspace::target_directory().join("collector")
}

/// Whether it has been built.
pub(super) fn is_here() -> bool {
    folder().join("version").is_file()
}

/// What to do where this cannot be done.
pub(super) fn by_hand() -> String {
    let folder = folder();
    let folder = folder.display();
    format!(
        "an OpenTelemetry Collector of 0.141 or later; put its program as otelcol into {folder}/bin, and the version into {folder}/version"
    )
}

/// Downloads the source and Go, builds the program, and keeps that alone.
pub(super) fn build() -> Result<()> {
    let folder = folder();
    let work = workplace(&folder)?;
    let apt = PrivateApt::new(&work.join("apt"), SUITE)?;
    let text = apt.show(SOURCE)?;
    let version = field(&text, "Version").context("a package without a version")?;
    println!("setup: {SOURCE} is {version} of {SUITE}");
    let mut packages = apt.with_dependencies(&[SOURCE, "golang-go"])?;
    packages
        .retain(|name| name.starts_with("golang-") && !UNUSED.iter().any(|unused| name.starts_with(unused)));
    let root = apt.unpack(&packages, &work)?;
    compile(&work, &root, version)?;
    put_in_place(&work, version, &folder)
}

fn compile(work: &Path, root: &Path, version: &str) -> Result<()> {
    let go = fs::canonicalize(root.join("usr/lib/go")).context("no Go in the package golang-go")?;
    // Libraries come by paths, not by modules, in Debian's packages.
    let own = work.join("go");
    let source = own.join("src/otelcol");
    fs::create_dir_all(&source)?;
    fs::write(source.join("main.go"), include_str!("collector.go"))?;
    let paths = std::env::join_paths([own, root.join("usr/share/gocode")])?;
    let mut command = Command::new(go.join("bin/go"));
    command.current_dir(&source).env("GOROOT", &go).env("GOPATH", paths);
    command.env("GOCACHE", work.join("cache")).env("HOME", work).env_remove("GOFLAGS");
    for (name, value) in
        [("GO111MODULE", "off"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")]
    {
        command.env(name, value);
    }
    let number = version.split(['-', '+', '~']).next().unwrap_or(version);
    let flags = format!("-s -w -X main.version={number}");
    command.args(["build", "-trimpath", "-ldflags", &flags, "-o"]).arg(work.join("new/bin/otelcol"));
    check(&mut command)
}
