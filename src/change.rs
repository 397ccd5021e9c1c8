//! Changes of rows, as the log tells them.

use bytes::{Bytes, BytesMut};

/// A table's oid.
pub type RelationId = u32;

/// A column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datum<'a> {
    /// SQL's NULL.
    Null,
    /// The value in PostgreSQL's text form.
    Text(&'a str),
    /// A large value that the update did not touch. PostgreSQL does not send it.
    Unchanged,
}

/// A row in the column order of its relation: one shared piece of memory and where each value lies in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    bytes: Bytes,
    cells: Box<[Cell]>,
}

/// Where a value lies in the row's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Null,
    Unchanged,
    Text { start: u32, end: u32 },
}

impl Row {
    /// How many columns the row has.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether the row has no columns.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The value of a column by its number in the relation, from 0; NULL beyond the last (a column that was
    /// added later).
    pub fn datum(&self, column: usize) -> Datum<'_> {
        match self.cells.get(column) {
            None | Some(Cell::Null) => Datum::Null,
            Some(Cell::Unchanged) => Datum::Unchanged,
            Some(&Cell::Text { start, end }) => {
                let bytes = &self.bytes[start as usize..end as usize];
                Datum::Text(std::str::from_utf8(bytes).expect("checked when the row was made"))
            }
        }
    }

    /// All values in column order.
    pub fn data(&self) -> impl Iterator<Item = Datum<'_>> {
        (0..self.len()).map(|column| self.datum(column))
    }

    /// Whether a value is missing because the update did not touch it.
    pub fn has_unchanged(&self) -> bool {
        self.cells.contains(&Cell::Unchanged)
    }

    /// This row with its missing values taken from `known`, where that one has them.
    pub fn filled_from(self, known: &Row) -> Row {
        self.filled_in(known, |_| true)
    }

    /// The same for some of the columns, by their number in the relation, from 0.
    pub fn filled_in(self, known: &Row, columns: impl Fn(usize) -> bool) -> Row {
        if !self.has_unchanged() {
            return self;
        }
        let mut filled = RowBuilder::with_capacity(self.len());
        for (column, datum) in self.data().enumerate() {
            match datum {
                Datum::Unchanged if columns(column) => filled.push(known.datum_or_unchanged(column)),
                datum => filled.push(datum),
            }
        }
        filled.build()
    }

    fn datum_or_unchanged(&self, column: usize) -> Datum<'_> {
        if column < self.len() { self.datum(column) } else { Datum::Unchanged }
    }

    /// How much memory the row holds on to, in bytes, near enough for limits.
    pub fn footprint_bytes(&self) -> usize {
        self.bytes.len() + self.cells.len() * size_of::<Cell>() + size_of::<Self>()
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.data()).finish()
    }
}

/// A row's text is not UTF-8 (a database in `SQL_ASCII` lets such bytes through).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("column number {column} is not valid UTF-8")]
pub struct NotUtf8 {
    /// The column's number, from 0.
    pub column: usize,
}

/// Makes a [`Row`] out of parts of one piece of memory, without copying them.
pub struct RowSlicer {
    bytes: Bytes,
    cells: Vec<Cell>,
}

impl RowSlicer {
    /// For a row whose texts lie in `bytes` (at most 4 GiB).
    pub fn new(bytes: Bytes, columns: usize) -> Self {
        Self { bytes, cells: Vec::with_capacity(columns) }
    }

    /// The next column is NULL.
    pub fn push_null(&mut self) {
        self.cells.push(Cell::Null);
    }

    /// The next column was not sent.
    pub fn push_unchanged(&mut self) {
        self.cells.push(Cell::Unchanged);
    }

    /// The next column lies at `start..end`, which must lie within the bytes.
    pub fn push_text(&mut self, start: usize, end: usize) -> Result<(), NotUtf8> {
        let column = self.cells.len();
        std::str::from_utf8(&self.bytes[start..end]).map_err(|_| NotUtf8 { column })?;
        self.cells.push(Cell::Text { start: start as u32, end: end as u32 });
        Ok(())
    }

    /// The row.
    pub fn build(self) -> Row {
        Row { bytes: self.bytes, cells: self.cells.into() }
    }
}

/// Makes a [`Row`] by copying values.
#[derive(Default)]
pub struct RowBuilder {
    bytes: BytesMut,
    cells: Vec<Cell>,
}

impl RowBuilder {
    /// For a row of so many columns.
    pub fn with_capacity(columns: usize) -> Self {
        Self { bytes: BytesMut::new(), cells: Vec::with_capacity(columns) }
    }

    /// The next column.
    pub fn push(&mut self, datum: Datum<'_>) {
        self.cells.push(match datum {
            Datum::Null => Cell::Null,
            Datum::Unchanged => Cell::Unchanged,
            Datum::Text(text) => {
                let start = self.bytes.len() as u32;
                self.bytes.extend_from_slice(text.as_bytes());
                Cell::Text { start, end: self.bytes.len() as u32 }
            }
        });
    }

    /// The row.
    pub fn build(self) -> Row {
        Row { bytes: self.bytes.freeze(), cells: self.cells.into() }
    }
}

impl<'a> FromIterator<Datum<'a>> for Row {
    fn from_iter<I: IntoIterator<Item = Datum<'a>>>(data: I) -> Self {
        let mut builder = RowBuilder::default();
        data.into_iter().for_each(|datum| builder.push(datum));
        builder.build()
    }
}

/// What the log says of the row before the change. It depends on the table's replica identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OldRow {
    /// Nothing: an update with the default identity that kept the key.
    #[default]
    Absent,
    /// There was no row: what is told is about one that appeared.
    NoRow,
    /// The columns of the identity; all others are NULL here and mean nothing.
    Key(Row),
    /// The whole row (`REPLICA IDENTITY FULL`).
    Full(Row),
}

impl OldRow {
    /// The whole row, if it is known.
    pub fn full(&self) -> Option<&Row> {
        match self {
            Self::Full(row) => Some(row),
            Self::Absent | Self::NoRow | Self::Key(_) => None,
        }
    }

    /// The row as far as it is known: whole or only its key.
    pub fn row(&self) -> Option<&Row> {
        match self {
            Self::Full(row) | Self::Key(row) => Some(row),
            Self::Absent | Self::NoRow => None,
        }
    }
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// A row appeared.
    Insert {
        /// The row.
        new: Row,
    },
    /// A row changed, or was written again as it was.
    Update {
        /// The row before.
        old: OldRow,
        /// The row after.
        new: Row,
    },
    /// A row vanished.
    Delete {
        /// The row before.
        old: OldRow,
    },
}

impl RowChange {
    /// How much memory the change holds on to, in bytes, near enough for limits.
    pub fn footprint_bytes(&self) -> usize {
        let old_bytes = |old: &OldRow| old.row().map_or(0, Row::footprint_bytes);
        match self {
            Self::Insert { new } => new.footprint_bytes(),
            Self::Update { old, new } => old_bytes(old) + new.footprint_bytes(),
            Self::Delete { old } => old_bytes(old),
        }
    }
}

/// Which old values a table's updates and deletes carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key's (`d`); none where there is no primary key.
    Default,
    /// None (`n`).
    Nothing,
    /// All (`f`).
    Full,
    /// Those of a unique index (`i`).
    Index,
}

/// A table as the log describes it before its first change, and again after the table has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The table's oid; it outlives renames.
    pub id: RelationId,
    /// The schema's name.
    pub schema: String,
    /// The table's name.
    pub name: String,
    /// Which old values its changes carry.
    pub identity: ReplicaIdentity,
    /// The columns, in the order of the rows. Generated and dropped columns are not among them.
    pub columns: Vec<Column>,
}

/// A column as the log describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The oid of its type.
    pub type_oid: u32,
    /// The type's modifier (length, precision), −1 for none.
    pub type_modifier: i32,
    /// Whether it belongs to the replica identity (with `FULL`, every column does).
    pub in_identity: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_are_taken_from_a_known_row_and_only_those() {
        let new: Row =
            [Datum::Text("7"), Datum::Unchanged, Datum::Null, Datum::Unchanged].into_iter().collect();
        let old: Row = [Datum::Text("6"), Datum::Text("long"), Datum::Text("x")].into_iter().collect();
        let filled = new.filled_from(&old);
        let expected = [Datum::Text("7"), Datum::Text("long"), Datum::Null, Datum::Unchanged];
        assert_eq!(filled.data().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused_when_the_row_is_made() {
        let mut slicer = RowSlicer::new(Bytes::from_static(b"ok\xff"), 2);
        assert_eq!(slicer.push_text(0, 2), Ok(()));
        assert_eq!(slicer.push_text(2, 3), Err(NotUtf8 { column: 1 }));
    }
}
