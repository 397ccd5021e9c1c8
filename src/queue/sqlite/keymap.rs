//! Keys as of the position: stored with it, read when a row is asked for.

use super::fault::Fault;
use super::rows::sql;
use super::writer::Writer;
use crate::change::RelationId;
use crate::keymap::{KeyChange, KeyRef, KeyRow};
use crate::queue::EntryRef;
use rusqlite::{Connection, OptionalExtension, params};

/// How many lines of keys that are gone are removed at once.
const PURGE_STEP: i64 = 1000;
/// What is written as JSON is texts.
const JSON: &str = "texts can be written as JSON";

/// How much a change brings, near enough.
pub(super) fn footprint_bytes(change: &KeyChange) -> usize {
    let of_texts = |texts: &[String]| texts.iter().map(|text| text.len() + 3).sum::<usize>();
    let of_key = |key: &KeyRef| of_texts(&key.by) + of_texts(&key.values) + 50;
    match change {
        KeyChange::Told { key, row } => {
            let of_column = |(name, value): &(String, Option<String>)| {
                name.len() + value.as_ref().map_or(0, String::len) + 6
            };
            of_key(key) + row.columns.iter().map(of_column).sum::<usize>() + 50
        }
        KeyChange::Gone { key } => of_key(key),
        KeyChange::Emptied { .. } => 50,
    }
}

/// What is kept of the row that has a key, or had it last.
pub(super) fn row(connection: &Connection, key: &KeyRef) -> Result<Option<KeyRow>, Fault> {
    let (columns, values) = texts(key);
    let found: Option<(String, Option<String>, Option<String>)> = connection
        .prepare_cached(sql!("key_row"))?
        .query_row(params![key.table, columns, values], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((row, form, entry_id)) = found else { return Ok(None) };
    let columns = serde_json::from_str(&row)
        .map_err(|error| Fault::bug(format!("the line of a key cannot be read: {error}")))?;
    Ok(Some(KeyRow { columns, entry: form.zip(entry_id) }))
}

fn texts(key: &KeyRef) -> (String, String) {
    let text = |texts: &[String]| serde_json::to_string(texts).expect(JSON);
    (text(&key.by), text(&key.values))
}

impl Writer {
    /// What a batch tells of keys.
    pub(super) fn tell_keys(&mut self, changes: &[KeyChange]) -> Result<(), Fault> {
        for change in changes {
            match change {
                KeyChange::Told { key, row } => {
                    let (columns, values) = texts(key);
                    let (form, entry_id) = row.entry.as_ref().map(|(form, id)| (form, id)).unzip();
                    let row = serde_json::to_string(&row.columns).expect(JSON);
                    self.connection
                        .prepare_cached(sql!("tell_key"))?
                        .execute(params![key.table, columns, values, row, form, entry_id])?;
                }
                KeyChange::Gone { key } => {
                    let (columns, values) = texts(key);
                    self.connection.prepare_cached(sql!("key_is_gone"))?.execute(params![
                        key.table,
                        columns,
                        values,
                        self.now_us()
                    ])?;
                }
                KeyChange::Emptied { table } => {
                    self.connection
                        .prepare_cached(sql!("keys_are_gone"))?
                        .execute(params![table, self.now_us()])?;
                }
            }
        }
        Ok(())
    }

    /// Removes some of the keys that are gone since before a time.
    pub(super) fn purge_keys(&mut self, gone_before_us: i64) -> Result<(), Fault> {
        self.connection.prepare_cached(sql!("purge_keys"))?.execute(params![gone_before_us, PURGE_STEP])?;
        Ok(())
    }

    /// Removes what is kept of an entry's keys.
    pub(super) fn wipe_keys(&mut self, entry: &EntryRef) -> Result<(), Fault> {
        self.connection
            .prepare_cached(sql!("delete_keys_of_entry"))?
            .execute(params![entry.form, entry.entry_id])?;
        Ok(())
    }

    /// Forgets the keys of all tables but these.
    pub(super) fn keep_key_tables(&mut self, tables: &[RelationId]) -> Result<(), Fault> {
        let tables = serde_json::to_string(tables).expect("numbers are JSON");
        self.connection.prepare_cached(sql!("keep_key_tables"))?.execute(params![tables])?;
        Ok(())
    }

    /// Forgets all keys: the log has not told of everything.
    pub(super) fn forget_keys(&mut self) -> Result<(), Fault> {
        self.connection.prepare_cached(sql!("forget_keys"))?.execute([])?;
        Ok(())
    }
}
