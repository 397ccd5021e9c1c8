//! **A key update as last change.** An update of the primary key is one row change and two events: the old entry
//! goes, a new one comes. In Debezium's Vitess connector the first of the two carried the position behind both
//! (DBZ-8594), and in its core a batch that ended between them did the same (debezium/dbz#2549, 2026): after a
//! restart in that moment the delete had been sent, the create never was. If the update was the last change of
//! its transaction, nothing came after it that could have made anybody look.
//!
//! walhook's position moves by whole transactions, in the same durable transaction that holds both events
//! (`queue::Queue::enqueue`), and the two have identities of their own (`capture::fold`).

use crate::room::{ONE, Room, TICKETS, told};
use walhook::demo::receiver::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_entry_arrives_though_walhook_dies_between_the_two_events() {
    let mut room = Room::open("key_update_as_last_change", TICKETS, ONE).await;
    room.run(&["insert into ticket values (1), (2)"]).await;
    room.hear("/all", 2).await;
    let is_new = |body: &[u8]| String::from_utf8_lossy(body).contains("\"entry_id\":\"9\"");
    room.answer(move |request| if is_new(&request.body) { Answer::Silence } else { Answer::Status(204) });
    room.run(&[
        "begin; update ticket set title = 'x' where id = 1; update ticket set id = 9 where id = 2; commit",
    ])
    .await;
    room.until_arrived("the new entry", |arrivals| arrivals.iter().any(|one| is_new(&one.request.body)))
        .await;
    let end = room.wal_end().await;
    // confirmed: the server will not send it again
    room.until_confirmed(end - 1).await;
    room.kill().await;
    room.answer(|_| Answer::Status(204));
    room.start().await;
    let heard = room.hear("/all", 5).await;
    assert_eq!(told(&heard), ["create 1", "create 2", "update 1", "delete 2", "create 9"]);
    assert_eq!(heard[3].body["renamed_to"], "9");
    assert_eq!(heard[4].body["renamed_from"], "2");
    room.close();
}
