//! The command line of the workload: flags with and without a value, and plain words.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

/// Flags that stand alone; every other one takes the word after it as its value.
const SWITCHES: [&str; 11] = [
    "--v4",
    "--echo",
    "--sink",
    "--stall",
    "--reset",
    "--log",
    "--linger0",
    "--unread",
    "--summary",
    "--listen",
    "--one-thread",
];

/// The words after the subcommand.
#[derive(Debug, Default)]
pub(crate) struct Args {
    flags: HashMap<String, String>,
    words: Vec<String>,
}

impl Args {
    /// Sorts the words into flags and plain words.
    pub(crate) fn parse(mut input: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Self::default();
        while let Some(word) = input.next() {
            if SWITCHES.contains(&word.as_str()) {
                args.flags.insert(word, String::new());
            } else if word.starts_with("--") {
                let value = input.next().ok_or_else(|| format!("{word} needs a value"))?;
                args.flags.insert(word, value);
            } else {
                args.words.push(word);
            }
        }
        Ok(args)
    }

    /// Whether a flag was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.contains_key(flag)
    }

    /// A flag's value as it was given.
    pub(crate) fn text(&self, flag: &str) -> Option<&str> {
        self.flags.get(flag).map(String::as_str)
    }

    /// A flag's value, if it was given.
    pub(crate) fn optional<T: FromStr>(&self, flag: &str) -> Result<Option<T>, String> {
        self.flags.get(flag).map(|value| parsed(flag, value)).transpose()
    }

    /// A flag's value, or `default`.
    pub(crate) fn or<T: FromStr>(&self, flag: &str, default: T) -> Result<T, String> {
        Ok(self.optional(flag)?.unwrap_or(default))
    }

    /// The value of a flag that must be there.
    pub(crate) fn required<T: FromStr>(&self, flag: &str) -> Result<T, String> {
        self.optional(flag)?.ok_or_else(|| format!("{flag} is missing"))
    }

    /// A flag's value in milliseconds.
    pub(crate) fn milliseconds(&self, flag: &str) -> Result<Option<Duration>, String> {
        Ok(self.optional(flag)?.map(Duration::from_millis))
    }

    /// The one plain word, called `name` in errors.
    pub(crate) fn word<T: FromStr>(&self, name: &str) -> Result<T, String> {
        match self.words.as_slice() {
            [word] => parsed(name, word),
            words => Err(format!("exactly one {name} is expected, not {}", words.len())),
        }
    }
}

fn parsed<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_error| format!("{name} cannot be {value:?}"))
}
