//! `walhook token`.

use super::Context;
use crate::admin::hashes::{TokenHash, new_token};
use crate::app::failure::{Exit, Failure};

/// Makes a token: it is printed once, and kept nowhere.
pub fn perform(context: &Context) -> Result<Exit, Failure> {
    let token = new_token().map_err(|error| Failure::new(Exit::Unreachable, error))?;
    let hash = TokenHash::of(token.expose()).to_string();
    if context.output.json {
        context.output.json(&serde_json::json!({ "token": token.expose(), "hash": hash }))?;
    } else {
        context.output.note("The token, for the program; it is shown only now, and kept nowhere:");
        context.output.text(token.expose())?;
        context.output.note("Its hash, for [[admin.tokens]] of the configuration:");
        context.output.text(&format!("token = {hash:?}"))?;
    }
    Ok(Exit::Well)
}
