//! `walhook deliveries purge`: nothing of an entry stays in the queue.

use crate::app::cli;
use crate::app::failure::{Exit, Failure};
use crate::app::output::Output;
use crate::queue::{EntryPurged, EntryRef, Queue};
use serde_json::json;

/// Purges an entry.
pub(super) async fn purge(
    output: Output,
    queue: &dyn Queue,
    arguments: &cli::Purge,
) -> Result<Exit, Failure> {
    let cli::Purge { entry, form, drop_waiting, yes } = arguments;
    if !yes {
        let dropping = if *drop_waiting { ", and give up what of it is not delivered" } else { "" };
        output.confirm(&format!("remove all that the queue keeps of entry {entry:?} for good{dropping}?"))?;
    }
    let named = EntryRef { form: form.clone(), entry_id: entry.clone() };
    let purged = queue.purge_entry(named, *drop_waiting).await?;
    let EntryPurged { purged: count, waiting, dead, held, is_refused, quarantined } = purged;
    if is_refused {
        let message = format!(
            "entry {entry:?} has {waiting} deliveries that wait, {dead} dead letters and {held} held events"
        );
        return Err(
            Failure::no(message).hint("deliver or replay them first, or give them up with --drop-waiting")
        );
    }
    if output.json {
        output.json(&json!({
            "purged": count,
            "waiting": waiting,
            "dead": dead,
            "held": held,
            "quarantined": quarantined,
        }))?;
    } else if count + held == 0 {
        output.text("the queue keeps nothing of that entry")?;
    } else {
        output.text(&format!("{count} deliveries and {held} held events are removed"))?;
    }
    if quarantined > 0 {
        output.note(&format!(
            "{quarantined} row changes were put aside whose entries are not known; they may be of it \
             (`walhook queue quarantine`)"
        ));
    }
    Ok(if count + held == 0 { Exit::No } else { Exit::Well })
}
