//! The flag that says which fields or columns are shown.

use super::options::Output;
use crate::client::table::Column;
use crate::client::{Chosen, Error, Look};

/// What is shown.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Fields {
    /// Show these alone. With json and yaml: fields by their paths in the API, such as time,type,workload.pod; only
    /// these are asked for, and only they are written of each item. Else: columns of the table in this order, by their
    /// names, such as workload,rtt-p99; events and the status, which have no such columns, are shown as a table of
    /// fields, `-` where one is absent
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', num_args = 1)]
    fields: Vec<String>,
}

impl Fields {
    /// What the names mean: fields of `item`, a message of the API, or, where `columns` are shown, some of these.
    pub(super) fn of(
        &self,
        output: &Output,
        item: &'static str,
        columns: &[Column],
    ) -> Result<Chosen, Error> {
        Chosen::of(&self.fields, output.format(), item, columns)
    }

    /// The same with a field without which the others, written one by one, mean nothing.
    pub(super) fn with(mut self, path: &str, output: &Output) -> Self {
        if !self.fields.is_empty() && output.format().is_whole() {
            self.fields.push(path.to_owned());
        }
        self
    }
}

/// How the output looks on this stdout, now.
pub(super) fn look(output: &Output, chosen: &Chosen) -> Look {
    Look { chosen: chosen.clone(), ..output.look() }
}
