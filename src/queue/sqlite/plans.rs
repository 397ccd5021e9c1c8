//! How SQLite goes about the statements that run for deliveries, blocks and held events: a wrong index is a queue that
//! works in every test and stands still in production.

use super::open::{Purpose, open};
use super::rows::sql;

fn check(statement: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let connection = open(&folder.path().join("queue.db"), Purpose::Own).expect("a fresh queue");
    let mut explained =
        connection.prepare(&format!("explain query plan {statement}")).expect("a valid statement");
    for number in 1..=explained.parameter_count() {
        explained.raw_bind_parameter(number, 1).expect("a parameter");
    }
    let mut rows = explained.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().expect("a plan") {
        let step: String = row.get(3).expect("a step");
        if ["SEARCH", "SCAN", "USE TEMP"].iter().any(|word| step.starts_with(word)) {
            plan.push(step.replace("COVERING ", ""));
        }
    }
    assert_eq!(plan, expected, "{statement}");
}

#[test]
fn every_statement_of_a_delivery_goes_straight_to_its_row() {
    let delivery = "SEARCH delivery USING PRIMARY KEY (webhook=? AND sequence=?)";
    for statement in
        [sql!("tried"), sql!("delivery_row"), sql!("count_attempt"), sql!("replay"), sql!("delete_delivery")]
    {
        check(statement, &[delivery]);
    }
    // what they find by the primary key, the upserts find without a step of its own
    for statement in [sql!("settle"), sql!("drop"), sql!("insert_attempt")] {
        check(statement, &[]);
    }
    let attempts = "SEARCH attempt USING PRIMARY KEY (webhook=? AND sequence=?)";
    for statement in [sql!("attempts"), sql!("last_attempt"), sql!("delete_attempts")] {
        check(statement, &[attempts]);
    }
    // once in a start, and where a clock was set back
    check(sql!("restart_pauses"), &["SCAN delivery"]);
}

#[test]
fn every_statement_of_a_block_goes_straight_to_its_rows() {
    let block = "SEARCH block USING INTEGER PRIMARY KEY (rowid=?)";
    for statement in [sql!("end_in_block"), sql!("shrink_block"), sql!("delete_block")] {
        check(statement, &[block]);
    }
    let content = "SEARCH content USING INTEGER PRIMARY KEY (rowid=?)";
    for statement in [sql!("content"), sql!("content_events"), sql!("delete_content")] {
        check(statement, &[content]);
    }
    let arrived = "SEARCH arrived USING PRIMARY KEY (block=?)";
    for statement in [sql!("arrived"), sql!("delete_arrived")] {
        check(statement, &[arrived]);
    }
    let deliveries = "SEARCH delivery USING PRIMARY KEY (webhook=? AND sequence>? AND sequence<?)";
    check(sql!("rows_of_share"), &[deliveries]);
    check(sql!("delete_share"), &["SEARCH share USING PRIMARY KEY (webhook=? AND first=?)"]);
    check(sql!("ended_blocks"), &["SEARCH block USING INDEX block_ended (since_us>? AND since_us<?)"]);
    let share = "SEARCH s USING PRIMARY KEY (webhook=? AND first>?)";
    let one = "SEARCH b USING INTEGER PRIMARY KEY (rowid=?)";
    check(sql!("ended_blocks_of"), &[share, one]);
    check(sql!("blocks_of_all"), &["SEARCH block USING INTEGER PRIMARY KEY (rowid<?)"]);
    check(sql!("blocks_of_webhook"), &["SEARCH share USING PRIMARY KEY (webhook=?)"]);
    let upwards = "SEARCH block USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
    check(sql!("blocks_upwards"), &[upwards, "SCAN position"]);
    check(sql!("open_blocks"), &["SEARCH block USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]);
    check(sql!("blocks_after"), &["SEARCH block USING INTEGER PRIMARY KEY (rowid>?)"]);
}

#[test]
fn a_window_of_a_webhook_begins_at_its_edge() {
    let dead = "SEARCH delivery USING INDEX delivery_dead (webhook=? AND sequence>? AND sequence<?)";
    check(sql!("dead_upwards"), &[dead]);
    check(sql!("dead_downwards"), &[dead]);
    // from the share that the lower edge lies in, and not from the first of the webhook: whoever asks for one delivery
    // among millions would wait for all of those before it
    let shares = [
        "SEARCH share USING PRIMARY KEY (webhook=? AND first>? AND first<?)",
        "SEARCH share USING PRIMARY KEY (webhook=? AND first<?)",
    ];
    check(sql!("shares_upwards"), &shares);
    check(sql!("shares_downwards"), &shares);
    check(sql!("range_before"), &["SEARCH range USING PRIMARY KEY (webhook=? AND first<?)"]);
    check(sql!("range_at"), &["SEARCH range USING PRIMARY KEY (webhook=? AND first=?)"]);
    check(sql!("delete_range"), &["SEARCH range USING PRIMARY KEY (webhook=? AND first=?)"]);
}

#[test]
fn every_statement_of_a_held_event_goes_straight_to_its_rows() {
    let one = "SEARCH held USING PRIMARY KEY (webhook=? AND number=?)";
    let behind = "SEARCH held USING PRIMARY KEY (webhook=? AND number<?)";
    let event = "SEARCH held_event USING INTEGER PRIMARY KEY (rowid=?)";
    check(sql!("held_before"), &[behind]);
    check(sql!("held_first"), &["SEARCH held USING PRIMARY KEY (webhook=?)"]);
    check(sql!("held_up_to"), &[behind]);
    check(sql!("extend_held_range"), &[one]);
    check(sql!("delete_held"), &[one]);
    check(sql!("let_go"), &[event]);
    check(sql!("delete_held_event"), &[event]);
    let content = "SEARCH e USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN";
    check(sql!("held_one"), &["SEARCH h USING PRIMARY KEY (webhook=? AND number=?)", content]);
    check(
        sql!("held"),
        &[
            "SEARCH h USING PRIMARY KEY (webhook=? AND number>? AND number<?)",
            "SEARCH webhook USING INTEGER PRIMARY KEY (rowid=?)",
            content,
        ],
    );
    let by_event = "SEARCH held USING INDEX held_by_event (event>?)";
    check(sql!("delete_held_after"), &["SEARCH held USING PRIMARY KEY (webhook=? AND number=?)", by_event]);
}
