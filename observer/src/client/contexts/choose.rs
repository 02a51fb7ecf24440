//! Which file is read, and which daemon is asked: flags over the environment over the context over defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::connect::{Server, Target, Tls};
use super::{Contexts, Error};

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// The daemon.
    pub(crate) server: Option<Server>,
    /// The context.
    pub(crate) context: Option<String>,
    /// How TLS is spoken.
    pub(crate) tls: Tls,
    /// How long answers may take.
    pub(crate) timeout: Option<Duration>,
}

/// The client's configuration, as it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum File {
    /// By somebody: it has to be there.
    Named(PathBuf),
    /// By nobody: it is read where it is there.
    Usual(PathBuf),
    /// Nobody says where it would be.
    None,
}

/// A variable of the environment; an empty one is none.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl File {
    /// The flag's, else the environment's, else the one in the user's own folder of configurations.
    pub(crate) fn find(flag: Option<&Path>, env: Env<'_>) -> Self {
        let named = flag.map(Path::to_owned).or_else(|| env("OBSERVER_CLIENT_CONFIG").map(PathBuf::from));
        if let Some(path) = named {
            return Self::Named(path);
        }
        // A relative one is to be left aside: https://specifications.freedesktop.org/basedir-spec
        let folder = env("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = folder.or_else(|| env("HOME").map(|home| Path::new(&home).join(".config")));
        folder.map_or(Self::None, |folder| Self::Usual(folder.join("observer/observer.toml")))
    }
}

impl Contexts {
    /// What the file says, or nothing where none has to be there.
    pub(crate) fn load(file: &File) -> Result<Self, Error> {
        match file {
            File::Named(path) => Self::read(path),
            File::Usual(path) if path.exists() => Self::read(path),
            File::Usual(_) | File::None => Ok(Self::default()),
        }
    }

    /// The name of the context that is used where no flag names one or a daemon.
    pub(crate) fn usual(&self, env: Env<'_>) -> Option<String> {
        env("OBSERVER_CONTEXT").or_else(|| self.current.as_ref().map(|(name, _)| name.clone()))
    }

    /// Whom to ask, and how. A context's settings belong to its daemon: where another one is named without a context,
    /// none is used.
    pub(crate) fn target(&self, flags: Flags, env: Env<'_>) -> Result<Target, Error> {
        let Flags { server, context, tls, timeout } = flags;
        let from_env = if server.is_none() && context.is_none() { server_of(env)? } else { None };
        let server = server.or(from_env);
        let name = context.or_else(|| if server.is_none() { self.usual(env) } else { None });
        let context = name.map(|name| self.find(&name)).transpose()?;
        let tls = tls.or(context.map(|context| context.tls.clone()).unwrap_or_default());
        match (&tls.cert, &tls.key) {
            (Some(_), None) => return Err(Error::HalfPair { given: "--tls-cert", missing: "--tls-key" }),
            (None, Some(_)) => return Err(Error::HalfPair { given: "--tls-key", missing: "--tls-cert" }),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let usual = Target::default();
        Ok(Target {
            server: server.or_else(|| context.map(|context| context.server.clone())).unwrap_or(usual.server),
            tls,
            timeout: timeout.or(context.and_then(|context| context.timeout)).unwrap_or(usual.timeout),
        })
    }
}

fn server_of(env: Env<'_>) -> Result<Option<Server>, Error> {
    const NAME: &str = "OBSERVER_SERVER";
    let parse = |value: String| {
        let parsed = value.parse();
        parsed.map_err(|_not_allowed| Error::Env { name: NAME, value, allowed: Server::ALLOWED })
    };
    env(NAME).map(parse).transpose()
}
