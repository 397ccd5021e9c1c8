//! The publication is altered while walhook runs: what the server leaves out for it is told, all else arrives.

use super::{accept, gaps, patience, rest, sql, wait_until_confirmed, wal_end};
use crate::proof::trial::Trial;
use crate::readiness::readiness;
use std::time::{Duration, Instant};

/// SIGHUP, at which the forms are compared with the catalogue; else that is done every minute.
async fn compare(trial: &Trial, words: &str) {
    let from = trial.stage.walhook.log().len();
    trial.stage.walhook.signal("-HUP");
    trial.wait_for_log(from, words).await;
}

/// What `walhook check` says.
fn check(trial: &Trial) -> String {
    let output = trial.stage.walhook.run(&["check"]);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A person that comes and goes while its table is left out: lost, and gone from the table, too.
const COME_AND_GO: &str = "insert into desk.person (id, name) values (9000001, 'unseen');
     update desk.person set name = 'unseen still' where id = 9000001;
     delete from desk.person where id = 9000001";

/// Takes something away from the publication, sees it told, and gives it back.
async fn altered(trial: &mut Trial, away: [&str; 2], words: &str, said_by_check: &str, back: &str) {
    trial.work(40).await;
    rest(trial).await;
    let [away, meanwhile] = away;
    sql(trial, away).await;
    sql(trial, meanwhile).await;
    compare(trial, words).await;
    let log = trial.stage.walhook.log();
    assert!(log.contains("a form no longer fits its table"), "{away}");
    let checked = check(trial);
    assert!(checked.contains(said_by_check), "{away}: {checked}");
    sql(trial, back).await;
    compare(trial, "the stream runs").await;
    trial.work(40).await;
}

/// A table is dropped from the publication and added again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_dropped_from_it_and_added_again() {
    let mut trial = Trial::begin("publication-table").await;
    let words = "desk.person is not in publication";
    let away = ["alter publication walhook drop table desk.person", COME_AND_GO];
    altered(&mut trial, away, words, "desk.person", "alter publication walhook add table desk.person").await;
    trial.judge().await;
}

/// The publication was told to publish inserts only, or got a row filter, and walhook said nothing while updates and
/// deletes of every form were left out. Now the form is broken, and what still comes is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_publishes_part_of_the_changes() {
    let mut trial = Trial::begin("publication-part").await;
    altered(
        &mut trial,
        // inserts still come, so that nothing of the kind is done meanwhile
        ["alter publication walhook set (publish = 'insert')", "select 1"],
        "publication \\\"walhook\\\" leaves out updates, deletes",
        "update",
        "alter publication walhook set (publish = 'insert, update, delete, truncate')",
    )
    .await;
    if trial.stage.cluster.major_version() >= 15 {
        altered(
            &mut trial,
            [
                "alter publication walhook set table desk.incident, desk.\"Asset\", desk.person where (id < 9000000)",
                COME_AND_GO,
            ],
            "publication \\\"walhook\\\" has a row filter on desk.person",
            "with a row filter",
            "alter publication walhook set table desk.incident, desk.\"Asset\", desk.person",
        )
        .await;
        // a column list leaves no row out; fields that the form does not name are missing
        trial.work(40).await;
        rest(&trial).await;
        sql(
            &trial,
            "alter publication walhook set table desk.incident, desk.\"Asset\", desk.person (id, name)",
        )
        .await;
        let checked = check(&trial);
        assert!(checked.contains("column list"), "{checked}");
        sql(&trial, "alter publication walhook set table desk.incident, desk.\"Asset\", desk.person").await;
    }
    trial.work(40).await;
    trial.judge().await;
}

/// The publication is dropped and made anew, or renamed, while changes are made: PostgreSQL decodes with the
/// catalogue as it was, where the publication is missing for good. That is a gap, and what follows is complete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_dropped_and_made_anew_or_renamed() {
    let mut trial = Trial::begin("publication-gone").await;
    for (away, back) in [
        ("alter publication walhook rename to elsewhere", "alter publication elsewhere rename to walhook"),
        (
            "drop publication walhook",
            "create publication walhook for table desk.incident, desk.\"Asset\", desk.person",
        ),
    ] {
        trial.work(40).await;
        rest(&trial).await;
        let end = wal_end(&trial).await;
        wait_until_confirmed(&trial, end).await;
        let from = trial.stage.walhook.log().len();
        sql(&trial, away).await;
        trial.work(40).await;
        rest(&trial).await;
        trial.wait_for_log(from, "publication").await;
        sql(&trial, back).await;
        let began = Instant::now();
        while readiness(&trial.stage).await.0 == 200 {
            assert!(began.elapsed() < patience(), "it stays green");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        accept(&mut trial).await;
        trial.work(40).await;
    }
    let gaps = gaps(&trial);
    assert_eq!(gaps.len(), 2);
    trial.judge_beside(&gaps).await;
}
