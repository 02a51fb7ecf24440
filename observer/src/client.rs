//! The client's side: connects to a daemon, and shows what it says as lines, tables or JSON.

mod color;
mod compact;
mod connect;
mod container;
mod detail;
mod error;
mod escape;
mod explain;
mod folded;
mod json;
mod label;
mod look;
mod lost;
mod origin;
mod status;
mod summary;
mod table;
mod time;
mod units;
mod yaml;

pub(crate) mod listing;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod top;

pub(crate) use color::{Paint, Painter};
pub(crate) use compact::Lines;
pub(crate) use connect::{Answers, Client, Server};
pub(crate) use error::Error;
pub(crate) use escape::escape;
pub(crate) use explain::write_explanation;
pub(crate) use json::{write_json, write_value, write_whole};
pub(crate) use look::{Format, Look};
pub(crate) use origin::Origin;
pub(crate) use status::{write_capability, write_status};
pub(crate) use summary::{Sort, Window, write_brief, write_tables};
pub(crate) use time::TimeFormat;
