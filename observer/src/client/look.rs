//! How output looks: its format, its colours, its width, its times.

use jiff::tz::TimeZone;

use super::chosen::Chosen;
use super::color::Painter;
use super::time::{Clock, TimeFormat};

/// The output's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line an event, tables for the rest
    Compact,
    /// The same with more in it: addresses, connection ids, every column
    Wide,
    /// One JSON object a line
    Json,
    /// The same fields as YAML, a document each
    Yaml,
}

/// How output looks.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Its format.
    pub(crate) format: Format,
    /// Its colours.
    pub(crate) painter: Painter,
    /// Its width; `None`: unbounded.
    pub(crate) width: Option<u16>,
    /// How times are written.
    pub(crate) times: TimeFormat,
    /// The time zone of this machine.
    pub(crate) zone: TimeZone,
    /// What is shown.
    pub(crate) chosen: Chosen,
}

impl Format {
    /// It tells whole messages, field by field.
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

impl Look {
    /// What writes the times.
    pub(crate) fn clock(&self) -> Clock {
        Clock::new(self.times, self.zone.clone())
    }

    /// It tells whole messages, field by field.
    pub(crate) fn is_whole(&self) -> bool {
        self.format.is_whole()
    }

    /// More is wanted than fits a narrow terminal.
    pub(crate) fn is_wide(&self) -> bool {
        self.format == Format::Wide
    }
}
