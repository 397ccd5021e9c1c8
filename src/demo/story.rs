//! The story: a day at the help desk in six acts.

use super::Error;
use super::desk::{Desk, ENDPOINTS};
use super::ledger::{Came, Ledger, Owed};
use super::screen::Screen;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Between two steps, so that one can read along.
const PAUSE: Duration = Duration::from_millis(350);
/// How many changes each of the users makes in the rush.
const RUSH: usize = 60;
const RUSHING: [&str; 4] = ["ada", "grace", "edsger", "barbara"];

/// What an incident's event owes to whom.
fn incident(verb: &'static str, number: &str) -> Vec<Owed> {
    [&ENDPOINTS[0], &ENDPOINTS[1]].map(|to| Owed { path: to.path, verb, entry_id: number.into() }).into()
}

/// What a note's or person's event owes.
fn directory(verb: &'static str, id: &str) -> Vec<Owed> {
    vec![Owed { path: ENDPOINTS[2].path, verb, entry_id: id.into() }]
}

/// Plays all acts; everything owed has arrived when it returns.
pub(super) async fn play(desk: &mut Desk, ledger: &mut Ledger, screen: &mut Screen) -> Result<(), Error> {
    a_morning(desk, ledger, screen).await?;
    what_is_no_event(desk, ledger, screen).await?;
    an_endpoint_fails(desk, ledger, screen).await?;
    a_dead_letter(desk, ledger, screen).await?;
    a_crash(desk, ledger, screen).await?;
    a_rush(desk, ledger, screen).await
}

async fn a_morning(desk: &mut Desk, ledger: &mut Ledger, screen: &mut Screen) -> Result<(), Error> {
    screen.act(1, "People work, the application writes rows, webhooks arrive")?;
    let mut scene = Scene { desk, ledger, screen };
    scene
        .step(
            "ada",
            "is hired",
            "insert into person values ('ada', 'Ada Lovelace', '1815')",
            directory("create", "ada"),
        )
        .await?;
    scene
        .step(
            "ada",
            "reports INC0001, \"Printer on fire\"",
            "insert into incident (number, short_description) values ('INC0001', 'Printer on fire')",
            incident("create", "INC0001"),
        )
        .await?;
    scene
        .step(
            "grace",
            "takes it",
            "update incident set status = 1, assignee = 'grace' where number = 'INC0001'",
            incident("update", "INC0001"),
        )
        .await?;
    scene
        .step(
            "grace",
            "writes a note",
            "insert into incident_note values (1, 'INC0001', 'Bring water.')",
            directory("create", "1"),
        )
        .await?;
    scene
        .step(
            "ada",
            "gets a new phone number",
            "update person set phone = '1843' where login = 'ada'",
            directory("update", "ada"),
        )
        .await
}

async fn what_is_no_event(desk: &mut Desk, ledger: &mut Ledger, screen: &mut Screen) -> Result<(), Error> {
    screen.act(2, "One transaction is one event per entry, and some are none")?;
    let mut scene = Scene { desk, ledger, screen };
    scene
        .step(
            "edsger",
            "saves a form: INSERT and two UPDATEs of INC0002 in one transaction",
            "insert into incident (number, short_description) values ('INC0002', 'new');
         update incident set short_description = 'Goto considered harmful' where number = 'INC0002';
         update incident set status = 1, assignee = 'edsger' where number = 'INC0002'",
            incident("create", "INC0002"),
        )
        .await?;
    scene
        .step(
            "edsger",
            "only looks at INC0001: last_seen_at is bookkeeping, no event",
            "update incident set last_seen_at = now() where number = 'INC0001'",
            vec![],
        )
        .await?;
    scene.screen.change("ada", "deletes everything, and thinks better of it: ROLLBACK, no event")?;
    let user = scene.desk.user().await?;
    user.batch_execute("begin; delete from incident_note; delete from incident; rollback").await?;
    scene
        .step(
            "grace",
            "closes INC0001",
            "update incident set status = 5 where number = 'INC0001'",
            incident("update", "INC0001"),
        )
        .await
}

async fn an_endpoint_fails(desk: &mut Desk, ledger: &mut Ledger, screen: &mut Screen) -> Result<(), Error> {
    screen.act(3, "The pager's endpoint fails; nobody else feels it, and its order stays")?;
    desk.moods.pager_down.store(true, Ordering::Relaxed);
    screen.remark("from now on the pager answers 503")?;
    for status in 2..=4 {
        let sql = format!("update incident set status = {status} where number = 'INC0002'");
        change(desk, ledger, screen, "edsger", &format!("moves INC0002 to status {status}"), &sql).await?;
        let refused = ledger.refused();
        let mut refusals = 0;
        let is_enough =
            |ledger: &Ledger| ledger.is_even_with(ENDPOINTS[1].path) && ledger.refused() > refused;
        desk.settle(ledger, is_enough, |came| {
            refusals += usize::from(came.after.is_none());
            // one refusal says it; the others are counted in the sum
            if refusals <= 1 { Ok(screen.came(came)?) } else { Ok(()) }
        })
        .await?;
        tokio::time::sleep(PAUSE).await;
    }
    desk.moods.pager_down.store(false, Ordering::Relaxed);
    screen.remark("the pager is back")?;
    let arrived = |came: &Came| if came.after.is_some() { Ok(screen.came(came)?) } else { Ok(()) };
    desk.settle(ledger, Ledger::is_even, arrived).await
}

async fn change(
    desk: &Desk,
    ledger: &mut Ledger,
    screen: &mut Screen,
    who: &str,
    what: &str,
    sql: &str,
) -> Result<(), Error> {
    screen.change(who, what)?;
    let at = commit(desk, sql).await?;
    ledger.commit(at, incident("update", "INC0002"));
    Ok(())
}

async fn a_dead_letter(desk: &mut Desk, ledger: &mut Ledger, screen: &mut Screen) -> Result<(), Error> {
    screen.act(4, "The archive refuses a delivery for good: a dead letter, kept and replayed")?;
    desk.moods.archive_refuses.store(true, Ordering::Relaxed);
    screen.change("ada", "reports INC0003, \"Bug in the relay\" (a moth)")?;
    let sql = "insert into incident (number, short_description) values ('INC0003', 'Bug in the relay')";
    let at = commit(desk, sql).await?;
    ledger.commit(at, incident("create", "INC0003"));
    let refused = ledger.refused();
    let is_enough = |ledger: &Ledger| ledger.is_even_with(ENDPOINTS[0].path) && ledger.refused() > refused;
    desk.settle(ledger, is_enough, |came| Ok(screen.came(came)?)).await?;
    let number = dead_letter(desk).await?;
    screen.remark(&format!("it is dead letter {number} now; the archive is mended, and it is replayed:"))?;
    desk.moods.archive_refuses.store(false, Ordering::Relaxed);
    screen.line(&format!("          $ walhook deliveries replay {number}"))?;
    let replayed = desk.ask(&["deliveries", "replay", &number]).await?;
    if !replayed.status.success() {
        screen.line(&String::from_utf8_lossy(&replayed.stderr))?;
    }
    desk.settle(ledger, Ledger::is_even, |came| Ok(screen.came(came)?)).await
}

/// Waits for the dead letter in the list and gives its number.
async fn dead_letter(desk: &Desk) -> Result<String, Error> {
    for _ in 0..100 {
        let listed = desk.ask(&["--json", "deliveries", "list", "--state", "dead"]).await?;
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        for value in serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>().flatten() {
            if let Some(number) = number_in(&value) {
                return Ok(number);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(desk.silence("the listing of the dead letter"))
}

/// The first `"delivery": "2/4"` in a list or an object.
fn number_in(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Array(values) => values.iter().find_map(number_in),
        serde_json::Value::Object(object) => {
            let number = object.get("delivery").and_then(|name| name.as_str());
            number.map(str::to_owned).or_else(|| object.values().find_map(number_in))
        }
        _ => None,
    }
}

async fn a_crash(desk: &mut Desk, ledger: &mut Ledger, screen: &mut Screen) -> Result<(), Error> {
    screen.act(5, "walhook is killed (SIGKILL) while people work; the log waits, nothing is lost")?;
    desk.kill().await?;
    screen.remark("killed")?;
    for (who, status) in [("grace", 2), ("ada", 3), ("edsger", 4)] {
        screen.change(who, &format!("moves INC0003 to status {status}; walhook is not there"))?;
        let sql = format!("update incident set status = {status} where number = 'INC0003'");
        let at = commit(desk, &sql).await?;
        ledger.commit(at, incident("update", "INC0003"));
        tokio::time::sleep(PAUSE).await;
    }
    desk.start().await?;
    screen.remark(&format!("walhook runs again, process {}", desk.process()))?;
    desk.settle(ledger, Ledger::is_even, |came| Ok(screen.came(came)?)).await
}

async fn a_rush(desk: &mut Desk, ledger: &mut Ledger, screen: &mut Screen) -> Result<(), Error> {
    screen.act(6, "Four people at once")?;
    let mut users = JoinSet::new();
    for (user, name) in RUSHING.into_iter().enumerate() {
        let session = desk.user().await?;
        users.spawn(async move {
            let mut made = Vec::with_capacity(RUSH);
            for number in 0..RUSH {
                let id = format!("INC1{user}{:02}", number % 20);
                let (verb, sql) = if number < 20 {
                    let insert = "insert into incident (number, short_description, assignee) values";
                    ("create", format!("{insert} ('{id}', 'Call {number}', '{name}')"))
                } else {
                    ("update", format!("update incident set status = {number} where number = '{id}'"))
                };
                let at = Instant::now();
                session.batch_execute(&sql).await?;
                made.push((at, verb, id));
            }
            Ok::<_, Error>(made)
        });
    }
    let began = Instant::now();
    while let Some(made) = users.join_next().await {
        let made = made.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        for (at, verb, id) in made {
            ledger.commit(at, incident(verb, &id));
        }
    }
    let mut count = 0_usize;
    desk.settle(ledger, Ledger::is_even, |_| {
        count += 1;
        Ok(())
    })
    .await?;
    let transactions = RUSH * RUSHING.len();
    screen.remark(&format!(
        "{transactions} transactions, {count} webhooks, {} ms",
        began.elapsed().as_millis()
    ))?;
    Ok(())
}

/// Commits a transaction; gives the moment before COMMIT was sent.
async fn commit(desk: &Desk, sql: &str) -> Result<Instant, Error> {
    let user = desk.user().await?;
    user.batch_execute(&format!("begin; {sql}")).await?;
    let at = Instant::now();
    user.batch_execute("commit").await?;
    Ok(at)
}

/// What the quiet scenes share.
struct Scene<'a> {
    desk: &'a mut Desk,
    ledger: &'a mut Ledger,
    screen: &'a mut Screen,
}

impl Scene<'_> {
    /// One transaction, and the webhooks that come of it.
    async fn step(&mut self, who: &str, what: &str, sql: &str, owes: Vec<Owed>) -> Result<(), Error> {
        self.screen.change(who, what)?;
        let at = commit(self.desk, sql).await?;
        self.ledger.commit(at, owes);
        let Self { desk, ledger, screen } = self;
        desk.settle(ledger, Ledger::is_even, |came| Ok(screen.came(came)?)).await?;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}
