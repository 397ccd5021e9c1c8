//! **Flush past an open transaction.** A transaction writes early and commits late: its rows stand in the log
//! below those of transactions that committed in between. SeaTunnel's connector confirmed the position of the
//! last row it had read instead of that of the last commit (apache/seatunnel#11847), PostHog's confirmed in the
//! middle of a transaction that it was still handing out (PostHog/posthog#64719); both died, came back behind
//! the rows of the late transaction, and never saw them again. Others drop, on resuming, every row whose LSN is
//! not above the stored one.
//!
//! walhook compares commits with commits: what it drops on resuming is a transaction whose *commit* is not above
//! the stored one (`capture::Capture::take`), and what it confirms is the end of a commit.

use crate::room::{ONE, Room, TICKETS, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_commits_late_arrives_though_its_rows_lie_below_what_was_confirmed() {
    let mut room = Room::open("flush_past_an_open_transaction", TICKETS, ONE).await;
    let late = room.session().await;
    late.batch_execute("begin; insert into ticket values (1, 'early and late')").await.unwrap();
    let written = room.wal_end().await;
    room.run(&["insert into ticket values (2)", "insert into ticket values (3)"]).await;
    room.hear("/all", 2).await;
    room.until_confirmed(written).await;
    room.kill().await;
    room.run(&["insert into ticket values (4)"]).await;
    room.walhook.start();
    room.hear("/all", 3).await;
    // still open while walhook lives a second time and confirms further, and dies a second time
    let again = room.wal_end().await;
    room.until_confirmed(again - 1).await;
    room.kill().await;
    late.batch_execute("commit").await.unwrap();
    room.walhook.start();
    let heard = room.hear("/all", 4).await;
    assert_eq!(told(&heard), ["create 2", "create 3", "create 4", "create 1"]);
    room.close();
}

/// The same with a transaction that was prepared for two-phase commit: its session is gone, only the server
/// knows of it, and it is committed by somebody else in another life of walhook.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_transaction_arrives_when_it_is_committed_in_another_life() {
    let mut room = Room::open("a_prepared_transaction", TICKETS, ONE).await;
    room.run(&[
        "begin",
        "insert into ticket values (1, 'prepared')",
        "prepare transaction 'museum'",
        "insert into ticket values (2)",
    ])
    .await;
    let written = room.wal_end().await;
    room.hear("/all", 1).await;
    room.until_confirmed(written - 1).await;
    room.kill().await;
    room.run(&["commit prepared 'museum'"]).await;
    room.walhook.start();
    let heard = room.hear("/all", 2).await;
    assert_eq!(told(&heard), ["create 2", "create 1"]);
    room.close();
}
