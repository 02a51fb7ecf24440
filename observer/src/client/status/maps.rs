//! The probes' maps in the kernel: how full they are, and the memory that they take.

use std::io;

use observer_proto::v1::Status;

use super::heading;
use crate::client::color::Paint;
use crate::client::escape::escape;
use crate::client::look::Look;
use crate::client::table::{Table, figures, text};
use crate::client::units::bytes;

/// Writes a line a map.
pub(super) fn write_maps(out: &mut dyn io::Write, look: &Look, status: &Status) -> io::Result<()> {
    heading(out, look, "Maps in the kernel")?;
    let mut table = Table::new([
        text("  MAP", 22, 0),
        text("TYPE", 16, 0),
        figures("ENTRIES", 12, 0),
        figures("CAPACITY", 12, 0),
        figures("MEMORY", 10, 0),
    ]);
    for map in &status.kernel_maps {
        let full = map.entries.is_some_and(|entries| entries >= map.capacity);
        let paint = if full { Paint::Warning } else { Paint::Plain };
        let or_none =
            |figure: Option<u64>| figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string());
        let cells = vec![
            format!("  {}", escape(&map.name)),
            escape(&map.r#type).into_owned(),
            or_none(map.entries),
            or_none(Some(map.capacity).filter(|capacity| *capacity > 0)),
            bytes(map.bytes),
        ];
        table.row(paint, cells);
    }
    table.write(out, look)
}
