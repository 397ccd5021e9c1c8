//! `walhook config`.

use super::Context;
use crate::app::cli;
use crate::app::config::{EXAMPLE, schema, show};
use crate::app::failure::{Exit, Failure};

/// Prints the example, the effective configuration or the schema.
pub fn perform(context: &Context, command: &cli::Config) -> Result<Exit, Failure> {
    match command {
        cli::Config::Example => context.output.text(EXAMPLE)?,
        cli::Config::Show => {
            let shown = show(&context.load()?);
            if context.output.json {
                let json: serde_json::Value = toml::from_str(&shown).expect("what is shown is TOML");
                context.output.json(&json)?;
            } else {
                context.output.text(&shown)?;
            }
        }
        cli::Config::Schema => context.output.json(&schema())?,
    }
    Ok(Exit::Well)
}
