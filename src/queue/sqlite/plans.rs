//! How SQLite goes about the statements that run for every delivery: a wrong index is a queue that works in
//! every test and stands still in production.

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
        if ["SEARCH", "SCAN d", "SCAN e", "USE TEMP"].iter().any(|word| step.starts_with(word)) {
            plan.push(step.replace("COVERING ", ""));
        }
    }
    assert_eq!(plan, expected, "{statement}");
}

#[test]
fn every_statement_of_a_delivery_goes_straight_to_its_rows() {
    let active = "SEARCH delivery USING INDEX delivery_active (webhook=? AND lane=?)";
    let waiting = "SEARCH delivery USING INDEX delivery_waiting (webhook=? AND lane=?)";
    let one = "SEARCH delivery USING PRIMARY KEY (webhook=? AND sequence=?)";
    check(sql!("lane_is_busy"), &[active, waiting]);
    check(sql!("lane_active"), &["SEARCH delivery USING INDEX delivery_active (webhook=? AND lane=?)"]);
    check(sql!("lane_next"), &["SEARCH delivery USING INDEX delivery_waiting (webhook=? AND lane=?)"]);
    let [active_before, waiting_before] =
        [active, waiting].map(|plan| plan.replace("lane=?", "lane=? AND sequence<?"));
    check(sql!("lane_last"), &[&active_before, &waiting_before, "SEARCH (subquery-2)"]);
    check(sql!("set_gate"), &[one]);
    check(sql!("promote"), &[one]);
    check(sql!("gated"), &["SEARCH delivery USING INDEX delivery_gate (webhook=? AND gate=?)"]);
    check(sql!("settle"), &[one]);
    check(
        sql!("scan_ready"),
        &["SEARCH delivery USING INDEX delivery_ready (webhook=? AND sequence>? AND sequence<?)"],
    );
    check(
        sql!("scan_due"),
        &["SEARCH delivery USING INDEX delivery_due (webhook=? AND (due_at_us,sequence)>(?,?))"],
    );
    check(
        sql!("claim"),
        &[
            "SEARCH d USING PRIMARY KEY (webhook=? AND sequence=?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    );
    check(
        sql!("ended"),
        &["SEARCH d USING INDEX delivery_ended (since_us<?)", "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"],
    );
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
    check(
        sql!("next_tail_number"),
        &[
            "SEARCH event USING INDEX event_identity (epoch=? AND commit_lsn=? AND ordinal=? AND verb=? AND lane=?)",
        ],
    );
    let by_event = "SEARCH held USING INDEX held_by_event (event>?)";
    check(sql!("delete_held_after"), &["SEARCH held USING PRIMARY KEY (webhook=? AND number=?)", by_event]);
}
