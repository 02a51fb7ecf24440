//! Certificates and keys in files, all of them PEM: how they are read, and whether they are others by now.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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

/// All that a file has of a kind, which is at least one.
pub(crate) fn several<T: PemObject>(what: &'static str, path: &Path) -> Result<Vec<T>, CredentialsError> {
    let failed = |source| CredentialsError::Read { what, path: path.to_owned(), source };
    let found: Vec<T> = T::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(CredentialsError::Empty { what, path: path.to_owned() }) } else { Ok(found) }
}

/// A certificate, followed by those that lead to its authority.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    several("certificates", path)
}

/// A key.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    let failed = |source| CredentialsError::Read { what: "a private key", path: path.to_owned(), source };
    PrivateKeyDer::from_pem_file(path).map_err(failed)
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
