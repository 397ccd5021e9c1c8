//! The command line as a user meets it: what is printed where, and the exit codes.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

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
    for command in [
        "run",
        "demo",
        "check",
        "setup",
        "teardown",
        "resume",
        "condition",
        "deliveries",
        "webhooks",
        "queue",
        "config",
    ] {
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
    assert!(stderr(&refused).contains("there is no queue at walhook.db\nhint: `walhook run` makes it"));
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

    let file = walhook(folder.path(), &["--json", "setup", "--sql-for", "dba"]);
    let json: serde_json::Value = serde_json::from_slice(&file.stdout).unwrap();
    let file = stdout(&walhook(folder.path(), &["setup", "--sql-for", "dba"]));
    assert!(file.contains("create publication") && json["sql"] == file, "{file}{json}");

    let applied = walhook(folder.path(), &["setup", "--apply"]);
    assert_eq!(applied.status.code(), Some(0), "{}{}", stdout(&applied), stderr(&applied));
    let checked = walhook(folder.path(), &["--json", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    let json: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(json["ok"], true);
    let found = json["findings"].as_array().unwrap();
    assert!(found.iter().any(|finding| finding["object"] == "webhook \"w\"" && finding["severity"] == "ok"));
    assert!(stdout(&walhook(folder.path(), &["setup"])).contains("nothing else to do"));

    let path = folder.path().join("walhook.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    let picky = "[[forms]]\ntable = \"public.incident\"\nhidden = [\"what\"]\n\
                 fields.Number = { column = \"id\", id = 1 }\n";
    let picky = file.replace("[[forms]]\ntable = \"public.incident\"\n", picky);
    let asked = "events = [\"create\"]\npayload_fields = [\"Number\", \"1\", \"id\", \"nothing\"]";
    std::fs::write(&path, picky.replace("events = [\"create\"]", asked)).unwrap();
    let checked = walhook(folder.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(1), "{}{}", stdout(&checked), stderr(&checked));
    let said = "webhook \"w\": asks for \"id\", \"nothing\", which no form of it has\n         \
                remedy in the configuration: [[webhooks]] payload_fields: some of Number\n";
    assert!(stdout(&checked).contains(said), "{}", stdout(&checked));
    std::fs::write(&path, file).unwrap();

    let roleless = walhook(folder.path(), &["setup", "--apply", "--role", "nobody"]);
    assert_eq!(roleless.status.code(), Some(1), "{}", stdout(&roleless));
    assert!(stdout(&roleless).contains("--create-role makes it"), "{}", stdout(&roleless));

    let removed = walhook(folder.path(), &["teardown", "--apply"]);
    assert_eq!(removed.status.code(), Some(0), "{}{}", stdout(&removed), stderr(&removed));
    assert_eq!(walhook(folder.path(), &["check"]).status.code(), Some(1));

    drop(cluster);
    let unreachable = walhook(folder.path(), &["check"]);
    assert_eq!(unreachable.status.code(), Some(69), "{}", stderr(&unreachable));
    assert!(stdout(&unreachable).contains("webhook \"w\""), "endpoints are looked at all the same");
}

/// A queue with a history, owned by this process as `walhook run` would: webhook 7 has a dead letter, a
/// delivered and a waiting delivery; webhook 8 is registered too.
struct Desk {
    folder: tempfile::TempDir,
    queue: std::sync::Arc<walhook::queue::sqlite::SqliteQueue>,
}

const COMMITTED_AT_US: i64 = 1_795_323_600_000_000; // 2026-11-22 05:00:00Z

impl Desk {
    async fn open() -> Self {
        use walhook::queue::sqlite::{Options, SqliteQueue};
        use walhook::queue::{Queue as _, WebhookRecord};
        let folder = tempfile::tempdir().unwrap();
        let webhook = |name: &str, id: u64, event: &str| {
            format!(
                "[[webhooks]]\nname = \"{name}\"\nid = {id}\nform = \"incident\"\nevents = [\"{event}\"]\n\
                 callback.url = \"http://x\"\n"
            )
        };
        let file = format!("[[forms]]\ntable = \"incident\"\n{}", webhook("Escalations", 7, "create"));
        std::fs::write(folder.path().join("walhook.toml"), file).unwrap();
        let queue = SqliteQueue::open(&folder.path().join("walhook.db"), Options::default()).unwrap();
        let record = |id, name: &str| WebhookRecord {
            id: walhook::webhook::WebhookId(id),
            name: name.to_owned(),
            enabled: true,
            backlog_bytes_max: 1 << 20,
        };
        queue.register(vec![record(7, "Escalations"), record(8, "Old")]).await.unwrap();
        let desk = Self { folder, queue };
        for sequence in 1..=3 {
            desk.enqueue(sequence).await;
        }
        desk.settle(404, walhook::delivery::Settlement::Dead).await;
        desk.settle(200, walhook::delivery::Settlement::Delivered).await;
        desk
    }

    async fn enqueue(&self, sequence: u64) {
        use walhook::delivery::{Batch, DeliveryId, NewDelivery, NewEvent, Tail};
        use walhook::lsn::{Lsn, Position, Progress};
        use walhook::queue::Queue as _;
        let event = NewEvent {
            was_held: false,
            position: Position { epoch: 0, commit_lsn: Lsn(sequence * 16), ordinal: 0 },
            form: "incident".into(),
            verb: walhook::event::Verb::Create,
            entry_id: format!("INC{sequence}\x1b[2J"),
            lane: walhook::form::Lane(sequence),
            behind: vec![],
            xid: 700,
            committed_at_us: COMMITTED_AT_US + i64::try_from(sequence).unwrap() * 60_000_000,
            tails: vec![Tail {
                content_type: "application/json".into(),
                bytes: "\"n\":1.00000000000000000001}".into(),
            }],
            deliveries: vec![NewDelivery {
                webhook: walhook::webhook::WebhookId(7),
                sequence,
                id: DeliveryId([u8::try_from(sequence).unwrap(); 16]),
                head: "{".into(),
                tail: 0,
            }],
        };
        let lsn = Lsn(sequence * 16 + 8);
        let progress = Some(Progress { commit_lsn: Lsn(sequence * 16), end_lsn: lsn });
        self.queue
            .enqueue(Batch {
                registrations: vec![],
                keys: vec![],
                events: vec![event],
                quarantined: vec![],
                progress,
                last: None,
                held: vec![],
                released: vec![],
            })
            .await
            .unwrap();
    }

    /// Ends the next delivery.
    async fn settle(&self, status: u16, settlement: walhook::delivery::Settlement) {
        use walhook::delivery::{Attempt, Outcome, Settled};
        use walhook::queue::Queue as _;
        let claim = self.queue.claim(1, &|_| 1).await.unwrap().remove(0);
        let attempt = Attempt {
            number: claim.attempt,
            started_at_us: COMMITTED_AT_US,
            duration: std::time::Duration::from_millis(12),
            outcome: Outcome::Answered { status, retry_after: None, excerpt: "no such \x07 page".into() },
        };
        self.queue.settle(vec![Settled { claim, attempt, settlement, suspend: None }]).await.unwrap();
    }

    async fn walhook(&self, arguments: &str) -> Output {
        let folder = self.folder.path().to_owned();
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            walhook(&folder, &arguments)
        })
        .await
        .unwrap()
    }

    /// The names of the deliveries that a list shows.
    async fn listed(&self, options: &str) -> Vec<String> {
        let output = self.walhook(&format!("--json deliveries list{options}")).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["deliveries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["delivery"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_and_filtered() {
    let desk = Desk::open().await;
    assert_eq!(desk.listed("").await, ["7/3", "7/2", "7/1"]);
    assert_eq!(desk.listed(" --state dead,delivered").await, ["7/2", "7/1"]);
    assert_eq!(desk.listed(" --webhook Escalations --limit 1").await, ["7/3"]);
    assert_eq!(desk.listed(" --webhook 8").await, [""; 0]);
    assert_eq!(desk.listed(" --since 2026-11-22T05:02:00Z --until 2026-11-22T05:03:00Z").await, ["7/2"]);
    assert_eq!(desk.listed(" --form other").await, [""; 0]);
    let table = desk.walhook("deliveries list").await;
    let table = stdout(&table);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.contains("INC1\\u{1b}[2J") && !table.contains('\x1b'), "a name cannot steer the terminal");
    assert!(table.contains("404 Not Found") && table.contains("Escalations"), "{table}");
    let unknown = desk.walhook("deliveries list --webhook Escalation").await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("hint: the queue knows Escalations, Old"), "{}", stderr(&unknown));
    assert_eq!(desk.walhook("deliveries list --since yesterday").await.status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_shown_with_its_body_and_attempts() {
    let desk = Desk::open().await;
    for name in ["7/1", "Escalations/1", "msg_01010101010101010101010101010101"] {
        let shown = desk.walhook(&format!("deliveries show {name}")).await;
        let text = stdout(&shown);
        assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
        assert!(text.ends_with("body (application/json)\n{\"n\":1.00000000000000000001}\n"), "{text}");
        assert!(text.contains("404 Not Found\n       no such \\u{7} page\n"), "{text}");
        assert!(!text.contains(['\x1b', '\x07']), "{text}");
    }
    let json = desk.walhook("--json deliveries show 7/1").await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["body"], "{\"n\":1.00000000000000000001}");
    assert_eq!((&json["state"], &json["history"][0]["status"]), (&"dead".into(), &404.into()));
    assert_eq!(json["committed_at"], "2026-11-22T05:01:00.000000Z");
    assert_eq!(desk.walhook("deliveries show 7/9").await.status.code(), Some(1));
    assert_eq!(desk.walhook("deliveries show seven").await.status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_replayed_and_deliveries_dropped() {
    use walhook::queue::Queue as _;
    let desk = Desk::open().await;
    assert_eq!(desk.walhook("deliveries replay").await.status.code(), Some(64), "nothing is named");
    let unasked = desk.walhook("deliveries replay --webhook 7").await;
    assert_eq!(unasked.status.code(), Some(64));
    assert!(
        stderr(&unasked).contains("not done without a yes: replay 1 deliveries?\nhint: "),
        "{}",
        stderr(&unasked)
    );
    assert_eq!(desk.listed(" --state dead").await, ["7/1"]);
    let finished = desk.walhook("deliveries replay 7/2").await;
    assert_eq!(finished.status.code(), Some(1), "a delivered one is no dead letter");
    let replayed = desk.walhook("deliveries replay 7/1").await;
    assert_eq!((replayed.status.code(), stdout(&replayed)), (Some(0), "1 replayed\n".to_owned()));
    // the process that owns the queue sees it, though it may look around only once in a second
    let mut replays = Vec::new();
    while replays.is_empty() {
        let claims = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let claims = desk.queue.claim(10, &|_| 10).await.unwrap();
                if !claims.is_empty() {
                    break claims;
                }
                desk.queue.due().await;
            }
        });
        let claims = claims.await.expect("the owner takes notice");
        replays.extend(claims.iter().filter(|claim| claim.replay).map(|claim| claim.number.sequence));
    }
    assert_eq!(replays, [1]);
    desk.queue.void_claims().await.unwrap();

    let dropped = desk.walhook("--json deliveries drop --all --yes").await;
    assert_eq!(dropped.status.code(), Some(0), "{}", stderr(&dropped));
    let json: serde_json::Value = serde_json::from_slice(&dropped.stdout).unwrap();
    assert_eq!(json["dropped"], 2);
    assert_eq!(desk.listed(" --state dropped").await, ["7/3", "7/1"]);
    assert_eq!(desk.walhook("deliveries drop --state delivered --yes").await.status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_listed_enabled_and_deleted() {
    use walhook::queue::{Queue as _, WebhookRecord, WebhookState};
    let desk = Desk::open().await;
    let kept = WebhookRecord {
        id: walhook::webhook::WebhookId(7),
        name: "Escalations".into(),
        enabled: true,
        backlog_bytes_max: 1 << 20,
    };
    desk.queue.register(vec![kept]).await.unwrap();
    let json = desk.walhook("--json webhooks list").await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["dead"]), (&"Escalations".into(), &1.into()));
    assert_eq!((&json[1]["name"], &json[1]["state"]), (&"Old".into(), &"orphaned".into()));
    assert!(stdout(&desk.walhook("webhooks list").await).contains("orphaned"));

    let registered = desk.walhook("webhooks delete Escalations --yes").await;
    assert_eq!(registered.status.code(), Some(1));
    assert!(stderr(&registered).contains("is in the configuration\nhint: remove it from walhook.toml first"));
    assert_eq!(desk.walhook("webhooks enable Old").await.status.code(), Some(1), "it is orphaned");
    assert_eq!(desk.walhook("webhooks delete Old").await.status.code(), Some(0), "nothing is lost with it");

    let claim = desk.queue.claim(1, &|_| 1).await.unwrap().remove(0);
    let attempt = walhook::delivery::Attempt {
        number: 1,
        started_at_us: COMMITTED_AT_US,
        duration: std::time::Duration::ZERO,
        outcome: walhook::delivery::Outcome::TimedOut,
    };
    let settlement = walhook::delivery::Settlement::Retry { after: std::time::Duration::from_secs(3600) };
    let suspend = Some("410 Gone".to_owned());
    let settled = walhook::delivery::Settled { claim, attempt, settlement, suspend };
    desk.queue.settle(vec![settled]).await.unwrap();
    assert_eq!(desk.queue.webhooks().await.unwrap()[0].state, WebhookState::Suspended);
    assert_eq!(desk.walhook("webhooks enable 7").await.status.code(), Some(0));
    assert_eq!(desk.queue.webhooks().await.unwrap()[0].state, WebhookState::Enabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_copied_while_it_is_in_use() {
    let desk = Desk::open().await;
    let copied = desk.walhook("queue backup copy.db").await;
    assert_eq!(copied.status.code(), Some(0), "{}", stderr(&copied));
    assert!(desk.folder.path().join("copy.db").exists());
    let again = desk.walhook("queue backup copy.db").await;
    assert_eq!(again.status.code(), Some(64));
    assert!(stderr(&again).contains("exists already"), "{}", stderr(&again));
}

/// Puts held events of webhook 7 behind the history of the desk: one that failed, one behind it, some while it was
/// broken; those of 8 do not fit its backlog.
async fn hold(desk: &Desk) {
    use walhook::delivery::{Batch, HeldBecause, Holder, NewHeld};
    use walhook::lsn::{Lsn, Position, Progress};
    use walhook::queue::Queue as _;
    use walhook::webhook::WebhookId;
    let failed = HeldBecause::Failed { reason: "division by zero\x1b[2J".into() };
    let causes = [failed, HeldBecause::Behind, HeldBecause::Broken, HeldBecause::Broken];
    let held = |(ordinal, cause): (u64, HeldBecause)| NewHeld {
        position: Position { epoch: 0, commit_lsn: Lsn(160), ordinal },
        form: "incident".into(),
        verb: walhook::event::Verb::Update,
        entry_id: format!("INC{ordinal}\x1b[2J"),
        lane: walhook::form::Lane(ordinal),
        committed_at_us: COMMITTED_AT_US,
        content: vec![b'h'; if ordinal == 2 { 300_000 } else { 400_000 }].into(),
        holders: [7, 8].map(|webhook| Holder { webhook: WebhookId(webhook), cause: cause.clone() }).into(),
    };
    let held = (0..).zip(causes).map(held).collect();
    let progress = Some(Progress { commit_lsn: Lsn(160), end_lsn: Lsn(168) });
    desk.queue.enqueue(Batch { held, progress, ..Batch::default() }).await.unwrap();
    let reason = Some("field \"Status\" is gone".to_owned());
    desk.queue.mark_broken(WebhookId(7), reason).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_stands_in_the_queue() {
    use walhook::delivery::{Batch, Quarantined};
    use walhook::lsn::{Lsn, Position, Progress};
    use walhook::queue::Queue as _;
    let desk = Desk::open().await;
    hold(&desk).await;
    let aside = |ordinal| Quarantined {
        position: Position { epoch: 0, commit_lsn: Lsn(176), ordinal },
        form: Some("incident".into()),
        reason: "unreadable".into(),
        bytes: vec![1].into(),
    };
    let progress = Some(Progress { commit_lsn: Lsn(176), end_lsn: Lsn(184) });
    let batch = Batch { quarantined: vec![aside(0), aside(1)], progress, ..Batch::default() };
    desk.queue.enqueue(batch).await.unwrap();
    let text = stdout(&desk.walhook("check").await);
    for wanted in [
        "warning  form \"incident\": 2 row changes could not be read and became no events\n         remedy: `walhook queue \
         quarantine` says why; nothing sends them later\n",
        "warning  webhook \"Escalations\": 4 events are held, for it is broken\n         remedy: `walhook queue held \
         --webhook 7` says why\n",
        "1 delivery is given up\n         remedy: `walhook deliveries list`",
    ] {
        assert!(text.contains(wanted), "{wanted}{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_events_are_listed_and_dropped() {
    use walhook::queue::Queue as _;
    let desk = Desk::open().await;
    assert_eq!(stdout(&desk.walhook("queue held").await), "nothing is held\n");
    hold(&desk).await;
    let table = desk.walhook("queue held --webhook Escalations").await;
    let text = stdout(&table);
    let narrow = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(narrow).collect();
    assert_eq!(lines.len(), 4, "{text}{}", stderr(&table));
    assert!(text.contains("division by zero\\u{1b}[2J") && !text.contains('\x1b'), "{text}");
    assert!(lines[1].contains("incident update INC0\\u{1b}[2J 0:0/A0:0 2026-11-22 05:00:00Z"), "{text}");
    assert!(lines[2].ends_with("behind an earlier event of its entry"), "{text}");
    assert!(lines[3].ends_with("0:0/A0:2 to 0:0/A0:3 2 events beyond the backlog limit"), "{text}");
    assert_eq!(stderr(&table), "");

    let some = desk.walhook("queue held --limit 1").await;
    assert_eq!(stdout(&some).lines().count(), 2);
    assert_eq!(stderr(&some), "and 7 more; --limit shows more, --webhook those of one\n");
    let json = desk.walhook("--json queue held --limit 3").await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["more"], 4);
    let (one, range) = (&json["held"][0], &json["held"][2]);
    assert_eq!(
        (&one["number"], &one["cause"], &one["entry_id"]),
        (&1.into(), &"failed".into(), &"INC0\x1b[2J".into())
    );
    assert_eq!((&one["committed_at"], &one["events"]), (&"2026-11-22T05:00:00.000000Z".into(), &1.into()));
    assert_eq!(
        (&range["events"], &range["last_position"], &range["form"]),
        (&2.into(), &"0:0/A0:3".into(), &serde_json::Value::Null)
    );
    assert_eq!(desk.walhook("queue held --webhook nobody").await.status.code(), Some(1));

    let unasked = desk.walhook("queue drop-held --webhook 7").await;
    assert_eq!(unasked.status.code(), Some(64));
    assert!(
        stderr(&unasked).contains("give up 4 held events of webhook \"Escalations\"?"),
        "{}",
        stderr(&unasked)
    );
    let dropped = desk.walhook("queue drop-held --webhook 7 --yes").await;
    assert_eq!(stdout(&dropped), "4 held events of webhook \"Escalations\" are given up\n");
    let again = desk.walhook("queue drop-held --webhook 7 --yes").await;
    assert_eq!(again.status.code(), Some(1));
    let json = desk.walhook("--json queue drop-held --webhook Old --yes").await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json, serde_json::json!({ "webhook": 8, "dropped": 4 }));
    assert!(desk.queue.webhooks().await.unwrap().iter().all(|books| books.held == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_webhook_is_listed_as_such_and_not_mended_by_enabling() {
    let desk = Desk::open().await;
    hold(&desk).await;
    let json = desk.walhook("--json webhooks list").await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json[0]["state"], &json[0]["held"]), (&"broken".into(), &4.into()));
    assert_eq!(json[0]["broken"], "field \"Status\" is gone");
    assert_eq!((&json[1]["state"], &json[1]["condition_failures"]), (&"enabled".into(), &1.into()));
    let table = stdout(&desk.walhook("webhooks list").await);
    assert!(table.lines().nth(1).unwrap().ends_with("field \"Status\" is gone"), "{table}");
    assert!(table.lines().nth(2).unwrap().ends_with("division by zero\\u{1b}[2J"), "{table}");
    let shown = stdout(&desk.walhook("webhooks show Escalations").await);
    assert!(shown.contains("state                  broken\n"), "{shown}");
    assert!(shown.contains("held                   4 ("), "{shown}");
    assert!(shown.contains("; 2 beyond the backlog limit)\n"), "{shown}");
    assert!(shown.contains("last condition failure division by zero\\u{1b}[2J\n"), "{shown}");

    let enabled = desk.walhook("webhooks enable 7").await;
    assert_eq!(enabled.status.code(), Some(0));
    let said = "but it is broken: field \"Status\" is gone; 4 events are held until its condition is changed";
    assert!(stderr(&enabled).contains(said), "{}", stderr(&enabled));
    assert!(stdout(&desk.walhook("webhooks list").await).contains("broken"));
}
