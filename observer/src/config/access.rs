//! Who may ask the daemon: where the rules and the certificates are.

use std::path::PathBuf;

use super::{Error, Listen, Settings};

/// The files that say who may ask; each is there or not, as the daemon finds out when it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// Who may see what.
    pub(crate) file: Option<PathBuf>,
    /// Certificates, for TLS.
    pub(crate) tls: Option<Certificates>,
}

/// The files of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificates {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: PathBuf,
    pub(crate) client_crl: Option<PathBuf>,
}

const PATH: &str = "one file";

/// The files for these places to listen at.
pub(crate) fn access(settings: &Settings, listen: &[Listen]) -> Result<Access, Error> {
    let path = |key| -> Result<Option<PathBuf>, Error> {
        let Some(setting) = settings.get(key) else { return Ok(None) };
        let value = setting.single(PATH)?;
        if value.is_empty() { Err(setting.refused(value, PATH)) } else { Ok(Some(PathBuf::from(value))) }
    };
    let file = path("access_file")?;
    let tls = match (path("tls_cert")?, path("tls_key")?, path("tls_client_ca")?) {
        (Some(cert), Some(key), Some(client_ca)) => {
            Some(Certificates { cert, key, client_ca, client_crl: path("tls_client_crl")? })
        }
        (None, None, None) => None,
        (..) => return Err(Error::Together("tls_cert, tls_key and tls_client_ca")),
    };
    let secured = listen.iter().any(|place| matches!(place, Listen::Secured(_)));
    match (secured, &tls, &file) {
        (true, None, _) => {
            Err(Error::Needs { what: "listening at tls://", needs: "tls_cert, tls_key and tls_client_ca" })
        }
        (true, Some(_), None) => Err(Error::Needs {
            what: "listening at tls://",
            needs: "an access_file, or nobody may see anything there",
        }),
        (false, ..) | (true, Some(_), Some(_)) => Ok(Access { file, tls }),
    }
}
