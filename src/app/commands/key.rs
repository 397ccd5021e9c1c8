//! `walhook key`.

use super::Context;
use crate::app::cli;
use crate::app::failure::{Exit, Failure};
use crate::sealing::SealingKey;

/// Prints a new key.
pub fn perform(context: &Context, command: &cli::Key) -> Result<Exit, Failure> {
    match command {
        cli::Key::New => {
            let key = SealingKey::generate();
            if context.output.json {
                context.output.json(&serde_json::json!({ "id": key.id(), "key": key.text().expose() }))?;
            } else {
                context.output.note(&format!(
                    "Key {}. To change keys: put it before the old one in the key file (a line each) or in `[secrets] \
                     key` (a list), and send SIGHUP; what is sealed with the old one can still be \
                     opened as long as that is there. Keep a copy of the keys: what they sealed is lost without them.",
                    key.id()
                ));
                context.output.text(key.text().expose())?;
            }
        }
    }
    Ok(Exit::Well)
}
