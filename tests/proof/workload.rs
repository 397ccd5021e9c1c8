//! The workload: several sessions that do to the tables what real applications do, from a seed.

use super::history::{Key, Op, Outcome, Row, Told};
use super::random::Random;
use super::world::{ASSET, INCIDENT, LARGE_BYTES, PERSON, TABLES, Val, column};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};

/// What the sessions share.
pub struct Workload {
    url: String,
    seed: u64,
    /// How many row changes have been committed.
    pub changes: AtomicU64,
    /// How many they may make for now: the faults open the gate step by step.
    pub gate: watch::Sender<u64>,
    /// How many sessions have a transaction under way, or look whether they may begin one.
    under_way: AtomicU64,
    /// Whether the sessions are to end at their gate.
    pub over: AtomicBool,
    next_incident: AtomicI64,
    next_asset: AtomicI64,
    next_person: AtomicI64,
}

/// The sites of assets; their names try the escapes of joined entry ids.
const SITES: [&str; 4] = ["north", "so|uth", "we\\st", "Ost-Büro 🏢"];

impl Workload {
    pub fn new(url: &str, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            url: url.to_owned(),
            seed,
            changes: AtomicU64::new(0),
            gate: watch::Sender::new(0),
            under_way: AtomicU64::new(0),
            over: AtomicBool::new(false),
            next_incident: AtomicI64::new(1),
            next_asset: AtomicI64::new(1),
            next_person: AtomicI64::new(1),
        })
    }

    /// One session: transactions until so many changes are made in all. Reconnects whatever happens.
    pub async fn session(self: Arc<Self>, session: i32, changes: u64) -> Vec<Told> {
        let mut gate = self.gate.subscribe();
        let mut random = Random::new(self.seed, session as u64);
        let mut client = connect(&self.url).await;
        let mut told = Vec::new();
        for number in 0.. {
            loop {
                // before the look at the gate, so that nobody who sees none under way is wrong
                self.under_way.fetch_add(1, Ordering::SeqCst);
                let made = self.changes.load(Ordering::SeqCst);
                let ends = made >= changes || self.over.load(Ordering::SeqCst);
                if !ends && made < *gate.borrow_and_update() {
                    break;
                }
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                if ends {
                    return told;
                }
                // other sessions' changes count too, so the count is looked at again now and then
                let _ = tokio::time::timeout(Duration::from_millis(100), gate.changed()).await;
            }
            let transaction = self.transaction(&client, &mut random, session, number).await;
            if transaction.outcome == Outcome::Committed {
                self.changes.fetch_add(transaction.ops.len() as u64, Ordering::SeqCst);
            }
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            told.push(transaction);
            if client.is_closed() {
                client = connect(&self.url).await;
            }
        }
        unreachable!("the loop ends by its gate")
    }

    /// Waits until the sessions have made what the gate lets them, and none has a transaction open.
    pub async fn rests(&self) {
        let made_all = || self.changes.load(Ordering::SeqCst) >= *self.gate.borrow();
        while !made_all() || self.under_way.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// One transaction of so many rows: people inserted, and a tenth of them updated.
    pub async fn bulk(&self, session: i32, rows: i64) -> Told {
        let client = connect(&self.url).await;
        let first = 1_000_000_000;
        let last = first + rows - 1;
        let tenth = first + rows / 10;
        let mut ops = Vec::with_capacity(rows as usize);
        for id in first..=last {
            let row: Row = vec![
                Val::Int(id),
                Val::text(format!("bulk {id}")),
                Val::Bool(true),
                Val::Tags(vec!["bulk".into()]),
                Val::Null,
            ];
            ops.push(Op::Insert { table: PERSON, row: Arc::new(row) });
        }
        for id in first..tenth {
            let key = Key { table: PERSON, entry_id: id.to_string().into() };
            ops.push(Op::Update { key, set: vec![(column::PERSON_ACTIVE, Val::Bool(false))] });
        }
        let sql = format!(
            "begin; insert into desk.book values ({session}, 0);
             insert into desk.person select id, 'bulk ' || id, true, array['bulk'], null
                 from generate_series({first}, {last}) id;
             update desk.person set active = false where id >= {first} and id < {tenth}; commit;"
        );
        client.batch_execute(&sql).await.unwrap();
        Told { session, number: 0, ops, outcome: Outcome::Committed }
    }

    async fn transaction(&self, client: &Client, random: &mut Random, session: i32, number: i32) -> Told {
        let mut transaction = Transaction { client, ops: Vec::new() };
        let mut told = Told { session, number, ops: Vec::new(), outcome: Outcome::RolledBack };
        let signed = format!("begin; insert into desk.book values ({session}, {number})");
        if client.batch_execute(&signed).await.is_err()
            || self.change(&mut transaction, random).await.is_err()
            || random.percent(6)
        {
            // a deadlock, a lost connection, or the user's change of mind
            let _ = client.batch_execute("rollback").await;
            return told;
        }
        told.ops = transaction.ops;
        told.outcome = match client.batch_execute("commit").await {
            Ok(()) => Outcome::Committed,
            Err(error) if error.as_db_error().is_some_and(|db| db.severity() == "ERROR") => {
                Outcome::RolledBack
            }
            Err(_) => Outcome::Unknown,
        };
        told
    }

    /// What a user's action does; shapes and shares as real applications have them.
    async fn change(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        match random.below(100) {
            0..20 => self.save_incident(tx, random).await,
            20..32 => self.create_incident(tx, random).await,
            32..36 => self.write_nothing_new(tx, random).await,
            36..40 => self.delete_incident(tx, random).await,
            40..45 => self.write_over_incident(tx, random).await,
            45..48 => self.rename_incident(tx, random).await,
            48..52 => self.save_many_incidents(tx, random).await,
            52..58 => self.try_and_undo(tx, random).await,
            58..70 => self.create_asset(tx, random).await,
            70..80 => self.save_asset(tx, random).await,
            80..84 => self.write_over_or_delete_asset(tx, random).await,
            84..86 => self.rename_asset(tx, random).await,
            86..94 => self.people(tx, random).await,
            94..97 => self.come_and_go(tx, random).await,
            _ => {
                tx.client.batch_execute("insert into desk.unmapped (payload) values ('elsewhere')").await?;
                self.save_incident(tx, random).await
            }
        }
    }

    fn some_incident(&self, random: &mut Random) -> String {
        let newest = self.next_incident.load(Ordering::Relaxed);
        format!("INC{:06}", newest - 1 - random.below(newest.min(300) as u64) as i64)
    }

    fn new_incident(&self, random: &mut Random) -> Row {
        let number = self.next_incident.fetch_add(1, Ordering::Relaxed);
        incident(&format!("INC{number:06}"), random)
    }

    async fn create_incident(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let row = self.new_incident(random);
        let key = by_key(INCIDENT, &row);
        tx.insert(INCIDENT, row).await?;
        for _ in 0..random.below(3) {
            tx.update(INCIDENT, &key, incident_change(random)).await?;
        }
        Ok(())
    }

    async fn save_incident(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        for _ in 0..=random.below(2) {
            let key = format!("number = '{}'", self.some_incident(random));
            tx.update(INCIDENT, &key, incident_change(random)).await?;
        }
        Ok(())
    }

    /// Bookkeeping, `set x = x`, and a value changed and changed back: no events.
    async fn write_nothing_new(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let key = format!("number = '{}'", self.some_incident(random));
        match random.below(4) {
            0 => tx.update(INCIDENT, &key, vec![]).await,
            1 => {
                let seen = (column::INCIDENT_SEEN, Val::Int(random.below(1000) as i64));
                tx.update(INCIDENT, &key, vec![seen]).await
            }
            2 => tx.update(INCIDENT, &key, vec![(column::INCIDENT_TOKEN, Val::text(random.text(8)))]).await,
            _ => {
                let sql = format!("select short_description from desk.incident where {key} for update");
                let found = tx.client.query_opt(&sql, &[]).await?;
                let Some(text) = found.and_then(|row| row.get::<_, Option<String>>(0)) else { return Ok(()) };
                for text in ["for a moment", &text] {
                    tx.update(INCIDENT, &key, vec![(column::INCIDENT_SHORT, Val::text(text))]).await?;
                }
                Ok(())
            }
        }
    }

    async fn delete_incident(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let key = format!("number = '{}'", self.some_incident(random));
        if random.percent(50) {
            tx.update(INCIDENT, &key, incident_change(random)).await?;
        }
        tx.delete(INCIDENT, &key).await
    }

    /// Delete and insert of one key in one transaction: a merge.
    async fn write_over_incident(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let number = self.some_incident(random);
        let key = format!("number = '{number}'");
        tx.delete(INCIDENT, &key).await?;
        tx.insert(INCIDENT, incident(&number, random)).await?;
        if random.percent(30) {
            tx.update(INCIDENT, &key, incident_change(random)).await?;
        }
        Ok(())
    }

    async fn rename_incident(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let old = format!("number = '{}'", self.some_incident(random));
        let number = self.next_incident.fetch_add(1, Ordering::Relaxed);
        let new = format!("INC{number:06}");
        tx.rename(INCIDENT, &old, vec![(0, Val::text(&new))]).await?;
        if random.percent(50) {
            tx.update(INCIDENT, &format!("number = '{new}'"), incident_change(random)).await?;
        }
        Ok(())
    }

    async fn save_many_incidents(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let newest = self.next_incident.load(Ordering::Relaxed);
        let first = (newest - random.below(newest.min(200) as u64 + 1) as i64).max(1);
        let numbers: Vec<String> = (first..first + 20).map(|number| format!("'INC{number:06}'")).collect();
        tx.update(INCIDENT, &format!("number in ({})", numbers.join(", ")), incident_change(random)).await
    }

    /// Savepoints; what is undone must never be seen.
    async fn try_and_undo(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        self.save_incident(tx, random).await?;
        let kept = tx.ops.len();
        tx.client.batch_execute("savepoint s").await?;
        self.create_incident(tx, random).await?;
        self.save_incident(tx, random).await?;
        if random.percent(60) {
            tx.client.batch_execute("rollback to s").await?;
            tx.ops.truncate(kept);
        } else {
            tx.client.batch_execute("release s").await?;
        }
        self.save_incident(tx, random).await
    }

    fn some_asset(&self, random: &mut Random) -> Row {
        let newest = self.next_asset.load(Ordering::Relaxed);
        let tag = newest - 1 - random.below(newest.min(200) as u64) as i64;
        asset(tag, random)
    }

    async fn create_asset(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let row = asset(self.next_asset.fetch_add(1, Ordering::Relaxed), random);
        let key = by_key(ASSET, &row);
        tx.insert(ASSET, row).await?;
        if random.percent(30) {
            tx.update(ASSET, &key, asset_change(random)).await?;
        }
        Ok(())
    }

    async fn save_asset(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let key = by_key(ASSET, &self.some_asset(random));
        for _ in 0..=random.below(2) {
            tx.update(ASSET, &key, asset_change(random)).await?;
        }
        Ok(())
    }

    async fn write_over_or_delete_asset(
        &self,
        tx: &mut Transaction<'_>,
        random: &mut Random,
    ) -> Result<(), Error> {
        let row = self.some_asset(random);
        tx.delete(ASSET, &by_key(ASSET, &row)).await?;
        if random.percent(50) { tx.insert(ASSET, row).await } else { Ok(()) }
    }

    async fn rename_asset(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let old = by_key(ASSET, &self.some_asset(random));
        let tag = self.next_asset.fetch_add(1, Ordering::Relaxed);
        let set = vec![(0, Val::text(site(tag))), (1, Val::Int(tag))];
        tx.rename(ASSET, &old, set).await
    }

    async fn people(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        for _ in 0..=random.below(4) {
            let newest = self.next_person.load(Ordering::Relaxed);
            let key = format!("id = {}", newest - 1 - random.below(newest.min(100) as u64) as i64);
            match random.below(4) {
                0 | 1 => {
                    let id = self.next_person.fetch_add(1, Ordering::Relaxed);
                    tx.insert(PERSON, person(id, random)).await?;
                }
                2 => {
                    let active = (column::PERSON_ACTIVE, Val::Bool(random.percent(50)));
                    let name = (column::PERSON_NAME, Val::text(random.text(12)));
                    tx.update(PERSON, &key, vec![active, name]).await?;
                    let tags = (column::PERSON_TAGS, Val::Tags(vec![random.text(3), "{}".into()]));
                    let props = (column::PERSON_PROPS, Val::Props(random.below(100) as i64));
                    tx.update(PERSON, &key, vec![if random.percent(50) { tags } else { props }]).await?;
                }
                _ => tx.delete(PERSON, &key).await?,
            }
        }
        Ok(())
    }

    /// Rows that do not outlive their transaction: no events.
    async fn come_and_go(&self, tx: &mut Transaction<'_>, random: &mut Random) -> Result<(), Error> {
        let row = self.new_incident(random);
        let key = by_key(INCIDENT, &row);
        tx.insert(INCIDENT, row).await?;
        tx.update(INCIDENT, &key, incident_change(random)).await?;
        tx.delete(INCIDENT, &key).await
    }
}

/// Connects, and tries again for as long as the server is away.
pub async fn connect(url: &str) -> Client {
    loop {
        if let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await {
            // the connection ends with its client
            #[allow(clippy::disallowed_methods)]
            tokio::spawn(async move {
                let _ = connection.await;
            });
            if client.batch_execute("set deadlock_timeout = '50ms'; set timezone = 'UTC'").await.is_ok() {
                return client;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A transaction under way and the row changes it has made.
struct Transaction<'a> {
    client: &'a Client,
    ops: Vec<Op>,
}

impl Transaction<'_> {
    async fn insert(&mut self, table: usize, row: Row) -> Result<(), Error> {
        let values: Vec<String> = row.iter().map(Val::sql).collect();
        let sql = format!(
            "insert into {} values ({}) on conflict do nothing",
            TABLES[table].name,
            values.join(", ")
        );
        for _ in self.hit(table, &sql).await? {
            self.ops.push(Op::Insert { table, row: Arc::new(row.clone()) });
        }
        Ok(())
    }

    async fn update(&mut self, table: usize, rows: &str, set: Vec<(usize, Val)>) -> Result<(), Error> {
        for key in self.hit(table, &update_sql(table, rows, &set)).await? {
            self.ops.push(Op::Update { key, set: set.clone() });
        }
        Ok(())
    }

    async fn rename(&mut self, table: usize, row: &str, set: Vec<(usize, Val)>) -> Result<(), Error> {
        // `returning` would tell the new key, so the old one is asked for (and the row locked) before
        let columns = key_columns(table);
        let sql = format!("select {columns} from {} where {row} for update", TABLES[table].name);
        let Some(key) = self.rows(table, &sql).await?.pop() else { return Ok(()) };
        self.client.batch_execute(&update_sql(table, row, &set)).await?;
        self.ops.push(Op::Rename { key, set });
        Ok(())
    }

    async fn delete(&mut self, table: usize, rows: &str) -> Result<(), Error> {
        for key in self.hit(table, &format!("delete from {} where {rows}", TABLES[table].name)).await? {
            self.ops.push(Op::Delete { key });
        }
        Ok(())
    }

    async fn hit(&self, table: usize, sql: &str) -> Result<Vec<Key>, Error> {
        self.rows(table, &format!("{sql} returning {}", key_columns(table))).await
    }

    async fn rows(&self, table: usize, sql: &str) -> Result<Vec<Key>, Error> {
        let mut keys = Vec::new();
        for message in self.client.simple_query(sql).await? {
            if let SimpleQueryMessage::Row(found) = message {
                let mut row = vec![Val::Null; TABLES[table].columns.len()];
                for (number, &column) in TABLES[table].key.iter().enumerate() {
                    row[column] = Val::text(found.get(number).unwrap());
                }
                keys.push(Key::of(table, &row));
            }
        }
        Ok(keys)
    }
}

fn update_sql(table: usize, rows: &str, set: &[(usize, Val)]) -> String {
    let columns = TABLES[table].columns;
    let mut set: Vec<String> =
        set.iter().map(|(column, val)| format!("{} = {}", columns[*column].0, val.sql())).collect();
    if set.is_empty() {
        set = columns.iter().map(|(column, _)| format!("{column} = {column}")).collect();
    }
    format!("update {} set {} where {rows}", TABLES[table].name, set.join(", "))
}

fn key_columns(table: usize) -> String {
    let names: Vec<&str> = TABLES[table].key.iter().map(|&column| TABLES[table].columns[column].0).collect();
    names.join(", ")
}

fn by_key(table: usize, row: &Row) -> String {
    let parts: Vec<String> = TABLES[table]
        .key
        .iter()
        .map(|&column| format!("{} = {}", TABLES[table].columns[column].0, row[column].sql()))
        .collect();
    parts.join(" and ")
}

pub fn incident(number: &str, random: &mut Random) -> Row {
    vec![
        Val::text(number),
        Val::text(format!(
            "{}-{}-4{}-8{}-{}",
            random.text(8),
            random.text(4),
            random.text(3),
            random.text(3),
            random.text(12)
        )),
        short(random),
        if random.percent(10) { Val::Null } else { Val::Int(random.below(6) as i64) },
        assigned(random),
        details(random),
        Val::Int(0),
        Val::text(random.text(8)),
        Val::Time(1_700_000_000 + random.below(50_000_000) as i64),
    ]
}

pub fn incident_change(random: &mut Random) -> Vec<(usize, Val)> {
    let mut set = vec![(column::INCIDENT_SEEN, Val::Int(random.below(1000) as i64))];
    match random.below(5) {
        0 => set.push((column::INCIDENT_STATUS, Val::Int(random.below(6) as i64))),
        1 => set.push((column::INCIDENT_SHORT, short(random))),
        2 => set.push((column::INCIDENT_ASSIGNED, assigned(random))),
        3 => set.push((column::INCIDENT_DETAILS, details(random))),
        _ => {
            set.push((column::INCIDENT_STATUS, Val::Int(random.below(6) as i64)));
            set.push((column::INCIDENT_ASSIGNED, assigned(random)));
        }
    }
    set
}

fn short(random: &mut Random) -> Val {
    let subject = random.pick(&["Drucker klemmt", "it's \"down\"", "tab\there\nnew line", "\\ 😀 \u{2028}"]);
    Val::text(format!("{subject} {}", random.text(6)))
}

fn assigned(random: &mut Random) -> Val {
    if random.percent(20) { Val::Null } else { Val::text(random.pick(&["ada", "grace", "edsger"])) }
}

fn details(random: &mut Random) -> Val {
    match random.below(10) {
        0 => Val::Null,
        1 | 2 => Val::text(random.text(LARGE_BYTES)),
        _ => Val::text(random.text(40)),
    }
}

fn site(tag: i64) -> &'static str {
    SITES[tag as usize % SITES.len()]
}

pub fn asset(tag: i64, random: &mut Random) -> Row {
    vec![
        Val::text(site(tag)),
        Val::Int(tag),
        Val::text(random.text(10)),
        Val::Cents(random.below(1_000_000) as i64),
        details(random),
    ]
}

pub fn asset_change(random: &mut Random) -> Vec<(usize, Val)> {
    match random.below(3) {
        0 => vec![(column::ASSET_NAME, Val::text(random.text(10)))],
        1 => vec![(column::ASSET_COST, Val::Cents(random.below(1_000_000) as i64))],
        _ => vec![(column::ASSET_NOTE, details(random))],
    }
}

pub fn person(id: i64, random: &mut Random) -> Row {
    let tags = (0..random.below(3)).map(|number| format!("{} {number}, \"x\"", random.text(3))).collect();
    vec![
        Val::Int(id),
        Val::text(random.text(12)),
        Val::Bool(random.percent(80)),
        Val::Tags(tags),
        if random.percent(50) { Val::Null } else { Val::Props(random.below(100) as i64) },
    ]
}
