//! Tables in Parquet, for notebooks: one of events, one of summaries. Flat, with typed columns, and in a last one the whole
//! message as JSON.

mod events;
mod summaries;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

pub(crate) use self::events::EVENTS;
pub(crate) use self::summaries::SUMMARIES;

/// So many rows are written at once, and held in memory until then.
const ROWS_AT_ONCE: usize = 16_384;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// A text in JSON.
    Json,
    /// A number.
    Number,
    /// A moment, in nanoseconds since 1970 in UTC.
    Time,
    /// Yes or no.
    Flag,
}

/// What is in a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl Cell {
    fn text(self) -> Option<ByteArray> {
        if let Self::Text(text) = self { Some(ByteArray::from(text.into_bytes())) } else { None }
    }

    fn number(self) -> Option<i64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    fn flag(self) -> Option<bool> {
        if let Self::Flag(flag) = self { Some(flag) } else { None }
    }
}

/// A column of a table of `T`: its name, its kind and how a cell is made; `None` is null.
pub(crate) type Column<T> = (&'static str, Kind, fn(&T) -> Option<Cell>);

/// A table that is being written.
pub(crate) struct Table<T: 'static, W: Write + Send> {
    columns: &'static [Column<T>],
    file: SerializedFileWriter<W>,
    /// By column, what is not written yet.
    waiting: Vec<Vec<Option<Cell>>>,
}

impl<T, W: Write + Send> Table<T, W> {
    /// Begins a table.
    pub(crate) fn new(name: &str, columns: &'static [Column<T>], out: W) -> Result<Self, ParquetError> {
        let fields = columns.iter().map(|(name, kind, _)| Ok(Arc::new(field(name, *kind)?)));
        let fields = fields.collect::<Result<Vec<_>, ParquetError>>()?;
        let schema = Type::group_type_builder(name).with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_created_by(concat!("observer ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
        Ok(Self { columns, file, waiting: vec![Vec::new(); columns.len()] })
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, row: &T) -> Result<(), ParquetError> {
        for ((_, _, cell), column) in self.columns.iter().zip(&mut self.waiting) {
            column.push(cell(row));
        }
        if self.waiting.first().is_some_and(|column| column.len() >= ROWS_AT_ONCE) {
            self.write()?;
        }
        Ok(())
    }

    /// Writes the rest and the table's own end.
    pub(crate) fn finish(mut self) -> Result<W, ParquetError> {
        self.write()?;
        self.file.into_inner()
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        if self.waiting.first().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for ((_, kind, _), cells) in self.columns.iter().zip(&mut self.waiting) {
            let Some(mut column) = group.next_column()? else { break };
            let cells = std::mem::take(cells);
            match kind {
                Kind::Text | Kind::Json => write_cells::<ByteArrayType>(column.typed(), cells, Cell::text),
                Kind::Number | Kind::Time => write_cells::<Int64Type>(column.typed(), cells, Cell::number),
                Kind::Flag => write_cells::<BoolType>(column.typed(), cells, Cell::flag),
            }?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

fn field(name: &str, kind: Kind) -> Result<Type, ParquetError> {
    let (physical, logical) = match kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Kind::Number => (Physical::INT64, Some(LogicalType::integer(64, true))),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
        Kind::Flag => (Physical::BOOLEAN, None),
    };
    Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

/// Writes the cells of a column; a level of 0 is null.
fn write_cells<D: DataType>(
    column: &mut ColumnWriterImpl<'_, D>,
    cells: Vec<Option<Cell>>,
    value: impl Fn(Cell) -> Option<D::T>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<D::T>> = cells.into_iter().map(|cell| cell.and_then(&value)).collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<D::T> = values.into_iter().flatten().collect();
    column.write_batch(&values, Some(&levels), None)?;
    Ok(())
}

/// A text, null where it is empty.
fn text(text: &str) -> Option<Cell> {
    (!text.is_empty()).then(|| Cell::Text(text.to_owned()))
}

#[allow(clippy::unnecessary_wraps, reason = "as all cells are")]
fn number(number: impl TryInto<i64>) -> Option<Cell> {
    Some(Cell::Number(number.try_into().unwrap_or(i64::MAX)))
}

/// A moment.
fn time(time: Option<&prost_types::Timestamp>) -> Option<Cell> {
    let time = time?;
    time.seconds.checked_mul(1_000_000_000)?.checked_add(time.nanos.into()).map(Cell::Number)
}

/// A message as JSON, by its name in `observer.v1`.
fn json(name: &str, message: &impl prost::Message) -> Option<Cell> {
    let dynamic = super::json::dynamic(name, &message.encode_to_vec()).ok()?;
    super::json::line(&dynamic).ok().map(Cell::Text)
}
