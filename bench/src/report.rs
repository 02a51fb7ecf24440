//! All results as tables, with the verdicts and a picture.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::budgets::{Results, Verdict, verdicts};
use crate::{json, picture, tables};

/// The loads, in the order in which they are told.
const LOADS: [&str; 12] = [
    "connections",
    "requests",
    "bulk",
    "exec",
    "subscribers",
    "sockets",
    "names",
    "recording",
    "exporters",
    "relay",
    "idle",
    "code",
];

/// Where else to write to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file whose part between two marks, `<!-- figures -->` and `<!-- end of figures -->`, is to be the short table
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,
}

const MARKS: [&str; 2] = ["<!-- figures -->\n", "<!-- end of figures -->\n"];

/// Writes the verdicts, the tables and the picture of what is in the folder, and prints the verdicts.
pub(crate) fn run(args: &Args, folder: &Path) -> Result<()> {
    let mut results = Results::new();
    for load in LOADS {
        let path = folder.join(format!("{load}.json"));
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let report =
            serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
        results.insert(load.to_owned(), report);
    }
    let verdicts = verdicts(&results);
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("verdicts.json", &json(&verdicts)?)?;
    write("cost.svg", &picture::draw(&results, &verdicts))?;
    write("README.md", &tables::all(&results, &verdicts))?;
    if let Some(readme) = &args.readme {
        let text = fs::read_to_string(readme).with_context(|| format!("cannot read {}", readme.display()))?;
        let text = renewed(&text, &short_table(&verdicts))
            .with_context(|| format!("{} has no marks", readme.display()))?;
        fs::write(readme, text).with_context(|| format!("cannot write {}", readme.display()))?;
    }
    println!("{}", budget_table(&verdicts).replace("**", ""));
    println!("written to {}", folder.display());
    Ok(())
}

/// The text with another table between the marks.
fn renewed(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some([before, MARKS[0], table, MARKS[1], after].concat())
}

/// What was measured of each budget, without a word on those that were not.
fn short_table(verdicts: &[Verdict]) -> String {
    let rows = verdicts.iter().filter_map(|verdict| {
        let limit = verdict.figure(verdict.limit);
        let limit = if verdict.at_least { format!("at least {limit}") } else { limit };
        Some(vec![verdict.what.clone(), verdict.figure(verdict.measured?), limit])
    });
    table(&["what", "measured", "at most"], rows)
}

/// The verdicts.
pub(crate) fn budget_table(verdicts: &[Verdict]) -> String {
    let rows = verdicts.iter().map(|verdict| {
        let measured = verdict.measured.map_or_else(|| "-".to_owned(), |value| verdict.figure(value));
        let limit = verdict.figure(verdict.limit);
        let limit = if verdict.at_least { format!("at least {limit}") } else { limit };
        vec![verdict.what.clone(), measured, limit, verdict.outcome.words().to_owned()]
    });
    table(&["what", "measured", "at most", "verdict"], rows)
}

/// A table in Markdown, aligned.
pub(crate) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![head.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    lines.insert(1, widths.iter().map(|&width| "-".repeat(width)).collect());
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        let _written = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_renewed() {
        let text = "a\n<!-- figures -->\nold\n<!-- end of figures -->\nb\n";
        let new = renewed(text, "new\n").unwrap();
        assert_eq!(new, text.replace("old", "new"));
        assert_eq!(renewed("a\n", "new\n"), None);
    }

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells() {
        let rows = [vec!["µs".to_owned(), "1".to_owned()], vec!["x".to_owned(), "22".to_owned()]];
        let text = table(&["what", "n"], rows.into_iter());
        assert_eq!(text, "| what | n  |\n| ---- | -- |\n| µs   | 1  |\n| x    | 22 |\n");
    }
}
