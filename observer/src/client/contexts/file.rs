//! Reads the client's configuration: TOML, with a table for each context.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::connect::{Server, Tls};
use super::{Context, Contexts, Error};
use crate::config;

/// The keys outside of contexts.
const KEYS: [&str; 5] = ["context", "output", "color", "time_format", "contexts"];
/// The keys of a context.
const CONTEXT_KEYS: [&str; 6] = ["server", "tls_ca", "tls_cert", "tls_key", "tls_server_name", "timeout"];

impl Contexts {
    /// Reads a file that has to be there.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Reader { path, text: &text }.contexts()
    }
}

/// A key with its value.
type Entry<'a> = (&'a str, &'a Spanned<DeValue<'a>>);

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn contexts(&self) -> Result<Contexts, Error> {
        let table = DeTable::parse(self.text).map_err(|error| Error::Syntax {
            path: self.path.to_owned(),
            line: self.line(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let mut contexts = Contexts { file: Some(self.path.to_owned()), ..Contexts::default() };
        for (key, value) in table.get_ref() {
            let name: &str = key.get_ref();
            let entry = (name, value);
            match name {
                "context" => {
                    contexts.current = Some((self.text_of(entry)?.to_owned(), self.line(value.span().start)));
                }
                "output" => contexts.output = Some(self.choice(entry)?),
                "color" => contexts.color = Some(self.choice(entry)?),
                "time_format" => contexts.time_format = Some(self.choice(entry)?),
                "contexts" => {
                    for (name, value) in self.table(entry, "a table for each context, `[contexts.NAME]`")? {
                        let name: &str = name.get_ref();
                        contexts.all.push(self.context(name, value)?);
                    }
                }
                _ => return Err(self.unknown(key.span().start, name, &KEYS)),
            }
        }
        contexts.all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(contexts)
    }

    fn context(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Context, Error> {
        let at = format!("contexts.{name}");
        let (mut server, mut timeout, mut tls, mut files) = (None, None, Tls::default(), Vec::new());
        for (key, value) in self.table((&at, value), "a table with a `server`")? {
            let inner = format!("{at}.{}", key.get_ref());
            let entry: Entry<'_> = (&inner, value);
            let mut file = |key| {
                let path = self.file(entry)?;
                files.push((key, path.clone(), self.line(value.span().start)));
                Ok(Some(path))
            };
            match &**key.get_ref() {
                "server" => server = Some(self.parsed(entry, Server::ALLOWED, |text| text.parse().ok())?),
                "tls_ca" => tls.ca = file("tls_ca")?,
                "tls_cert" => tls.cert = file("tls_cert")?,
                "tls_key" => tls.key = file("tls_key")?,
                "tls_server_name" => tls.server_name = Some(self.filled(entry)?.to_owned()),
                "timeout" => {
                    timeout = Some(self.parsed(entry, "durations above 0, such as \"5s\"", duration)?);
                }
                _ => return Err(self.unknown(key.span().start, &inner, &CONTEXT_KEYS)),
            }
        }
        let missing = |missing, why| Error::Missing {
            path: self.path.to_owned(),
            line: self.line(value.span().start),
            key: at.clone(),
            missing,
            why,
        };
        match (&tls.cert, &tls.key) {
            (Some(_), None) => return Err(missing("tls_key", "A certificate is of no use without its key")),
            (None, Some(_)) => return Err(missing("tls_cert", "A key is of no use without its certificate")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let server = server.ok_or_else(|| missing("server", "It says where the daemon is"))?;
        Ok(Context { name: name.to_owned(), server, tls, timeout, files })
    }

    /// A path; a relative one begins where this file is.
    fn file(&self, entry: Entry<'_>) -> Result<PathBuf, Error> {
        let text = self.filled(entry)?;
        Ok(self.path.parent().map_or_else(|| PathBuf::from(text), |folder| folder.join(text)))
    }

    fn choice<T: ValueEnum>(&self, entry: Entry<'_>) -> Result<T, Error> {
        let names: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|value| Some(format!("\"{}\"", value.to_possible_value()?.get_name())))
            .collect();
        self.parsed(entry, &names.join(", "), |text| T::from_str(text, false).ok())
    }

    fn parsed<T>(
        &self,
        entry: Entry<'_>,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Error> {
        let text = entry.1.get_ref().as_str().ok_or_else(|| self.wrong_type(entry, allowed))?;
        parse(text).ok_or_else(|| self.refused(entry, format_args!("\"{text}\""), allowed))
    }

    /// A text that is not empty.
    fn filled<'a>(&self, entry: Entry<'a>) -> Result<&'a str, Error> {
        let text = self.text_of(entry)?;
        if text.is_empty() {
            Err(self.refused(entry, format_args!("\"\""), "a text that is not empty"))
        } else {
            Ok(text)
        }
    }

    fn text_of<'a>(&self, entry: Entry<'a>) -> Result<&'a str, Error> {
        entry.1.get_ref().as_str().ok_or_else(|| self.wrong_type(entry, "a text in quotes"))
    }

    fn table<'a>(&self, entry: Entry<'a>, allowed: &str) -> Result<&'a DeTable<'a>, Error> {
        entry.1.get_ref().as_table().ok_or_else(|| self.wrong_type(entry, allowed))
    }

    fn wrong_type(&self, entry: Entry<'_>, allowed: &str) -> Error {
        self.refused(entry, format_args!("a value of the type {}", entry.1.get_ref().type_str()), allowed)
    }

    fn refused(&self, (key, value): Entry<'_>, given: fmt::Arguments<'_>, allowed: &str) -> Error {
        Error::Value {
            path: self.path.to_owned(),
            line: self.line(value.span().start),
            key: key.to_owned(),
            value: given.to_string(),
            allowed: allowed.to_owned(),
        }
    }

    fn unknown(&self, at: usize, key: &str, allowed: &[&str]) -> Error {
        let (path, line, key) = (self.path.to_owned(), self.line(at), key.to_owned());
        Error::UnknownKey { path, line, key, allowed: allowed.join(", ") }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

fn duration(text: &str) -> Option<Duration> {
    config::parse_duration(text).filter(|duration| !duration.is_zero())
}
