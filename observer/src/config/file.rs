//! Reads the configuration file: TOML, one flat table of the known keys, and tables of exporters.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::exporters::{self, Exporters};
use super::setting::{Origin, Setting};
use super::{Error, KEYS, Settings};

/// The settings of a file.
pub(crate) fn read(path: &Path) -> Result<(Settings, Exporters), Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<(Settings, Exporters), Error> {
    let line = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| Error::Syntax {
        path: path.to_owned(),
        line: line(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let (mut settings, mut tables) = (Settings::new(), DeTable::new());
    for (key, value) in table.into_inner() {
        let name: &str = key.get_ref();
        if exporters::TABLES.contains(&name) {
            tables.insert(key, value);
            continue;
        }
        let line = line(key.span().start);
        let Some(known) = KEYS.into_iter().find(|known| *known == name) else {
            return Err(Error::UnknownKey { path: path.to_owned(), line, key: name.to_owned() });
        };
        let origin = Origin::File { path: path.to_owned(), line, key: known };
        let values = values(value.get_ref()).map_err(|kind| Error::Value {
            origin: origin.clone(),
            value: kind.to_owned(),
            allowed: "a string, a whole number, true or false, or a list of strings".to_owned(),
        })?;
        settings.insert(known, Setting { origin, values });
    }
    let exporters = Exporters::read(tables).map_err(|refused| Error::Exporter {
        path: path.to_owned(),
        line: line(refused.at.start),
        key: refused.key,
        message: refused.message,
    })?;
    Ok((settings, exporters))
}

/// The value, or each value of a list, as it would be written on the command line; else its type.
fn values(value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    match value {
        DeValue::String(text) => Ok(vec![text.to_string()]),
        DeValue::Integer(number) if number.radix() == 10 => Ok(vec![number.as_str().to_owned()]),
        DeValue::Boolean(flag) => Ok(vec![flag.to_string()]),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned).ok_or("a list of others"))
            .collect(),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            Err(value.type_str())
        }
    }
}
