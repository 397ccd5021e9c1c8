//! **Bytes that are no text.** A database in SQL_ASCII keeps any bytes in its text columns. Who asks the server for
//! UTF-8 makes it fail on the first of them, in the middle of the stream, again after every start
//! (dimitri/pgcopydb#874 and #338): one old row with a Latin-1 letter stops everything after it.
//!
//! walhook asks such a server for the bytes as they are (`postgres::raw`), and puts aside what it cannot read: the
//! row stands in the quarantine with its bytes and its reason, counted and listed, and the others go on
//! (`capture::Capture::put_aside`).

use crate::room::{ONE, Room, TICKETS, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_is_put_aside_and_the_others_go_on() {
    let options = "encoding 'SQL_ASCII' template template0";
    let mut room = Room::open_in("bytes_that_are_no_text", options, TICKETS, ONE).await;
    room.run(&[
        "insert into ticket values (1, 'before')",
        "insert into ticket values (2, E'M\\374ller')",
        "begin; insert into ticket values (3, E'\\377'); insert into ticket values (4, 'beside'); commit",
        "insert into ticket values (5, E'M\\303\\274ller')",
        "update ticket set title = 'mended' where id = 2",
    ])
    .await;
    let heard = room.hear("/all", 4).await;
    assert_eq!(told(&heard), ["create 1", "create 4", "create 5", "update 2"]);
    assert_eq!(heard[2].body["entry"]["title"], "Müller");
    let (code, output) = room.command(&["--json", "queue", "quarantine"]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(output.matches("a value is not valid UTF-8").count(), 2, "{output}");
    let (_, output) = room.command(&["check"]);
    assert!(output.contains("quarantine"), "{output}");
    let end = room.wal_end().await;
    room.until_confirmed(end - 64).await;
    room.close();
}
