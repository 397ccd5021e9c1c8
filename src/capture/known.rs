//! Rows that others belong to, as the log told of them last: those of the tables between, and entries that are referred to.
//!
//! They are kept in memory, the last that were met; what is not here is looked up in the database.

use crate::change::Row;
use std::collections::HashMap;

/// How much the rows of one generation take, in bytes. Two are kept: when the young one is full, it becomes the old one.
const GENERATION_BYTES_MAX: usize = 4 << 20;

/// By which table, by which of its columns, and the values there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub(super) form: String,
    pub(super) by: Vec<usize>,
    pub(super) values: Vec<String>,
}

/// The rows.
#[derive(Debug, Default)]
pub(super) struct Known {
    young: HashMap<Reference, Row>,
    old: HashMap<Reference, Row>,
    bytes: usize,
}

impl Known {
    /// A row as it was told of last. Rows of which something was left out are not kept: what is left out may have changed.
    pub(super) fn put(&mut self, reference: Reference, row: &Row) {
        if row.has_unchanged() {
            self.forget(&reference);
            return;
        }
        self.bytes += row.footprint_bytes() + size_of::<Reference>() + reference.form.len();
        self.young.insert(reference, row.clone());
        if self.bytes > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
    }

    pub(super) fn find(&mut self, reference: &Reference) -> Option<Row> {
        if let Some(row) = self.young.get(reference) {
            return Some(row.clone());
        }
        let row = self.old.remove(reference)?;
        self.put(reference.clone(), &row);
        Some(row)
    }

    pub(super) fn forget(&mut self, reference: &Reference) {
        self.young.remove(reference);
        self.old.remove(reference);
    }

    /// Forgets everything: the tables are not what they were.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::sample;

    fn reference(value: usize) -> Reference {
        Reference { form: "Incident".into(), by: vec![0], values: vec![value.to_string()] }
    }

    #[test]
    fn the_last_rows_are_known_and_older_ones_forgotten() {
        let mut known = Known::default();
        let text = "x".repeat(64 << 10);
        for value in 0..200 {
            known.put(reference(value), &sample::row(&[&value.to_string(), &text]));
            // it is asked for again and again
            assert!(known.find(&reference(0)).is_some(), "{value}");
        }
        assert!(known.find(&reference(199)).is_some() && known.find(&reference(1)).is_none());
        assert!(known.bytes <= GENERATION_BYTES_MAX + (65 << 10));
        known.put(reference(199), &sample::row(&["199", "?"]));
        assert_eq!(known.find(&reference(199)), None, "not all of it is known");
    }
}
