//! A room of the museum: a database, a receiver, and the real program between them. The rooms share a server,
//! so that an exhibit costs a second or two.

use crate::proof::port;
use crate::proof::process::Walhook;
use crate::proof::workload::connect;
use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio_postgres::Client;
use walhook::demo::cluster::Cluster;
use walhook::demo::receiver::{Answer, Arrival, Judge, Receiver, Request};

/// How long anything may take: two processors may play all sides.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The table of most exhibits.
pub const TICKETS: &str = "create table ticket (id int primary key, title text)";

/// A form and a webhook for it.
pub const ONE: &str = r#"
[[forms]]
table = "ticket"
[[webhooks]]
name = "all"
form = "ticket"
events = ["create", "update", "merge", "delete"]
schedule = [SCHEDULE]
callback.url = "RECEIVER/all"
"#;

static SHARED: tokio::sync::Mutex<Weak<Cluster>> = tokio::sync::Mutex::const_new(Weak::new());

/// The server of all rooms; it ends with the last one.
async fn server() -> Arc<Cluster> {
    const SETTINGS: &[&str] = &[
        "wal_sender_timeout = '6s'",
        "max_replication_slots = 100",
        "max_wal_senders = 100",
        "max_connections = 400",
        "max_prepared_transactions = 10",
    ];
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(SETTINGS)).await.unwrap().unwrap();
    let cluster = Arc::new(cluster);
    *shared = Arc::downgrade(&cluster);
    cluster
}

/// An event as its endpoint took it.
#[derive(Clone, Debug)]
pub struct Heard {
    pub id: String,
    pub bytes: Bytes,
    pub body: Value,
}

impl Heard {
    /// `create 17`.
    pub fn told(&self) -> String {
        format!("{} {}", self.body["event"].as_str().unwrap(), self.body["entry_id"].as_str().unwrap())
    }
}

/// What events they are, in order.
pub fn told(heard: &[Heard]) -> Vec<String> {
    heard.iter().map(Heard::told).collect()
}

pub struct Room {
    // ends before the server does
    pub walhook: Walhook,
    pub receiver: Receiver,
    pub sql: Client,
    pub folder: PathBuf,
    pub slot: String,
    cluster: Arc<Cluster>,
    database: &'static str,
    admin: String,
    judge: Arc<Mutex<Judge>>,
}

impl Room {
    /// A room with tables and a configuration of forms and webhooks; walhook runs, and its slot stands.
    pub async fn open(name: &'static str, schema: &str, configuration: &str) -> Self {
        Self::open_in(name, "", schema, configuration).await
    }

    /// The same in a database that is made with these options.
    pub async fn open_in(name: &'static str, options: &str, schema: &str, configuration: &str) -> Self {
        let mut room = Self::prepare(name, options, schema).await;
        room.configure(configuration);
        room.set_up();
        room.start().await;
        let began = Instant::now();
        while !room.walhook.log().contains("the stream runs") {
            assert!(began.elapsed() < PATIENCE, "no stream:\n{}", room.walhook.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        room
    }

    async fn prepare(name: &'static str, options: &str, schema: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("museum-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let cluster = server().await;
        let owner = connect(&cluster.url("postgres")).await;
        owner.batch_execute(&format!("create database {name} {options}")).await.unwrap();
        let sql = connect(&cluster.url(name)).await;
        sql.batch_execute(schema).await.unwrap();
        let judge: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Arc::new(|_: &Request| Answer::Status(204))));
        let asked = Arc::clone(&judge);
        let ask = move |request: &Request| {
            let judge = Arc::clone(&asked.lock().unwrap());
            judge(request)
        };
        let receiver = Receiver::start(usize::MAX, Arc::new(ask)).await.unwrap();
        let admin = format!("127.0.0.1:{}", port::unused());
        let (walhook, slot) = (Walhook::new(&folder, ""), name.to_owned());
        Self { walhook, receiver, sql, folder, slot, cluster, database: name, admin, judge }
    }

    /// Writes the configuration: `RECEIVER` and `SCHEDULE` stand for the receiver's address and many short pauses.
    pub fn configure(&self, configuration: &str) {
        self.configure_source(&self.url(), configuration);
    }

    /// The same with another way to the database.
    pub fn configure_source(&self, url: &str, configuration: &str) {
        let schedule = vec!["\"100ms\", \"200ms\""; 50].join(", ");
        let configuration =
            configuration.replace("RECEIVER", &self.receiver.url("")).replace("SCHEDULE", &schedule);
        self.walhook.configure(&format!(
            "[source]\nurl = {url:?}\nslot = {:?}\n[admin]\nlisten = {:?}\n{configuration}",
            self.slot, self.admin
        ));
    }

    /// The address of the database.
    pub fn url(&self) -> String {
        self.cluster.url(self.database)
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// `walhook setup --apply`.
    pub fn set_up(&self) {
        let (code, output) = self.command(&["setup", "--apply"]);
        assert_eq!(code, 0, "{output}");
    }

    /// Another session of the application.
    pub async fn session(&self) -> Client {
        connect(&self.url()).await
    }

    /// Runs statements, each by itself.
    pub async fn run(&self, statements: &[&str]) {
        for statement in statements {
            let done = self.sql.batch_execute(statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
    }

    /// The first value of a query's only row.
    pub async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, query: &str) -> T {
        self.sql.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
    }

    /// Starts walhook and waits until it has its slot. A slot that is still being created is active, too, but
    /// what is committed before its position stands is not in it.
    pub async fn start(&mut self) {
        self.walhook.start();
        let active = format!(
            "select coalesce(bool_or(active and confirmed_flush_lsn is not null), false) from ({}) s",
            self.slot_row()
        );
        self.until(&active).await;
    }

    /// The server's version, such as 15.
    pub fn major_version(&self) -> u32 {
        self.cluster.major_version()
    }

    /// Kills walhook (SIGKILL); what it had sent has been read when this returns.
    pub async fn kill(&mut self) {
        self.walhook.kill();
        self.receiver.wait_until_alone().await;
    }

    /// A command beside it: exit code and what it printed.
    pub fn command(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.walhook.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap_or(-1), text + &String::from_utf8_lossy(&output.stderr))
    }

    /// What the receiver answers from now on.
    pub fn answer(&self, judge: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.judge.lock().unwrap() = Arc::new(judge);
    }

    fn slot_row(&self) -> String {
        format!("select * from pg_replication_slots where slot_name = '{}'", self.slot)
    }

    /// How far the slot is confirmed.
    pub async fn confirmed(&self) -> i64 {
        self.value(&format!("select (confirmed_flush_lsn - '0/0')::int8 from ({}) s", self.slot_row())).await
    }

    /// Where the server's log ends.
    pub async fn wal_end(&self) -> i64 {
        self.value("select (pg_current_wal_insert_lsn() - '0/0')::int8").await
    }

    /// Waits until a query says true.
    pub async fn until(&mut self, query: &str) {
        let began = Instant::now();
        while !self.value::<bool>(query).await {
            assert!(self.walhook.is_running(), "walhook ended:\n{}", self.walhook.log_tail());
            assert!(began.elapsed() < PATIENCE, "in vain: {query}\n{}", self.walhook.log_tail());
            // the server's state: there is nothing to wait on
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until the slot is confirmed up to a position.
    pub async fn until_confirmed(&mut self, lsn: i64) {
        let query = format!("select confirmed_flush_lsn - '0/0' >= {lsn} from ({}) s", self.slot_row());
        self.until(&query).await;
    }

    fn sender(&self) -> String {
        let slot = self.slot_row();
        format!("pg_stat_replication where pid = (select active_pid from ({slot}) s)")
    }

    /// Waits until the server has sent everything up to a position.
    pub async fn until_received(&mut self, lsn: i64) {
        let sender = self.sender();
        self.until(&format!("select coalesce(bool_or(sent_lsn - '0/0' >= {lsn}), false) from {sender}"))
            .await;
    }

    /// Waits until walhook has told the server that it has received everything up to a position, and has told
    /// it of its state twice again after that.
    pub async fn until_received_and_told(&mut self, lsn: i64) {
        let sender = self.sender();
        self.until(&format!("select coalesce(bool_or(write_lsn - '0/0' >= {lsn}), false) from {sender}"))
            .await;
        for _ in 0..2 {
            let last: String = self.value(&format!("select max(reply_time)::text from {sender}")).await;
            self.until(&format!("select coalesce(bool_or(reply_time > '{last}'), false) from {sender}"))
                .await;
        }
    }

    /// Waits until the log has something, from an offset on; gives the offset behind it.
    pub async fn wait_for_log(&self, from: usize, words: &str) -> usize {
        let began = Instant::now();
        loop {
            if let Some(found) = self.walhook.log().get(from..).and_then(|log| log.find(words)) {
                return from + found + words.len();
            }
            assert!(began.elapsed() < PATIENCE, "no {words:?} in:\n{}", self.walhook.log_tail());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until the receiver's record is as it should be.
    pub async fn until_arrived(&self, what: &str, fits: impl Fn(&[Arrival]) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, self.receiver.wait_until(fits)).await;
        let heard = self.receiver.count();
        assert!(waited.is_ok(), "in vain: {what}; {heard} requests\n{}", self.walhook.log_tail());
    }

    /// Waits until an endpoint has taken the first so many events, and gives them in order. The sequence has no
    /// gap; each event has one id, which no other event has, and one body, however often it was sent.
    pub async fn hear(&self, path: &str, count: usize) -> Vec<Heard> {
        let number = |arrival: &Arrival| -> u64 {
            let sequence = arrival.request.header("walhook-sequence").expect("a sequence");
            sequence.parse().unwrap()
        };
        let here = |arrival: &&Arrival| arrival.request.path == path;
        let what = format!("{count} events at {path}");
        self.until_arrived(&what, |arrivals| {
            let taken = arrivals.iter().filter(here).filter(|arrival| arrival.is_accepted());
            taken.map(number).collect::<BTreeSet<_>>().len() >= count
        })
        .await;
        let arrivals = self.receiver.arrivals_from(0);
        let mut heard: BTreeMap<u64, Heard> = BTreeMap::new();
        for arrival in arrivals.iter().filter(here) {
            let (sequence, bytes) = (number(arrival), arrival.request.body.clone());
            let id = arrival.request.header("webhook-id").expect("an id").to_owned();
            let body = serde_json::from_slice(&bytes).expect("JSON");
            let first =
                heard.entry(sequence).or_insert_with(|| Heard { id: id.clone(), bytes: bytes.clone(), body });
            assert_eq!((&first.id, &first.bytes), (&id, &bytes), "an event changed between attempts");
        }
        let sequences: Vec<u64> = heard.keys().copied().collect();
        assert_eq!(
            sequences,
            (1..=count as u64).collect::<Vec<_>>(),
            "{:?}",
            heard.values().map(Heard::told).collect::<Vec<_>>()
        );
        let ids: BTreeSet<&str> = heard.values().map(|heard| heard.id.as_str()).collect();
        assert_eq!(ids.len(), count, "two events have one id");
        heard.into_values().collect()
    }

    /// Ends walhook as an operator does; its files go.
    pub fn close(mut self) {
        assert_eq!(self.walhook.terminate(), Some(0), "{}", self.walhook.log_tail());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
