//! `walhook resume`.

use super::Context;
use crate::app::cli::Resume;
use crate::app::failure::{Exit, Failure};
use crate::app::run::capture_settings;
use crate::capture;
use crate::clock::Clock;

/// Goes on after a gap that the operator accepts. A walhook that runs meanwhile does so by itself, soon.
pub async fn perform(context: &Context, _arguments: &Resume) -> Result<Exit, Failure> {
    let config = context.load()?;
    let queue = context.open_queue(&config).await?;
    let settings = capture_settings(&config, false).map_err(Failure::of)?;
    let accepted =
        capture::accept_gap(&settings, &*queue, Clock::system().now_us()).await.map_err(Failure::of)?;
    let Some(gap) = accepted else {
        return Err(Failure::no("there is no gap between the queue's position and the slot's").hint(
            "if `walhook run` does not go on all the same, do first what it says, or ask `walhook check`",
        ));
    };
    if context.output.json {
        context.output.json(&serde_json::json!({
            "epoch": gap.epoch + 1,
            "from": gap.from.to_string(),
            "to": gap.to.to_string(),
            "reason": gap.reason,
        }))?;
    } else {
        context.output.text(&format!(
            "accepted: {}\nchanges from {} to {} are not delivered; epoch {} begins",
            gap.reason,
            gap.from,
            gap.to,
            gap.epoch + 1
        ))?;
    }
    Ok(Exit::Well)
}
