//! **A key in TOAST.** A long key is stored out of line like any large value, and an UPDATE that leaves it alone does
//! not log it, either. PostgreSQL itself once forgot it (mended in 14.2: "fix logging of toasted replica identity"):
//! an update or delete arrived without its key, and consumers skipped it, or wrote it under an empty one. Since then
//! the key comes in the *old* row, and the new one says "unchanged".
//!
//! walhook had it, too, until this exhibit was hung: the new row's key looked like another one, and every update of
//! such an entry became a delete of it and a create of an entry without id. Now what is missing of the new row's key
//! is taken from the old row before anything is made of the change (`capture::transaction::with_its_key`).

use crate::room::{ONE, Room};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_an_entry_whose_key_is_not_in_the_new_row_are_its_changes() {
    let schema = "create table ticket (id text primary key, title text);
                  alter table ticket alter id set storage external";
    let room = Room::open("toasted_key", schema, ONE).await;
    room.run(&[
        "insert into ticket select string_agg(md5(n::text), ''), 'a' from generate_series(1, 80) n",
        "update ticket set title = 'b'",
        "begin; update ticket set title = 'c'; update ticket set title = 'd'; commit",
        "alter table ticket replica identity full",
        "update ticket set title = 'e'",
        "delete from ticket",
    ])
    .await;
    let heard = room.hear("/all", 5).await;
    let events: Vec<&str> = heard.iter().map(|one| one.body["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["create", "update", "update", "update", "delete"]);
    let key = heard[0].body["entry"]["id"].as_str().unwrap();
    assert_eq!(key.len(), 2560);
    assert!(heard.iter().all(|one| one.body["entry_id"] == key));
    assert!(heard.iter().all(|one| one.body["entry"]["id"] == key));
    room.close();
}
