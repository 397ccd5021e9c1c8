//! `walhook resume`.

use super::Context;
use crate::app::cli::Resume;
use crate::app::failure::{Exit, Failure};
use crate::app::run::capture_settings;
use crate::capture::{self, Accepted};
use crate::clock::Clock;

/// Goes on after a gap that the operator accepts. A walhook that runs meanwhile does so by itself, soon.
pub async fn perform(context: &Context, _arguments: &Resume) -> Result<Exit, Failure> {
    let config = context.load()?;
    let queue = context.open_queue(&config).await?;
    let settings = capture_settings(&config, false).map_err(Failure::of)?;
    let accepted =
        capture::accept_gap(&settings, &*queue, Clock::system().now_us()).await.map_err(Failure::of)?;
    let Some(Accepted { gap, slot_is_to_be_made }) = accepted else {
        return Err(Failure::no("there is no gap between the queue's position and the slot's").hint(
            "if `walhook run` does not go on all the same, do first what it says, or ask `walhook check`",
        ));
    };
    if context.output.json {
        context.output.json(&serde_json::json!({
            "epoch": gap.epoch + 1,
            "from": gap.from.to_string(),
            "to": (!slot_is_to_be_made).then(|| gap.to.to_string()),
            "reason": gap.reason,
        }))?;
    } else {
        let range = if slot_is_to_be_made {
            format!(
                "changes from {} on are not delivered, up to where `walhook run` makes the slot anew",
                gap.from
            )
        } else if gap.to < gap.from {
            format!(
                "the stream goes on from {}, before our position {}: what the server still has from there on is \
                 delivered again, with new ids; what it does not have any more was delivered",
                gap.to, gap.from
            )
        } else {
            format!("changes from {} to {} are not delivered", gap.from, gap.to)
        };
        let epoch = gap.epoch + 1;
        context.output.text(&format!("accepted: {}\n{range}; epoch {epoch} begins", gap.reason))?;
    }
    Ok(Exit::Well)
}
