//! The show as somebody sees it who types `walhook demo`.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use walhook::postgres::{Address, connect};

fn demo(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
    command.arg("demo").env("TMPDIR", temporary).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A folder for temporary files that the server's user may enter too.
fn temporary() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn left_behind(temporary: &Path) -> Vec<String> {
    let names = std::fs::read_dir(temporary).unwrap();
    names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn text(output: &Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{error}")
}

#[test]
fn the_show_ends_by_itself_loses_nothing_and_leaves_nothing() {
    let temporary = temporary();
    let began = Instant::now();
    let output = demo(temporary.path()).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}\n{text}", began.elapsed());
    for expected in
        ["     505  delivered\n", "       0  lost\n", "Status 0 → 1", "refused, 422", "  replay  "]
    {
        assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "without a terminal there are no colours:\n{text}");
    assert_eq!(left_behind(temporary.path()), [""; 0]);
}

/// As root the server runs as somebody else, who must be able to reach its programs. `PG_BIN` may be relative.
#[test]
fn programs_in_a_closed_folder_are_named() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let temporary = temporary();
    let closed = tempfile::tempdir().unwrap();
    if std::fs::metadata(closed.path()).unwrap().uid() != 0 {
        eprintln!("skipped: only as root does the server run as somebody else");
        return;
    }
    for program in ["initdb", "postgres"] {
        std::fs::write(closed.path().join(program), "#!/bin/sh\n").unwrap();
    }
    std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let output = demo(temporary.path()).current_dir(closed.path()).env("PG_BIN", ".").output().unwrap();
    let text = text(&output);
    assert_ne!(output.status.code(), Some(0), "{text}");
    let expected = format!("may not run {}", closed.path().join("initdb").display());
    assert!(text.contains(&expected), "{text}");
    assert_eq!(left_behind(temporary.path()), [""; 0]);
}

#[test]
fn an_interrupted_show_cleans_up() {
    use std::io::{BufRead, BufReader};
    let temporary = temporary();
    let mut child = demo(temporary.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.by_ref().find(|line| line.contains("reports INC0001")).expect("the show has begun");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let rest: Vec<String> = lines.collect();
    child.wait().unwrap();
    assert!(rest.iter().any(|line| line.contains("interrupted")), "{rest:?}");
    assert!(!rest.iter().any(|line| line.contains("In sum")), "{rest:?}");
    assert_eq!(left_behind(temporary.path()), [""; 0]);
}

#[tokio::test]
async fn a_server_of_yours_is_left_as_it_was() {
    let cluster = walhook::demo::cluster::Cluster::start(&[]).unwrap();
    let url = cluster.url("postgres");
    let output = demo(std::env::temp_dir().as_path()).args(["--database-url", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let session = connect(&Address::parse(&url).unwrap(), "test").await.unwrap();
    let left = "select nspname::text from pg_namespace where nspname like 'walhook%'
        union all select pubname from pg_publication union all select slot_name from pg_replication_slots";
    let left: Vec<String> =
        session.query(left, &[]).await.unwrap().into_iter().map(|row| row.get(0)).collect();
    assert_eq!(left, [""; 0]);
}
