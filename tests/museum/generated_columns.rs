//! **Generated columns.** pgoutput leaves stored generated columns out (until 18, and there unless asked for), and
//! columns that were dropped leave holes in the catalogue's numbers. Who joins the two by position shifts values
//! into wrong fields, or panics on the count (debezium's DBZ-7041 and postgres-decoderbufs#6; risingwave#20348;
//! spiceai#11255: snapshots were right, the first change detached the table for good).
//!
//! walhook joins by the names that the log announces, and follows them by column number when they are renamed
//! (`catalog::bind`). What the log leaves out is not in the body.

use crate::room::{ONE, Room, told};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_stands_under_its_own_name() {
    let schema = "create table ticket (a int, gone text, id int primary key,
                      twice int generated always as (a * 2) stored, b text, c text default 'c');
                  alter table ticket drop column gone;
                  alter table ticket replica identity full";
    let room = Room::open("generated_columns", schema, ONE).await;
    room.run(&[
        "insert into ticket (a, id, b) values (1, 10, 'b')",
        "alter table ticket drop column a cascade, add column a text, add column d int generated always as (id) stored",
        "insert into ticket (id, b, a) values (11, 'bb', 'aa')",
        "update ticket set b = 'x' where id = 11",
    ])
    .await;
    // from 18 on such a table's updates would fail if they were published with this identity: setup publishes its
    // inserts only
    let has_updates = room.major_version() < 18;
    let heard = room.hear("/all", if has_updates { 3 } else { 2 }).await;
    assert_eq!(told(&heard)[..2], ["create 10", "create 11"]);
    let value = |number: usize, name: &str| heard[number].body["entry"][name].clone();
    assert_eq!((value(0, "a"), value(0, "b"), value(0, "c")), (json!(1), json!("b"), json!("c")));
    assert_eq!((value(1, "a"), value(1, "b"), value(1, "c")), (json!("aa"), json!("bb"), json!("c")));
    if has_updates {
        assert_eq!(told(&heard)[2], "update 11");
        assert_eq!(heard[2].body["changed"], json!({"b": {"old": "bb", "new": "x"}}));
    }
    room.close();
}
