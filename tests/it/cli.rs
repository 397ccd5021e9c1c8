//! The command line as a user meets it: what is printed where, and the exit codes.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn walhook(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
    command
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("WALHOOK_CONFIG")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_example_is_printed_and_taken() {
    let folder = tempfile::tempdir().unwrap();
    let example = walhook(folder.path(), &["config", "example"]);
    assert_eq!(example.status.code(), Some(0));
    assert_eq!(stdout(&example), walhook::app::config::EXAMPLE);
    std::fs::write(folder.path().join("walhook.toml"), stdout(&example)).unwrap();
    let shown = walhook(folder.path(), &["config", "show"]);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    assert!(stdout(&shown).contains("slot = \"walhook\""));
    let json = walhook(folder.path(), &["--json", "config", "show"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["dispatch"]["in_flight_max"], 1024);
    let schema = walhook(folder.path(), &["config", "schema"]);
    assert!(serde_json::from_slice::<serde_json::Value>(&schema.stdout).unwrap().is_object());
}

#[test]
fn a_wrong_file_ends_with_64_and_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("w.toml"), "[source]\nslott = \"a\"\n[queue]\npth = \"b\"\n").unwrap();
    let refused = walhook(folder.path(), &["--config", "w.toml", "config", "show"]);
    assert_eq!(refused.status.code(), Some(64));
    assert_eq!(stdout(&refused), "");
    let said = stderr(&refused);
    for part in ["w.toml:2:1", "did you mean \"slot\"?", "w.toml:4:1", "did you mean \"path\"?"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(said.ends_with("error: the configuration has 2 problems\n"), "{said}");
    assert!(!said.contains('\x1b'), "colours without a terminal");

    let coloured = walhook(folder.path(), &["--config", "w.toml", "--color", "always", "config", "show"]);
    assert!(stderr(&coloured).contains('\x1b'));
    let json = walhook(folder.path(), &["--config", "w.toml", "--json", "config", "show"]);
    assert_eq!(json.status.code(), Some(64));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["problems"][1]["line"], 4);
}

#[test]
fn a_missing_file_says_how_to_begin() {
    let folder = tempfile::tempdir().unwrap();
    let refused = walhook(folder.path(), &["deliveries", "list"]);
    assert_eq!(refused.status.code(), Some(64));
    let said = stderr(&refused);
    assert!(
        said.starts_with("error: the configuration walhook.toml cannot be read\n  caused by: "),
        "{said}"
    );
    assert!(
        said.contains("hint: name the file with --config, or begin one with `walhook config example"),
        "{said}"
    );
}

#[test]
fn bad_usage_ends_with_64_and_help_with_0() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(walhook(folder.path(), &["deliverys"]).status.code(), Some(64));
    assert_eq!(walhook(folder.path(), &[]).status.code(), Some(64));
    let help = walhook(folder.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in
        ["run", "demo", "check", "setup", "teardown", "resume", "deliveries", "webhooks", "queue", "config"]
    {
        assert!(stdout(&help).contains(&format!("\n  {command} ")), "{command} in {}", stdout(&help));
    }
    assert_eq!(walhook(folder.path(), &["--version"]).status.code(), Some(0));
}

#[test]
fn a_queue_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("walhook.toml"), "").unwrap();
    let refused = walhook(folder.path(), &["webhooks", "list"]);
    assert_eq!(refused.status.code(), Some(69));
    assert!(stderr(&refused).contains("there is no queue walhook.db\nhint: `walhook run` creates it"));
    assert!(!folder.path().join("walhook.db").exists(), "looking must not create it");
}

/// Once, `walhook config schema | head -1` printed a panic, for `println!` does not expect that nobody reads.
#[test]
fn a_closed_pipe_ends_quietly() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.args(["config", "schema"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn setup_makes_what_check_misses_and_teardown_removes_it() {
    let cluster = walhook::demo::cluster::Cluster::start(&[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let endpoint = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = format!(
        "[source]\nurl = \"{}\"\n[[forms]]\ntable = \"public.incident\"\n[[webhooks]]\nname = \"w\"\n\
         form = \"incident\"\nevents = [\"create\"]\ncallback.url = \"http://{}/hook\"\n",
        cluster.url("postgres"),
        endpoint.local_addr().unwrap()
    );
    std::fs::write(folder.path().join("walhook.toml"), file).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let address = walhook::postgres::Address::parse(&cluster.url("postgres")).unwrap();
        let session = walhook::postgres::connect(&address, "test").await.unwrap();
        session.batch_execute("create table public.incident (id int primary key, what text)").await.unwrap();
    });

    let missing = walhook(folder.path(), &["check"]);
    assert_eq!(missing.status.code(), Some(1), "{}{}", stdout(&missing), stderr(&missing));
    assert!(stdout(&missing).contains("publication \"walhook\""), "{}", stdout(&missing));

    let printed = walhook(folder.path(), &["setup"]);
    assert_eq!(printed.status.code(), Some(0), "{}", stderr(&printed));
    assert!(stdout(&printed).contains("create publication"), "{}", stdout(&printed));
    assert_eq!(walhook(folder.path(), &["check"]).status.code(), Some(1), "printing must change nothing");

    let applied = walhook(folder.path(), &["setup", "--apply"]);
    assert_eq!(applied.status.code(), Some(0), "{}{}", stdout(&applied), stderr(&applied));
    let checked = walhook(folder.path(), &["--json", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    let json: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(json["ok"], true);
    let found = json["findings"].as_array().unwrap();
    assert!(found.iter().any(|finding| finding["object"] == "webhook \"w\"" && finding["severity"] == "ok"));
    assert!(stdout(&walhook(folder.path(), &["setup"])).contains("nothing to do"));

    let removed = walhook(folder.path(), &["teardown", "--apply"]);
    assert_eq!(removed.status.code(), Some(0), "{}{}", stdout(&removed), stderr(&removed));
    assert_eq!(walhook(folder.path(), &["check"]).status.code(), Some(1));

    drop(cluster);
    let unreachable = walhook(folder.path(), &["check"]);
    assert_eq!(unreachable.status.code(), Some(69), "{}", stderr(&unreachable));
    assert!(stdout(&unreachable).contains("webhook \"w\""), "endpoints are looked at all the same");
}
