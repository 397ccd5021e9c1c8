//! Files of a queue.

#[path = "../../../fuzz/targets/open.rs"]
mod target;

use super::{attack, write_seed, writes_corpus};
use walhook::queue::Error;

fn write_seeds() {
    // choice of the files, and damages: what, which file, where, how much, with what
    let seed = |name: &str, bytes: &[u8]| write_seed("open", name, bytes);
    seed("closed", &[0]);
    seed("killed", &[1]);
    seed("beside", &[3]);
    seed("torn-log", &[1, 4, 5, 0, 64, 0, 0, 0, 0]);
    seed("flip-in-log", &[1, 1, 5, 0, 200, 0, 0, 0, 3]);
    seed("zero-page", &[0, 2, 0, 0, 32, 0, 0x10, 0, 0]);
    seed("version", &[0, 7, 0, 0, 0, 63, 0, 0, 9]);
    seed("cut", &[0, 4, 0, 0, 100, 7, 0, 0, 0]);
    seed("wrong-page", &[0, 6, 0, 0, 32, 0, 0, 5, 0]);
    seed("no-index", &[1, 9, 6, 0, 0, 0, 0, 0, 0]);
    // a command measured such a file and fell over
    seed("more-free-pages-than-pages", &[2, 7, 0, 0, 0, 36, 0, 0, 0xFF]);
    write_seed("replaced", "empty", &[0]);
    write_seed("replaced", "text", b"\0this is no database");
    write_seed("replaced", "magic", b"\0SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20");
    write_seed(
        "replaced",
        "log",
        &[&[5][..], b"\x37\x7f\x06\x82\0\x2d\xe2\x18\0\0\x10\0", &[0; 20]].concat(),
    );
    write_seed("replaced", "index", &[&[9][..], &[0xff; 300]].concat());
}

#[test]
fn damaged_files_are_opened_or_refused_and_then_left_alone() {
    if writes_corpus() {
        write_seeds();
    }
    attack("open", 400, target::open);
}

#[test]
fn files_that_are_something_else_are_refused_and_left_alone() {
    if writes_corpus() {
        write_seeds();
    }
    attack("replaced", 150, target::replaced);
}

/// The story of a queue file that somebody had to inspect: the disk had written one page wrongly, walhook refused the
/// file as damaged and asked to keep it with its log, and had itself just written the log into the file and removed it.
/// Now a connection to a file that is refused leaves both alone.
#[test]
fn the_log_of_a_damaged_file_is_kept() {
    let check = |damage: &[u8], why: &str| {
        let said = target::refusal(&[&[1], damage].concat()).expect("it is refused").to_string();
        assert!(said.contains("is damaged: ") && said.contains(why), "{said}");
    };
    // pages of zeros; some are in the log as well, and so do not matter
    let zeros = (1..16).map(|page| [1, 2, 0, 0, page << 4, 0, 0x10, 0, 0]);
    let refused: Vec<_> = zeros.filter_map(|damage| target::refusal(&damage)).collect();
    assert!(
        !refused.is_empty() && refused.iter().all(|error| matches!(error, Error::Damaged { .. })),
        "{refused:?}"
    );
    // waiting was said to help, for SQLite reads such a file and does not write it
    check(&[7, 0, 0, 0, 18, 0, 0, 9], "its header names a file format that there is not");
    // SQLite throws the log of an empty database away, and a new queue was made
    check(&[9, 0, 0, 0, 0, 0, 0, 0], "it is empty, and its write-ahead log is not");
}
