//! Tables change under way: dropped, renamed, rebuilt, their columns and identities altered between two changes.

use super::things::{self, things};
use super::{patience, sql};
use serde_json::json;
use std::time::{Duration, Instant};

/// DDL inside a transaction: before it, between two changes, and after the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_change_between_two_changes_of_a_transaction() {
    let mut trial = things::begin("tables-columns", "'id' > 0").await;
    trial.let_work(200);
    sql(
        &trial,
        "begin;
         insert into desk.thing values (1, 'x', 10), (2, 'x', 20);
         alter table desk.thing add column c text default 'new';
         update desk.thing set c = 'y' where id = 1;
         insert into desk.thing values (3, 'x', 30, 'z');
         alter table desk.thing drop column b;
         update desk.thing set a = 'w' where id = 2;
         alter table desk.thing alter column c drop default;
         alter table desk.thing alter column c type jsonb using to_jsonb(c);
         insert into desk.thing values (4, 'x', '[4]');
         commit",
    )
    .await;
    let ids: Vec<String> = (1..=4).map(|id| id.to_string()).collect();
    let told = things(&trial, &ids).await;
    for (id, a, c) in
        [("1", "x", json!("y")), ("2", "w", json!("new")), ("3", "x", json!("z")), ("4", "x", json!([4]))]
    {
        let entry = &told[id]["entry"];
        assert_eq!((&entry["a"], &entry["c"]), (&json!(a), &c), "{id}: {entry}");
    }
    // and across a restart, with what was written before it in the log still
    super::stop(&mut trial);
    sql(
        &trial,
        "insert into desk.thing values (5, 'before', '5'); alter table desk.thing rename column a to text",
    )
    .await;
    sql(&trial, "insert into desk.thing values (6, 'after', '6'); alter table desk.thing drop column c")
        .await;
    sql(&trial, "insert into desk.thing values (7, 'last')").await;
    trial.stage.walhook.start();
    let ids: Vec<String> = (5..=7).map(|id| id.to_string()).collect();
    let told = things(&trial, &ids).await;
    for id in &ids {
        println!("{}", told[id]["entry"]);
    }
    trial.judge().await;
}

/// The table is dropped by the transaction that filled it, and by another one before walhook has read what was
/// done to it; then it is made anew, renamed away and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_after_its_changes_and_made_anew() {
    let mut trial = things::begin("tables-dropped", "'id' > 0").await;
    sql(&trial, "insert into desk.thing values (1, 'first', 1)").await;
    things(&trial, &["1".into()]).await;
    super::stop(&mut trial);
    sql(&trial, "insert into desk.thing select id, 'dropped later', 1 from generate_series(100, 150) id")
        .await;
    sql(&trial, "drop table desk.thing").await;
    trial.stage.walhook.start();
    let ids: Vec<String> = (100..=150).map(|id| id.to_string()).collect();
    things(&trial, &ids).await;
    trial.wait_for_log(0, "a form no longer fits its table").await;
    trial.work(60).await;

    let made = "create table desk.thing (id int primary key, a text, b int);
                alter publication walhook add table desk.thing;";
    sql(&trial, made).await;
    sql(&trial, "insert into desk.thing values (200, 'anew', 1)").await;
    things(&trial, &["200".into()]).await;
    sql(
        &trial,
        "alter table desk.thing rename to thing_before; insert into desk.thing_before values (300, 'a', 1)",
    )
    .await;
    sql(&trial, "alter table desk.thing_before rename to thing; insert into desk.thing values (301, 'a', 1)")
        .await;
    things(&trial, &["300".into(), "301".into()]).await;
    sql(
        &trial,
        "begin; insert into desk.thing select id, 'own', 1 from generate_series(400, 420) id;
         drop table desk.thing; commit",
    )
    .await;
    let ids: Vec<String> = (400..=420).map(|id| id.to_string()).collect();
    things(&trial, &ids).await;
    trial.work(60).await;
    trial.judge().await;
}

/// The identity of a table changes between its changes, down to none that tells the entry; and it is emptied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_identity_changes_and_it_is_truncated() {
    let trial = things::begin("tables-identity", "'id' > 0").await;
    trial.let_work(200);
    sql(&trial, "insert into desk.thing select id, 'x', 1 from generate_series(1, 9) id").await;
    sql(
        &trial,
        "alter table desk.thing replica identity full;
         update desk.thing set b = 2 where id = 1;
         alter table desk.thing replica identity default;
         update desk.thing set b = 3 where id = 2;",
    )
    .await;
    sql(
        &trial,
        "begin; update desk.thing set b = 4 where id = 3; alter table desk.thing replica identity full;
         update desk.thing set b = 5 where id = 4; delete from desk.thing where id = 5; commit",
    )
    .await;
    sql(&trial, "alter table desk.thing replica identity nothing").await;
    // now the application's updates and deletes fail, as PostgreSQL has it; inserts come
    assert!(trial.stage.client.batch_execute("update desk.thing set b = 6 where id = 6").await.is_err());
    sql(&trial, "insert into desk.thing values (10, 'x', 1)").await;
    sql(&trial, "alter table desk.thing replica identity default; truncate desk.thing").await;
    sql(&trial, "insert into desk.thing values (11, 'x', 1)").await;
    // what came without an identity is put aside, and that is said: its entry could not be followed further
    trial.wait_for_log(0, "a row change could not be read and was put aside").await;
    let wanted: Vec<String> = (1..=11).filter(|id| *id != 10).map(|id| id.to_string()).collect();
    let last =
        [("1", "update", 2), ("2", "update", 3), ("3", "update", 4), ("4", "update", 5), ("5", "delete", 1)];
    let began = Instant::now();
    loop {
        let told = things(&trial, &wanted).await;
        let is_there = |&(id, event, b): &(&str, &str, i32)| {
            told[id]["event"] == event && (event == "delete" || told[id]["entry"]["b"] == b)
        };
        let Some(missing) = last.iter().find(|last| !is_there(last)) else { break };
        assert!(began.elapsed() < patience(), "{missing:?} is {}", told[missing.0]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    trial.wait_for_log(0, "the table was truncated: there are no delete events for its rows").await;
    trial.judge().await;
}
