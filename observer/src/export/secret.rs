//! A token or key, which comes from a file or the environment and is shown nowhere.

use std::fmt;
use std::io;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::credentials::content;

/// No secret is longer.
const MOST_BYTES: usize = 64 << 10;

/// Where a secret is. It is read each time that it is needed: a file may have another one by then.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// A file, of which a newline at the end is no part.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
}

/// Why there is none. Says where it was to be, and nothing of what is there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The file.
    #[error("cannot read the secret in {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// It is not set, or no text.
    #[error("the environment has no text for {0}")]
    Env(String),
    /// It is empty, too long, or has control characters.
    #[error("the secret in {0} is empty, longer than 64 KiB or no line of text")]
    Useless(String),
}

impl Secret {
    /// The secret as it is now.
    pub(crate) fn read(&self) -> Result<SecretString, SecretError> {
        let (place, text) = match self {
            Self::File(path) => {
                let read = |source| SecretError::Read { path: path.clone(), source };
                let bytes = content(path, MOST_BYTES + 4).map_err(read)?;
                let text = std::str::from_utf8(&bytes)
                    .map_err(|_invalid| read(io::Error::other("it is no text")))?;
                (path.display().to_string(), SecretString::from(text.trim_end_matches(['\r', '\n'])))
            }
            Self::Env(name) => {
                let text = std::env::var(name).map_err(|_unset_or_no_text| SecretError::Env(name.clone()))?;
                (format!("the variable {name}"), SecretString::from(text))
            }
        };
        let exposed = secrecy::ExposeSecret::expose_secret(&text);
        if exposed.is_empty() || exposed.len() > MOST_BYTES || exposed.chars().any(char::is_control) {
            return Err(SecretError::Useless(place));
        }
        Ok(text)
    }
}

impl fmt::Debug for Secret {
    /// Where it is, and not what.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "the secret in {}", path.display()),
            Self::Env(name) => write!(out, "the secret in ${name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use std::path::Path;

    use super::*;

    #[test]
    fn it_is_read_anew_and_told_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = Secret::File(path.clone());
        assert!(secret.read().unwrap_err().to_string().starts_with("cannot read the secret in "));
        for text in ["one", "two"] {
            std::fs::write(&path, format!("{text}\n")).unwrap();
            let read = secret.read().unwrap();
            assert_eq!(read.expose_secret(), text);
            assert!(!format!("{read:?}{secret:?}").contains(text));
        }
        for useless in ["", "\n", "a\nb", "a\u{1b}b"] {
            std::fs::write(&path, useless).unwrap();
            let error = secret.read().unwrap_err().to_string();
            assert!(error.ends_with("is empty, longer than 64 KiB or no line of text"), "{error}");
        }
        let longest = "x".repeat(MOST_BYTES);
        std::fs::write(&path, format!("{longest}\r\n")).unwrap();
        assert_eq!(secret.read().unwrap().expose_secret(), longest);
        for longer in [1, 9, 1 << 20] {
            std::fs::write(&path, format!("{longest}{}\n", "x".repeat(longer))).unwrap();
            assert!(matches!(secret.read(), Err(SecretError::Useless(_))));
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(secret.read().is_err());
        assert!(Secret::Env("OBSERVER_NO_SUCH_VARIABLE".to_owned()).read().is_err());
        let home = Secret::Env("PATH".to_owned()).read().unwrap();
        assert!(!home.expose_secret().is_empty());
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = Secret::File(path.to_owned()).read().unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "it is no regular file", "{error}");
        }
    }
}
