//! `walhook password`.

use super::Context;
use crate::admin::hashes::PasswordHash;
use crate::app::failure::{Exit, Failure};
use crate::app::hidden;
use crate::secret::Secret;
use std::io::{self, IsTerminal as _};

/// Shorter ones are guessed.
const CHARACTERS_MIN: usize = 8;

/// Longer ones are a mistake, such as a file.
const BYTES_MAX: u64 = 1024;

/// Reads a password, from the terminal twice without showing it or as the first line of standard input, and prints
/// its hash.
pub async fn perform(context: &Context) -> Result<Exit, Failure> {
    let password = if io::stdin().is_terminal() { typed().await? } else { hidden::line(BYTES_MAX)? };
    if password.expose().chars().count() < CHARACTERS_MIN {
        return Err(Failure::usage(format!("a password has at least {CHARACTERS_MIN} characters")));
    }
    let hash = PasswordHash::of(&password).map_err(|error| Failure::new(Exit::Unreachable, error))?;
    if context.output.json {
        context.output.json(&serde_json::json!({ "hash": hash.expose() }))?;
    } else {
        context.output.note("The hash, for [[admin.users]] of the configuration:");
        context.output.text(&format!("password = {:?}", hash.expose()))?;
    }
    Ok(Exit::Well)
}

async fn typed() -> Result<Secret, Failure> {
    let answers = hidden::ask(&["Password: ", "The same again: "], BYTES_MAX).await?;
    match <[Secret; 2]>::try_from(answers) {
        Ok([first, second]) if first == second => Ok(first),
        _ => Err(Failure::usage("these are two different passwords")),
    }
}
