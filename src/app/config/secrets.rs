//! `[secrets]`: the keys that seal, or the file that has them.

use super::reader::{Reader, join};
use super::table::{Table, Value};
use crate::remedy::Remediable as _;
use crate::sealing::{Keys, SealingKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the file where none is said, beside the queue's: whatever keeps the queue keeps the key.
const FILE_DEFAULT: &str = "walhook.key";

/// `[secrets]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// The keys themselves.
    Keys(Arc<Keys>),
    /// The file that has them, relative to the working directory or absolute.
    File(PathBuf),
}

/// Reads the table. `folder` is that of the configuration, where relative paths start.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table, folder: &Path, queue: &Path) -> Secrets {
    if table.says("key") && table.says("key_file") {
        let remedy = "keep one of the two".to_owned();
        let message = "there is either `key` or `key_file`";
        reader.refuse(table.place("key_file"), &join(&table.path, "key_file"), message, remedy);
    }
    let path = join(&table.path, "key");
    let mut keys = Vec::new();
    for (span, value) in table.list("key").into_iter().flatten() {
        let Some(Value::Secret(secret)) = value else { continue };
        match SealingKey::parse(secret.expose()) {
            Ok(key) => keys.push(key),
            Err(error) => reader.refuse(span.clone(), &path, error.to_string(), error.hint()),
        }
    }
    if table.list("key").is_some_and(Vec::is_empty) {
        let remedy = "add a key, or remove the list".to_owned();
        reader.refuse(table.place("key"), &path, "there is no key to seal with", remedy);
    }
    if table.says("key_file") && table.text("key_file").is_some_and(String::is_empty) {
        reader.refuse(table.place("key_file"), &join(&table.path, "key_file"), "a key file has a name", None);
    }
    match (Keys::new(keys), table.text("key_file")) {
        (Ok(keys), _) => Secrets::Keys(Arc::new(keys)),
        (Err(_), Some(file)) => Secrets::File(folder.join(file)),
        (Err(_), None) => Secrets::File(queue.with_file_name(FILE_DEFAULT)),
    }
}
