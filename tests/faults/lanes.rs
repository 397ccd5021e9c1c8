//! What makes the lane of an entry is changed while its deliveries wait for their endpoint: whatever comes then must come
//! behind them.

use crate::proof::stage::Stage;
use crate::proof::trial::{Trial, closed_until};
use crate::proof::world::HOOKS;
use crate::server::{sql, start_running, wait_until_confirmed, wal_end};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use walhook::demo::receiver::Arrival;

/// How long something may take to be seen.
const SEEN_MAX: Duration = Duration::from_secs(60);

/// A table of the test's own, without a primary key.
pub const THINGS: &str = "create table desk.thing (id int not null, code text not null, b int);
    alter table desk.thing replica identity full;
    alter publication walhook add table desk.thing";

/// A form on it, and the condition of its webhook, which is tried often.
#[derive(Clone, Copy)]
pub struct Thing {
    form: &'static str,
    entry_id: &'static str,
    condition: &'static str,
}

impl Thing {
    pub fn of(form: &'static str, entry_id: &'static str) -> Self {
        Self { form, entry_id, condition: "" }
    }
}

/// The configuration with forms on the table and a webhook for each: 5 on `/things/5`, and so on.
pub fn with_things(stage: &Stage, things: &[Thing]) -> String {
    let mut toml = stage.configuration(&stage.cluster.url("postgres"));
    let schedule = vec!["\"300ms\""; 60].join(", ");
    for (number, Thing { form, entry_id, condition }) in (5..).zip(things) {
        let url = stage.receiver.url(&format!("/things/{number}"));
        toml += &format!(
            "\n[[forms]]\nname = \"{form}\"\ntable = \"desk.thing\"\nentry_id = [\"{entry_id}\"]\n[[webhooks]]\n\
             id = {number}\nname = \"things {number}\"\nform = \"{form}\"\ncondition = \"{condition}\"\n\
             events = [\"create\", \"update\", \"delete\"]\nschedule = [{schedule}]\ncallback.url = \"{url}\"\n"
        );
    }
    toml
}

/// A trial whose endpoints are closed for now.
struct Closed {
    trial: Trial,
    is_open: Arc<AtomicBool>,
}

impl Closed {
    async fn begin(name: &str, things: &[Thing]) -> Self {
        let is_open = Arc::new(AtomicBool::new(false));
        let mut stage = Stage::prepare(name, &HOOKS, closed_until(&is_open)).await;
        stage.client.batch_execute(THINGS).await.unwrap();
        stage.walhook.configure(&with_things(&stage, things));
        stage.start().await;
        let closed = Self { trial: Trial::on(stage, 1), is_open };
        closed.sql("insert into desk.thing values (1, 'one', 1)").await;
        closed.updated(2..=3).await;
        closed
    }

    async fn sql(&self, statement: &str) {
        sql(&self.trial, statement).await;
    }

    async fn updated(&self, values: impl IntoIterator<Item = i64>) {
        for b in values {
            self.sql(&format!("update desk.thing set b = {b}")).await;
        }
    }

    /// All that was written so far is in the queue.
    async fn is_stored(&mut self) {
        let end = wal_end(&self.trial).await;
        wait_until_confirmed(&self.trial, end).await;
        self.trial.hear(2).await;
    }

    /// Other forms by SIGHUP, when all of before is in the queue.
    async fn reconfigure(&mut self, things: &[Thing]) {
        self.is_stored().await;
        let said = self.trial.stage.walhook.log().len();
        self.trial.stage.walhook.configure(&with_things(&self.trial.stage, things));
        self.trial.stage.walhook.signal("-HUP");
        let said = self.trial.wait_for_log(said, "the configuration was taken over").await;
        self.trial.wait_for_log(said, "the stream runs").await;
    }

    /// The table is altered, and walhook killed, so that it looks at once.
    async fn alter(&mut self, statement: &str) {
        self.is_stored().await;
        self.sql(statement).await;
        self.trial.kill().await;
        start_running(&mut self.trial).await;
    }

    fn things(&self, number: u64) -> Vec<Arrival> {
        let path = format!("/things/{number}");
        let all = self.trial.stage.receiver.arrivals_from(0).into_iter();
        all.filter(|arrival| arrival.request.path == path).collect()
    }

    /// Opens the endpoints. The webhooks have tried events that tell these values of `b`, in this order and no other,
    /// with the sequence numbers in order too.
    async fn arrive(mut self, expected: &[&[i64]]) {
        self.is_stored().await;
        self.is_open.store(true, Ordering::Relaxed);
        for (number, values) in (5..).zip(expected) {
            let path = format!("/things/{number}");
            let complete = self.trial.stage.receiver.wait_until(|arrivals| {
                let here = |one: &&Arrival| one.request.path == path && one.is_accepted();
                arrivals.iter().filter(here).count() >= values.len()
            });
            tokio::time::timeout(SEEN_MAX, complete).await.expect("all of them arrive");
            let arrivals = self.things(number);
            let mut tried: Vec<(i64, i64)> =
                arrivals.iter().map(|arrival| (sequence_of(arrival), value_of(arrival))).collect();
            tried.dedup();
            let expected: Vec<(i64, i64)> = (1..).zip(values.iter().copied()).collect();
            assert_eq!(tried, expected, "webhook {number} has tried (sequence, b) in another order");
        }
        self.trial.work(30).await;
        self.trial.judge().await;
    }
}

fn sequence_of(arrival: &Arrival) -> i64 {
    arrival.request.header("walhook-sequence").unwrap().parse().unwrap()
}

fn value_of(arrival: &Arrival) -> i64 {
    let body: serde_json::Value = serde_json::from_slice(&arrival.request.body).unwrap();
    body["entry"]["b"].as_i64().unwrap()
}

/// A lane is named by its form and the columns of the key. So whoever renamed a form while deliveries of its entries
/// waited had the later ones overtake them. Now what comes under the new name waits for what came under the former one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_renamed_while_its_deliveries_wait() {
    let mut closed = Closed::begin("lanes-form", &[Thing::of("thing", "id")]).await;
    closed.reconfigure(&[Thing::of("gadget", "id")]).await;
    closed.updated(4..=6).await;
    closed.arrive(&[&[1, 2, 3, 4, 5, 6]]).await;
}

/// walhook dies before and after it has written down by which rules the entries had their lanes, and what comes first under
/// the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn walhook_is_killed_while_it_takes_a_renamed_form_over() {
    let mut closed = Closed::begin("lanes-killed", &[Thing::of("thing", "code")]).await;
    closed.is_stored().await;
    closed.trial.kill().await;
    let deaths = [
        ("gadget", "queue.binding.before:1"),
        ("gizmo", "queue.binding.after:1"),
        ("widget", "queue.binding.before:2"),
        ("part", "queue.publish.before:1"),
    ];
    for (b, (form, place)) in (4..).zip(deaths) {
        closed.updated([b]).await;
        let configuration = with_things(&closed.trial.stage, &[Thing::of(form, "code")]);
        let walhook = &mut closed.trial.stage.walhook;
        walhook.configure(&configuration);
        walhook.environment = vec![("WALHOOK_FAILPOINT".into(), place.into())];
        walhook.start();
        walhook.environment.clear();
        walhook.wait_until_ended(SEEN_MAX).expect("it dies");
        closed.trial.died().await;
    }
    start_running(&mut closed.trial).await;
    closed.arrive(&[&[1, 2, 3, 4, 5, 6, 7]]).await;
}

/// The same for whoever gave a table its primary key: what is ordered by the entry id is ordered by the primary key when
/// there is one, and did not wait for what came before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_gets_its_primary_key_while_its_deliveries_wait() {
    let mut closed = Closed::begin("lanes-key", &[Thing::of("thing", "code")]).await;
    closed.alter("alter table desk.thing add primary key (id)").await;
    closed.updated(4..=6).await;
    closed.arrive(&[&[1, 2, 3, 4, 5, 6]]).await;
}

/// What waits in the lane of before is found there, what came under the other key as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_key_comes_and_goes_while_deliveries_wait() {
    let mut closed = Closed::begin("lanes-to-and-fro", &[Thing::of("thing", "code")]).await;
    closed.alter("alter table desk.thing add constraint single primary key (id)").await;
    closed.updated(4..=5).await;
    closed.alter("alter table desk.thing drop constraint single").await;
    closed.updated(6..=7).await;
    closed.arrive(&[&[1, 2, 3, 4, 5, 6, 7]]).await;
}

/// Under the new key a change of the former one is an update like any other: what comes behind it must not look for the
/// lane of the new value only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_former_key_is_updated_while_deliveries_wait_by_it() {
    let mut closed = Closed::begin("lanes-former-key", &[Thing::of("thing", "code")]).await;
    closed.alter("alter table desk.thing add primary key (id)").await;
    closed.sql("update desk.thing set code = 'two', b = 4").await;
    closed.updated(5..=6).await;
    closed.sql("delete from desk.thing").await;
    closed.arrive(&[&[1, 2, 3, 4, 5, 6, 6]]).await;
}

/// The entry gets another key under the form's new name (a delete and a create), is deleted, and comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_renamed_form_gets_another_key_and_goes() {
    let mut closed = Closed::begin("lanes-entry", &[Thing::of("thing", "id")]).await;
    closed.reconfigure(&[Thing::of("gadget", "id")]).await;
    closed.sql("update desk.thing set id = 2, b = 4").await;
    closed.updated(5..=5).await;
    closed.sql("delete from desk.thing").await;
    closed.sql("insert into desk.thing values (2, 'two', 6)").await;
    closed.arrive(&[&[1, 2, 3, 3, 4, 5, 5, 6]]).await;
}

/// The first that comes under the new name is a delete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_renamed_form_is_deleted() {
    let mut closed = Closed::begin("lanes-deleted", &[Thing::of("thing", "id")]).await;
    closed.reconfigure(&[Thing::of("gadget", "id")]).await;
    closed.sql("delete from desk.thing").await;
    closed.arrive(&[&[1, 2, 3, 3]]).await;
}

/// Two forms on one table, of which one is renamed, and gets its first name back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_forms_on_a_table_is_renamed_and_back() {
    let other = Thing::of("part", "code");
    let mut closed = Closed::begin("lanes-two", &[Thing::of("thing", "id"), other]).await;
    closed.reconfigure(&[Thing::of("gadget", "id"), other]).await;
    closed.updated(4..=5).await;
    closed.reconfigure(&[Thing::of("thing", "id"), other]).await;
    closed.updated(6..=7).await;
    closed.arrive(&[&[1, 2, 3, 4, 5, 6, 7], &[1, 2, 3, 4, 5, 6, 7]]).await;
}

/// Events that could not be judged were held under a form's former name. When the form was renamed, nothing listened to
/// that name any more, and they were given up as if nobody wanted them. Now they are judged as the new name's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_renamed_while_its_events_are_held() {
    let thing = |form, condition| Thing { form, entry_id: "id", condition };
    let (failing, mended) = ("10 / 'b' > 0", "'b' > -1");
    let mut closed = Closed::begin("lanes-held", &[thing("thing", failing)]).await;
    closed.updated([0, 4]).await;
    closed.trial.wait_for_log(0, "the event is held").await;
    closed.reconfigure(&[thing("gadget", failing)]).await;
    closed.updated([5, 0, 6]).await;
    closed.reconfigure(&[thing("gizmo", mended)]).await;
    closed.updated([7]).await;
    closed.arrive(&[&[1, 2, 3, 0, 4, 5, 0, 6, 7]]).await;
}

/// The same under another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_gets_its_primary_key_while_its_events_are_held() {
    let thing = |condition| Thing { form: "thing", entry_id: "code", condition };
    let mut closed = Closed::begin("lanes-held-key", &[thing("10 / 'b' > 0")]).await;
    closed.updated([0, 4]).await;
    closed.alter("alter table desk.thing add primary key (id)").await;
    closed.sql("update desk.thing set code = 'two', b = 5").await;
    closed.updated([6]).await;
    closed.reconfigure(&[thing("'b' > -1")]).await;
    closed.updated([7]).await;
    closed.arrive(&[&[1, 2, 3, 0, 4, 5, 6, 7]]).await;
}
