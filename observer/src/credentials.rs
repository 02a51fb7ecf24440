//! Certificates and keys in files, all of them PEM: how they are read, and whether they are others by now.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, RootCertStore};

/// Why such a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("cannot read {what} from {}", path.display())]
    Read { what: &'static str, path: PathBuf, source: pem::Error },
    #[error("{} holds no {what}", path.display())]
    Empty { what: &'static str, path: PathBuf },
    #[error("{} is not usable as an authority", path.display())]
    Authority { path: PathBuf, source: rustls::Error },
}

impl CredentialsError {
    /// With what caused it, for those who pass on words.
    pub(crate) fn words(self) -> String {
        format!("{:#}", anyhow::Error::from(self))
    }
}

/// No file of certificates is longer: all authorities of a system are less than 1 MiB.
const MOST_BYTES: usize = 4 << 20;
/// Room for what is read, though a file be shorter.
const LEAST_ROOM: usize = 64 << 10;

/// What is in a file, as far as that: a secret with a newline at its end and a little more, say. Leaves no copy of it behind. It
/// has to be a regular file, which nobody has to write first.
pub(crate) fn content(path: &Path, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // To open a pipe waits for whoever writes to it.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(most);
    // One that grew would leave its former places behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.max(LEAST_ROOM).min(most) + 64));
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// All of a file, if it is no longer than that.
fn whole(path: &Path) -> Result<Zeroizing<Vec<u8>>, pem::Error> {
    let text = content(path, MOST_BYTES + 1).map_err(pem::Error::Io)?;
    if text.len() > MOST_BYTES {
        return Err(pem::Error::Io(io::Error::other("it is longer than 4 MiB")));
    }
    Ok(text)
}

/// All that a file has of a kind, which is at least one.
pub(crate) fn several<T: PemObject>(what: &'static str, path: &Path) -> Result<Vec<T>, CredentialsError> {
    let failed = |source| CredentialsError::Read { what, path: path.to_owned(), source };
    let text = whole(path).map_err(failed)?;
    let found: Vec<T> = T::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(CredentialsError::Empty { what, path: path.to_owned() }) } else { Ok(found) }
}

/// A certificate, followed by those that lead to its authority.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    several("certificates", path)
}

/// A key.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    let failed = |source| CredentialsError::Read { what: "a private key", path: path.to_owned(), source };
    let text = whole(path).map_err(failed)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(failed)
}

/// The authorities whose certificates a file has.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, CredentialsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        let failed = |source| CredentialsError::Authority { path: path.to_owned(), source };
        roots.add(authority).map_err(failed)?;
    }
    Ok(roots)
}

/// What tells one version of some files from another: device, inode, size, and when they were last written.
pub(crate) type Stamps = Vec<Option<[i64; 5]>>;

/// Those of these files, through links: those of Kubernetes' volumes are links.
pub(crate) fn stamps<'a>(paths: impl Iterator<Item = &'a Path>) -> Stamps {
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        let size = i64::try_from(found.size()).unwrap_or(i64::MAX);
        Some([found.dev() as i64, found.ino() as i64, size, found.mtime(), found.mtime_nsec()])
    };
    paths.map(stamp).collect()
}
