//! **An unknown message that loops for ever.** pgoutput speaks of more than rows: of types (`Y`), origins (`O`),
//! truncations (`T`), messages of the application (`M`), and of what versions to come will think of. Consumers
//! that die of a kind they do not know are restarted, get the same message again, and so on until the disk is
//! full of log and the slot is invalidated (outboxx#89: an enum column was enough). Those that skip
//! it may skip changes.
//!
//! walhook knows all kinds of the protocol it asks for (`source::pgoutput`), keeps apart those that mean nothing
//! to it, and stops at a truly unknown one: nothing is confirmed, the operator is called, what is queued goes on
//! being delivered, and it looks again every quarter of a minute, not in a loop.

use crate::room::{ONE, PATIENCE, Room, TICKETS, told};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_about_other_things_than_rows_stop_nothing() {
    let schema = "create type mood as enum ('good', 'bad');
                  create type place as (site text, room int);
                  create domain score as int check (value > 0);
                  create table ticket (id int primary key, mood mood, place place, score score);
                  select pg_replication_origin_create('museum')";
    let mut room = Room::open("unknown_message", schema, ONE).await;
    room.run(&[
        "select pg_logical_emit_message(false, 'anything', 'outside of a transaction')",
        "insert into ticket values (1, 'good', '(here,1)', 7)",
        "begin; select pg_logical_emit_message(true, 'anything', 'inside'); insert into ticket values (2); commit",
        "begin; select pg_logical_emit_message(true, '', convert_from('\\xc3a4', 'UTF8')); commit",
        "begin; select pg_logical_emit_message(true, 'bytes', '\\x00ff'::bytea); insert into ticket values (3); commit",
        "select pg_replication_origin_session_setup('museum')",
        "insert into ticket values (4)",
        "select pg_replication_origin_session_reset()",
        "select pg_replication_origin_drop('museum')",
        "alter type mood add value 'ugly'",
        "insert into ticket values (5, 'ugly')",
    ])
    .await;
    let heard = room.hear("/all", 5).await;
    assert_eq!(told(&heard), ["create 1", "create 2", "create 3", "create 4", "create 5"]);
    assert_eq!(heard[4].body["entry"]["mood"], "ugly");
    let end = room.wal_end().await;
    room.until_confirmed(end - 64).await;
    assert!(!room.walhook.log().contains("a task failed"), "{}", room.walhook.log_tail());
    room.close();
}

/// Passes everything on, and turns inserts into messages of a kind that no server has while it is told to.
async fn relay(port: u16, strange: Arc<AtomicBool>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
        let (mut from_client, to_client) = client.into_split();
        let (from_server, mut to_server) = server.into_split();
        connections.spawn(async move {
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            let _ = to_server.shutdown().await;
        });
        let strange = Arc::clone(&strange);
        connections.spawn(async move {
            let _ = alter(from_server, to_client, &strange).await;
        });
    }
}

/// Frame by frame: tag, length, body; in a replication message (`d`, `w`) the plugin's part begins at 25.
async fn alter(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, strange: &AtomicBool) -> std::io::Result<()> {
    loop {
        let mut head = [0; 5];
        from.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length - 4];
        from.read_exact(&mut body).await?;
        if strange.load(Ordering::Relaxed) && head[0] == b'd' && body[0] == b'w' && body[25] == b'I' {
            body[25] = b'?';
        }
        to.write_all(&[&head[..], &body].concat()).await?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truly_unknown_kind_stops_reading_in_words_and_loses_nothing() {
    let mut room = Room::open("a_truly_unknown_kind", TICKETS, ONE).await;
    room.run(&["insert into ticket values (1)"]).await;
    room.hear("/all", 1).await;
    assert_eq!(room.walhook.terminate(), Some(0));

    let strange = Arc::new(AtomicBool::new(true));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = listener.local_addr().unwrap().port();
    let mut proxy = JoinSet::new();
    proxy.spawn(relay(room.port(), Arc::clone(&strange), listener));
    let url =
        format!("{}?sslmode=disable", room.url().replace(&room.port().to_string(), &through.to_string()));
    room.configure_source(&url, ONE);
    let before = room.wal_end().await;
    room.run(&["insert into ticket values (2)", "insert into ticket values (3)"]).await;
    room.walhook.start();
    room.wait_for_log(0, "a message of the unknown type '?'").await;
    room.wait_for_log(0, "the position stays where it is").await;
    let failures = room.walhook.log().matches("unknown type '?'").count();
    assert!(failures <= 2, "it must not spin: {failures} failures");
    assert!(room.confirmed().await <= before);
    assert_eq!(room.receiver.count(), 1);

    // an update of walhook that knows the kind
    strange.store(false, Ordering::Relaxed);
    room.kill().await;
    room.walhook.start();
    let heard = tokio::time::timeout(PATIENCE, room.hear("/all", 3)).await.unwrap();
    assert_eq!(told(&heard), ["create 1", "create 2", "create 3"]);
    room.close();
}
