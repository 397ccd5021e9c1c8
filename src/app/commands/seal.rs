//! `walhook seal`.

use super::Context;
use crate::app::cli;
use crate::app::failure::{Exit, Failure};
use crate::app::hidden;
use crate::app::keys::{self, Absent};
use crate::observe::Observers;
use crate::sealing;
use crate::secret::Secret;
use std::io::{self, IsTerminal as _, Read as _};

/// Longer ones are a mistake.
const BYTES_MAX: u64 = 64 * 1024;

/// Reads a secret, from the terminal without showing it or all of standard input, and prints it sealed.
pub async fn perform(context: &Context, arguments: &cli::Seal) -> Result<Exit, Failure> {
    let config = context.load()?;
    let keys = keys::load(&config.secrets, Absent::Refuse, &Observers::default()).map_err(Failure::of)?;
    let plain = if io::stdin().is_terminal() { typed().await? } else { everything()? };
    if plain.expose().is_empty() {
        return Err(Failure::usage("there is nothing to seal: standard input is empty"));
    }
    if sealing::is_sealed(plain.expose()) {
        return Err(Failure::usage("this is sealed already"));
    }
    let sealed = keys.seal(plain.expose(), &sealing::context(arguments.webhook, &arguments.field));
    if context.output.json {
        context.output.json(&serde_json::json!({ "sealed": sealed }))?;
    } else {
        context.output.text(&sealed)?;
    }
    Ok(Exit::Well)
}

async fn typed() -> Result<Secret, Failure> {
    Ok(hidden::ask(&["Secret: "], BYTES_MAX).await?.pop().unwrap_or(Secret::from("")))
}

/// A secret may have several lines, a private key for example.
fn everything() -> Result<Secret, Failure> {
    let mut text = String::new();
    let bytes = io::stdin().lock().take(BYTES_MAX + 1).read_to_string(&mut text)?;
    let text = without_ending(text);
    if bytes as u64 > BYTES_MAX {
        return Err(Failure::usage("a secret has at most 64 KiB"));
    }
    Ok(text)
}

/// The end of the last line is the shell's and no part of the secret.
fn without_ending(mut text: String) -> Secret {
    let end = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text).len());
    text.truncate(end.unwrap_or(text.len()));
    Secret::from(text)
}
