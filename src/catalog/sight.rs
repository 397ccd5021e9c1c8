//! What sessions see: the log tells of a commit a moment before they do, and where the server waits for standbys, longer.

use super::reader::{ANSWER_TIME_MAX, Error};
use crate::postgres::Session;
use tokio_postgres::SimpleQueryMessage;

/// Whether sessions see what all of these transactions have done.
pub(super) async fn are_visible(session: &Session, xids: &[u32]) -> Result<bool, Error> {
    const WHAT: &str = "snapshot";
    let xids: Vec<String> = xids.iter().map(u32::to_string).collect();
    // of the numbers with the 32 bits of a transaction, the one that is nearest to the snapshot's end
    let statement = format!(
        "select pg_catalog.bool_and(pg_catalog.pg_visible_in_snapshot(
             (m + (xid - m % 4294967296 + 6442450944) % 4294967296 - 2147483648)::text::xid8, s))
         from (select s, pg_catalog.pg_snapshot_xmax(s)::text::bigint as m
             from pg_catalog.pg_current_snapshot() as s) as now,
             pg_catalog.unnest('{{{}}}'::bigint[]) as xid",
        xids.join(",")
    );
    let answer = tokio::time::timeout(ANSWER_TIME_MAX, session.simple_query(&statement)).await;
    let messages = answer.map_err(|_| Error::Silent { what: WHAT })?;
    let messages = messages.map_err(|source| Error::Query { what: WHAT, source })?;
    Ok(messages.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
        _ => false,
    }))
}
