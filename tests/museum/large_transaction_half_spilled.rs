//! **A large transaction, half of it spilled.** A transaction is too large for memory. Some die of it, again and
//! again (airbyte#20873, Trendyol/go-pq-cdc#151), some hand it out in pieces as it comes, and whoever dies between
//! two pieces has confirmed, or repeats, or forgets a half (PostHog/posthog#64719; instantdb/instant#1576 gives up
//! its boundaries).
//!
//! walhook stages it on disk, renders it piece by piece, and publishes it by one small durable transaction: before
//! that nothing of it is delivered, and what is unfinished at a start is deleted
//! (`capture::Capture::enqueue_in_parts`, `queue::Queue::discard_unfinished`).

use crate::room::{ONE, Room, TICKETS, told};
use walhook::demo::receiver::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_it_arrives_before_all_of_it_is_stored_and_then_all_of_it_does() {
    const ROWS: usize = 400;
    let mut room = Room::open("large_transaction_half_spilled", TICKETS, ONE).await;
    let insert = format!(
        "begin; insert into ticket select n, repeat(md5(n::text), 1250) from generate_series(1, {ROWS}) n;
         update ticket set title = title || 'x' where id <= 10; commit; insert into ticket values (0)"
    );
    let session = room.session().await;
    session.batch_execute(&insert).await.unwrap();
    // once in the middle of the first half, and once when the first of it goes out
    room.answer(|_| Answer::Silence);
    room.wait_for_log(0, "a large transaction is being staged on disk").await;
    room.kill().await;
    room.walhook.start();
    room.until_arrived("the first of it", |arrivals| !arrivals.is_empty()).await;
    room.kill().await;
    room.answer(|_| Answer::Status(204));
    room.walhook.start();
    let heard = room.hear("/all", ROWS + 1).await;
    let expected: Vec<String> = (1..=ROWS).chain([0]).map(|id| format!("create {id}")).collect();
    assert_eq!(told(&heard), expected);
    assert_eq!(heard[0].body["entry"]["title"].as_str().unwrap().len(), 40_001);
    room.close();
}
