//! The image of the binary under test, made by `cargo xtask image`, and a node that has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use observer_tests::Testbed;
use observer_tests::client::observer;
use observer_tests::guardian::Guardian;
use tokio::sync::OnceCell;

/// The image's name, as the manifests have it.
pub(crate) const IMAGE: &str = "localhost/observer:0.1.0";

/// Makes an image of the binary under test.
pub(crate) fn make(file: &Path) -> Result<()> {
    make_as(file, Vec::new())
}

/// The same, with further flags.
pub(crate) fn make_as(file: &Path, flags: Vec<String>) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--locked", "--package", "xtask", "--", "image", "--binary"]);
    command.arg(observer()?).arg("--output").arg(file).args(flags);
    for (name, _) in std::env::vars_os() {
        // What cargo has set for this package is not that one's.
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(&name);
        }
    }
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The image, made once for all tests.
pub(crate) async fn image() -> Result<&'static Path> {
    static MADE: OnceCell<PathBuf> = OnceCell::const_new();
    let made = MADE.get_or_try_init(async || {
        let file = Guardian::shared()?.scratch("image")?.join("observer.tar");
        let at = file.clone();
        tokio::task::spawn_blocking(move || make(&at)).await??;
        Ok::<_, anyhow::Error>(file)
    });
    Ok(made.await?)
}

/// A node that has the image, which tests share.
pub(crate) async fn node() -> Result<&'static Testbed> {
    static IMPORTED: OnceCell<()> = OnceCell::const_new();
    let testbed = Testbed::shared().await?;
    IMPORTED.get_or_try_init(|| import(testbed)).await?;
    Ok(testbed)
}

/// The same for one test alone.
pub(crate) async fn own_node() -> Result<Testbed> {
    let testbed = Testbed::start().await?;
    import(&testbed).await?;
    Ok(testbed)
}

/// The same with a containerd of 2.0 or later.
pub(crate) async fn newer_node() -> Result<Testbed> {
    let testbed = Testbed::start_newer().await?;
    import(&testbed).await?;
    Ok(testbed)
}

async fn import(testbed: &Testbed) -> Result<()> {
    let imported = testbed.ctr(&["images", "import", &image().await?.display().to_string()])?;
    let listed = testbed.ctr(&["images", "list", "--quiet"])?;
    ensure!(listed.lines().any(|name| name == IMAGE), "{imported}{listed}");
    Ok(())
}

/// A file of the image, as its layers have it.
pub(crate) fn file_of(image: &Path, path: &str) -> Result<Vec<u8>> {
    let folder = Guardian::shared()?.scratch("unpacked")?;
    let unpack = |archive: &Path, words: &[&str]| -> Result<bool> {
        let mut command = Command::new("tar");
        command.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(&folder).args(words);
        Ok(command.output()?.status.success())
    };
    ensure!(unpack(image, &[])?, "no archive");
    for blob in fs::read_dir(folder.join("blobs/sha256"))? {
        if unpack(&blob?.path(), &["--gzip", path])? {
            return Ok(fs::read(folder.join(path))?);
        }
    }
    anyhow::bail!("no {path}")
}
