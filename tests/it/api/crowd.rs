//! Thousands of webhooks: registered while the stream goes on, listed in pages, there again after a restart.
//!
//! `REGISTERED=10000 WALHOOK=target/fast/walhook cargo test --test it thousands -- --nocapture` plays it in full with
//! an optimised build, and holds it to what is promised.

use super::Caller;
use crate::receiver::Receiver;
use crate::registration::start;
use crate::running::PATIENCE;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use walhook::postgres::Session;

/// How many there are in the end: fewer where the build is not optimised, which reads each some ten times as slowly.
const ALL: usize = 3000;
const ALL_OPTIMISED: usize = 10_000;

/// How many a page has.
const PAGE: usize = 1000;

/// How long a ticket of the witness waits for the next one.
const PAUSE: Duration = Duration::from_millis(30);

/// How many are registered over the API, one after the other; the rest comes by SQL.
fn by_the_api() -> usize {
    std::env::var("REGISTERED").ok().and_then(|count| count.parse().ok()).unwrap_or(1000)
}

fn config(receiver: &Receiver) -> String {
    format!(
        r#"
[dispatch]
allow = ["127.0.0.0/8"]
[[forms]]
table = "ticket"
[[webhooks]]
id = 500000000001
name = "witness"
form = "ticket"
events = ["create"]
condition = "'state' = \"witness\""
callback = {{ url = "{}" }}
"#,
        receiver.url()
    )
}

/// Inserts tickets for the witness until told to stop; returns when each was committed, by its number.
async fn write(session: Session, stop: CancellationToken) -> BTreeMap<i64, Instant> {
    let mut committed = BTreeMap::new();
    while !stop.is_cancelled() {
        let row = session.query_one("insert into ticket (state) values ('witness') returning id", &[]).await;
        committed.insert(row.unwrap().get(0), Instant::now());
        tokio::time::sleep(PAUSE).await;
    }
    committed
}

/// The middle, the highest of a hundred but one, and the highest.
fn spread(mut durations: Vec<Duration>) -> (Duration, Duration, Duration) {
    durations.sort_unstable();
    let last = durations.len() - 1;
    (durations[last / 2], durations[last * 99 / 100], durations[last])
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_are_registered_without_a_pause_of_the_stream() {
    let is_optimised = std::env::var_os("WALHOOK").is_some();
    let all = if is_optimised { ALL_OPTIMISED } else { ALL };
    let (witness, receiver) = (Receiver::start().await, Receiver::start().await);
    let (site, walhook) = start(&config(&witness)).await;
    let (session, api) = (site.session().await, Caller::new(&site.base()));
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(write(site.session().await, stop.clone()));

    let registered = by_the_api();
    let mut answers = Vec::new();
    for number in 1..=registered {
        let native = json!({
            "form": "ticket",
            "events": ["create"],
            "condition": format!("'state' = \"crowd {number}\""),
            "callback": { "url": receiver.url() },
        });
        let asked = Instant::now();
        let answer = api.post("/webhooks", native).await;
        answers.push(asked.elapsed());
        assert_eq!(answer.status, 201, "{}", answer.json);
        assert_eq!(answer.json["status"]["state"], "enabled", "{}", answer.json);
    }
    let tenth = registered / 10;
    let (first, last) = (spread(answers[..tenth].to_vec()), spread(answers[registered - tenth..].to_vec()));
    println!("answers, first tenth of {registered}: {first:?}; last: {last:?}; all: {:?}", spread(answers));

    let filled = Instant::now();
    for from in (registered + 1..=all).step_by(300) {
        let to = (from + 299).min(all);
        let statement = format!(
            "insert into walhook.webhook (form, events, condition, url)
             select 'ticket', '{{create}}', format('''state'' = \"crowd %s\"', number), '{}'
             from generate_series({from}, {to}) as numbers(number)",
            receiver.url()
        );
        session.batch_execute(&statement).await.unwrap();
    }
    while api.get(&format!("/webhooks/{all}")).await.json["status"]["state"] != "enabled" {
        assert!(filled.elapsed() < PATIENCE, "the last one is not in force");
        // another process reads the log
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listed = Instant::now();

    let (mut found, mut path, mut pages) = (0, format!("/webhooks?limit={PAGE}"), Vec::new());
    loop {
        let asked = Instant::now();
        let page = api.get(&path).await;
        pages.push(asked.elapsed());
        found += page.json["webhooks"].as_array().unwrap().len();
        let Value::String(next) = &page.json["next"] else { break };
        path = format!("/webhooks?limit={PAGE}&cursor={next}");
    }
    assert_eq!(found, all + 1, "all of them and the witness");
    println!("pages of {PAGE}: {:?}", spread(pages));

    stop.cancel();
    let committed = tasks.join_next().await.unwrap().unwrap();
    let requests = witness.wait_for(committed.len()).await;
    // many rows at once are one piece of work, which tickets behind them wait for
    let is_between = |at: Instant| (filled..listed).contains(&at);
    let late_of = |is_wanted: &dyn Fn(Instant) -> bool| {
        let tickets = requests.iter().map(|one| {
            let entry: i64 = one.json()["entry_id"].as_str().unwrap().parse().unwrap();
            (committed[&entry], one.arrived)
        });
        let wanted = tickets.filter(|(committed, _)| is_wanted(*committed));
        spread(wanted.map(|(committed, arrived)| arrived.saturating_duration_since(committed)).collect())
    };
    let late = late_of(&|at| !is_between(at));
    println!("the witness's {} tickets came after {late:?}", committed.len());
    if registered < all {
        println!("those among {} written by SQL: {:?}", all - registered, late_of(&is_between));
    }
    assert_eq!(receiver.count(), 0, "nobody else's condition holds");

    // with all of them
    assert_eq!(walhook.stop(), 0);
    let began = Instant::now();
    let _walhook = site.start_again(&[]).await;
    let ready = began.elapsed();
    println!("ready with {all} after {ready:?}");

    let mut effects = Vec::new();
    for number in 1..=7 {
        let register = format!(
            "insert into walhook.webhook (form, events, condition, url)
             values ('ticket', '{{create}}', '''state'' = \"late {number}\"', '{}')",
            receiver.url()
        );
        session.batch_execute(&register).await.unwrap();
        let registered = Instant::now();
        session.batch_execute(&format!("insert into ticket (state) values ('late {number}')")).await.unwrap();
        effects
            .push(receiver.wait_for(number).await[number - 1].arrived.saturating_duration_since(registered));
    }
    let effect = spread(effects);
    println!("from a registration's commit to the first delivery: {effect:?}");

    // what takes longer with each one that is there would show: a debug build beside other tests is slow, not slower
    assert!(last.0 < first.0 * 3 + Duration::from_millis(20), "{first:?} {last:?}");
    let (pause_max, ready_max, effect_max) =
        if is_optimised { (500, 2000, 100) } else { (3000, 30_000, 2000) };
    assert!(late.2 < Duration::from_millis(pause_max), "the stream paused: {late:?}");
    assert!(ready < Duration::from_millis(ready_max), "{ready:?}");
    assert!(effect.0 < Duration::from_millis(effect_max), "{effect:?}");
}
