//! `walhook deliveries tail` beside a running walhook.

use crate::operations::Endpoint;
use crate::running::{PATIENCE, Site};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

const CONFIG: &str = r#"
[[forms]]
table = "ticket"
[[webhooks]]
name = "pager"
form = "ticket"
events = ["create"]
schedule = ["200ms"]
callback.url = "RECEIVER"
"#;

/// A command that goes on, and the lines that it prints.
struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn of(site: &Site, options: &[&str]) -> Self {
        let arguments = [&["deliveries", "tail"], options].concat();
        let mut child = site.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line more")
    }

    /// The lines up to the one that tells of an entry and a state, as JSON.
    fn until(&self, entry_id: &str, state: &str) -> Vec<Value> {
        let mut told = Vec::new();
        loop {
            let line: Value = serde_json::from_str(&self.next()).expect("a line is a JSON object");
            let is_last = line["entry_id"] == entry_id && line["state"] == state;
            told.push(line);
            if is_last {
                return told;
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_followed_to_its_end() {
    let endpoint = Endpoint::start().await;
    let site = Site::new("create table ticket (id integer primary key)").await;
    site.configure(&CONFIG.replace("RECEIVER", &endpoint.url()));
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    endpoint.wait_for("pager", "1").await;
    let seen = Tail::of(&site, &["--json"]);
    assert_eq!(seen.until("1", "delivered").last().unwrap()["webhook"], "pager");

    let dead = Tail::of(&site, &["--state", "dead"]);
    let last = Tail::of(&site, &["--json", "--last", "1"]);
    assert_eq!(last.until("1", "delivered").len(), 1);
    endpoint.answers(500);
    session.batch_execute("insert into ticket values (2), (3)").await.unwrap();
    // tries: one and another after 200 ms; what lies between two looks may be told together
    let told = last.until("3", "dead");
    assert!(told.iter().all(|line| line["entry_id"] != "1"), "nothing is told twice: {told:?}");
    assert_eq!(told.last().unwrap()["attempts"], 2);
    seen.until("2", "dead");
    let lines = [dead.next(), dead.next()];
    let is_told =
        |entry: &str| lines.iter().any(|line| line.contains(&format!("create ticket {entry}  attempt 2")));
    assert!(is_told("2") && is_told("3"), "{lines:?}");
    assert_eq!(running.stop(), 0);
}
