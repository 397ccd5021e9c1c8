//! **A disabled endpoint's queue thrown away.** An endpoint fails for long and is switched off, by a rule or by a
//! hand. What waited for it is discarded, and so is what comes after (frain-dev/convoy#650: answered with 400 and
//! dropped; #1092: put back, it got stuck). It was switched off *because* of trouble, and its owner comes back to a
//! hole.
//!
//! In walhook a webhook that its endpoint has sent away (410) or that failed for a day is *suspended*: changes go on
//! being queued, and nothing is sent until somebody enables it. One that the operator disables takes nothing new, as
//! told, and keeps what it had (`queue::sqlite::operate`). Only `drop` and `delete` give anything up, and ask first.

use crate::room::{ONE, Room, TICKETS, told};
use walhook::demo::receiver::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_an_endpoint_that_was_switched_off_is_there_when_it_is_back() {
    let mut room = Room::open("disabled_endpoint_queue", TICKETS, ONE).await;
    room.answer(|_| Answer::Status(410));
    room.run(&["insert into ticket values (1)"]).await;
    room.wait_for_log(0, "the webhook was suspended").await;
    let refused = room.receiver.count();
    room.run(&["insert into ticket values (2)", "insert into ticket values (3)"]).await;
    let end = room.wal_end().await;
    room.until_confirmed(end - 64).await;
    room.kill().await;

    // and then the operator takes it out for a while, too
    room.configure(&ONE.replace("form = \"ticket\"", "form = \"ticket\"\nenabled = false"));
    room.answer(|_| Answer::Status(204));
    room.start().await;
    room.run(&["insert into ticket values (4, 'while disabled')"]).await;
    let end = room.wal_end().await;
    room.until_confirmed(end - 64).await;
    assert_eq!(room.walhook.terminate(), Some(0));
    assert_eq!(room.receiver.count(), refused, "nothing is sent meanwhile");
    room.configure(ONE);
    room.start().await;
    room.run(&["insert into ticket values (5)"]).await;
    let (code, output) = room.command(&["webhooks", "enable", "all"]);
    assert_eq!(code, 0, "{output}");
    let heard = room.hear("/all", 4).await;
    assert_eq!(told(&heard), ["create 1", "create 2", "create 3", "create 5"]);
    room.close();
}
