//! The client's side: connects to a daemon, and shows what it says as lines, tables or JSON.

mod cells;
mod chosen;
mod color;
mod compact;
mod comparison;
mod connect;
mod container;
mod detail;
mod error;
mod escape;
mod explain;
mod folded;
mod gap;
mod incident;
mod json;
mod label;
mod look;
mod lost;
mod nodes;
mod origin;
mod session;
mod status;
mod summary;
mod time;
mod yaml;

pub(crate) mod contexts;
pub(crate) mod listing;
pub(crate) mod parquet;
pub(crate) mod recorded;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod top;

pub(crate) use chosen::Chosen;
pub(crate) use color::{Color, Paint, Painter};
pub(crate) use compact::Lines;
pub(crate) use comparison::{compared_columns, differs, write_comparison};
pub(crate) use connect::{Answers, Client, Server, Target, Tls, Unread};
pub(crate) use error::Error;
pub(crate) use escape::escape;
pub(crate) use explain::{explained_columns, write_explanation};
pub(crate) use gap::words as gap_words;
pub(crate) use incident::{INCIDENTS, write_incident, write_incidents, write_update};
pub(crate) use json::{write_encoded, write_json, write_value, write_whole};
pub(crate) use look::{Format, Look};
pub(crate) use nodes::{Nodes, of_node, write_missing};
pub(crate) use origin::Origin;
pub(crate) use session::Session;
pub(crate) use status::{write_capability, write_status};
pub(crate) use summary::{Sort, Window, sort, summary_columns, write_brief, write_tables};
pub(crate) use time::{TimeFormat, after, nanos};

use crate::units;
