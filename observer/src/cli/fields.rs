//! The flag that says which fields or columns are shown.

use super::options::Output;
use crate::client::table::Column;
use crate::client::{Chosen, Error, Look};

/// What is shown.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Fields {
    /// Show these alone, in this order. With json and yaml: fields by their paths in the API, such as
    /// time,type,workload.pod; only these are asked for. Else: columns of the table by their names, such as
    /// workload,rtt-p99; of events and of the status, which have no columns, fields as well, `-` where one is absent
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
}

/// How the output looks on this stdout, now.
pub(super) fn look(output: &Output, chosen: &Chosen) -> Look {
    Look { chosen: chosen.clone(), ..output.look() }
}
