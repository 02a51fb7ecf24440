//! The table of docs/kernels.md: what the doctor says in each kernel.
//!
//! With `OBSERVER_UPDATE_DOCS` a kernel's column is written; without, it has to be what the kernel says.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Written by tests alone.
const BEGIN: &str = "<!-- What follows is written by `cargo xtask kernels`. -->\n";
const END: &str = "<!-- That was it. -->\n";
/// A cell that nobody has written yet.
const UNKNOWN: &str = "?";

/// Rows are capabilities; each has a cell a column.
struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

/// The column of that kernel says what the doctor says. Kernels without a column are whoever names them's own.
pub(crate) fn is_documented(series: &str, diagnosis: &Value) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kernels.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let said = cells(diagnosis)?;
    let (before, rest) = text.split_once(BEGIN).context("the beginning of the table is not marked")?;
    let (old, after) = rest.split_once(END).context("the end of the table is not marked")?;
    let mut table = Table::parse(old)?;
    if !table.columns.iter().any(|column| column == series) {
        for (name, cell) in said {
            println!("{name}: {cell}");
        }
        return Ok(());
    }
    table.set(series, said);
    let new = table.text();
    if env::var_os("OBSERVER_UPDATE_DOCS").is_some() {
        return Ok(fs::write(path, [before, BEGIN, &new, END, after].concat())?);
    }
    ensure!(new == old, "docs/kernels.md is not what {series} says; `cargo xtask kernels` writes it:\n{new}");
    Ok(())
}

/// A cell for each capability.
fn cells(diagnosis: &Value) -> Result<Vec<(String, String)>> {
    let capabilities = diagnosis["capabilities"].as_array().context("no capabilities")?;
    ensure!(capabilities.len() >= 10, "{capabilities:#?}");
    let text = |one: &Value, field: &str| one[field].as_str().map(str::to_owned).context("no text");
    let cell = |one: &Value| -> Result<String> {
        // A bar ends a cell.
        let reason = || Ok::<_, anyhow::Error>(text(one, "reason")?.replace('|', "/"));
        Ok(if one["available"] == true { "yes".to_owned() } else { format!("no: {}", reason()?) })
    };
    capabilities.iter().map(|one| Ok((format!("`{}`", text(one, "name")?), cell(one)?))).collect()
}

impl Table {
    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().map(|line| {
            let cells = line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            cells.collect::<Vec<_>>()
        });
        let head = lines.next().context("no head")?;
        let rows = lines
            .skip(1)
            .filter_map(|cells| cells.split_first().map(|(name, rest)| (name.clone(), rest.to_vec())));
        Ok(Self { columns: head[1..].to_vec(), rows: rows.collect() })
    }

    /// Writes a column; rows are those of the last kernel that was asked, as they are the same in all.
    fn set(&mut self, column: &str, said: Vec<(String, String)>) {
        let Some(at) = self.columns.iter().position(|one| one == column) else { return };
        let old = std::mem::take(&mut self.rows);
        self.rows = said
            .into_iter()
            .map(|(name, cell)| {
                let known = old.iter().find(|(other, _)| *other == name).map(|(_, cells)| cells.clone());
                let mut cells = known.unwrap_or_default();
                cells.resize(self.columns.len(), UNKNOWN.to_owned());
                cells[at] = cell;
                (name, cells)
            })
            .collect();
    }

    fn text(&self) -> String {
        let line = |first: &str, rest: &[String]| format!("| {first} | {} |\n", rest.join(" | "));
        let rule = format!("|{}\n", "---|".repeat(self.columns.len() + 1));
        let rows = self.rows.iter().map(|(name, cells)| line(name, cells));
        [line("capability", &self.columns), rule].into_iter().chain(rows).collect()
    }
}
