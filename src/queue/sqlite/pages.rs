//! Pages of deliveries, in the order of the blocks in which they came: what comes or goes changes no page behind it.

use super::block::{Block, Home};
use super::deliveries::{Fates, Found, Stands, fits, found_of, last_outcome};
use super::fault::Fault;
use super::rows::{sql, unsigned_at};
use crate::delivery::State;
use crate::queue::{Filter, Page, Place};
use crate::webhook::WebhookId;
use rusqlite::{Connection, params};

/// How many blocks are read for a page: some tens of milliseconds, where nothing fits.
const BLOCKS_MAX: usize = 256;

/// A page of the deliveries that fit.
pub(super) fn page(
    connection: &Connection,
    filter: &Filter,
    after: Option<Place>,
    limit: usize,
) -> Result<Page, Fault> {
    let published =
        connection.prepare_cached(sql!("published_block"))?.query_row([], |row| unsigned_at(row, 0))?;
    let after = after.map_or(Home::new(published + 1, 0), Home::from);
    let blocks = blocks_up_to(connection, filter, after.block().min(published))?;
    let mut page = Page { deliveries: Vec::new(), next: None };
    let mut stands = Stands::default();
    let mut last = after;
    for &id in &blocks {
        let Some(block) = Block::read_events(connection, id)? else { continue };
        let fates = Fates::of(connection, &block)?;
        for (delivery, event) in block.iter().rev() {
            let home = Home::new(id, delivery.place);
            let is_meant = filter.webhook.is_none_or(|webhook| webhook == delivery.webhook);
            if home >= after || !is_meant {
                continue;
            }
            let Found { mut summary, .. } = found_of(&block, delivery, event, &fates);
            if !fits(&summary, filter) || !stands.correct(connection, &mut summary, filter)? {
                continue;
            }
            if page.deliveries.len() == limit {
                page.next = Some(last.into());
                return Ok(page);
            }
            if summary.last_outcome.is_none() && summary.attempts > 0 {
                summary.last_outcome =
                    last_outcome(connection, summary.number)?.map(|outcome| outcome.to_string());
            }
            page.deliveries.push(summary);
            last = home;
        }
    }
    page.next = blocks.get(BLOCKS_MAX - 1).map(|&block| Home::new(block, 0).into());
    Ok(page)
}

/// Blocks that may have something that fits, the last first, beginning with one.
fn blocks_up_to(connection: &Connection, filter: &Filter, first: u64) -> Result<Vec<u64>, Fault> {
    let is_dead_wanted = |state: &State| matches!(state, State::Dead | State::Blocking);
    let of_dead = !filter.states.is_empty() && filter.states.iter().all(is_dead_wanted);
    let statement = match (of_dead, filter.webhook) {
        (true, _) => sql!("blocks_of_dead"),
        (false, Some(_)) => sql!("blocks_of_webhook"),
        (false, None) => sql!("blocks_of_all"),
    };
    let webhook = filter.webhook.map(|WebhookId(webhook)| webhook.cast_signed());
    let blocks = connection
        .prepare_cached(statement)?
        .query_map(params![first.cast_signed(), BLOCKS_MAX as i64, webhook], |row| unsigned_at(row, 0))?
        .collect::<Result<_, _>>()?;
    Ok(blocks)
}
