//! How long it takes to find the webhooks that want a change: `cargo bench --bench matching`.
//!
//! `per_change` has as many conditions as webhooks, one in a hundred of which matches; `groups` is the usual way to
//! have many webhooks, one for each value of a field, one of which matches; `interpret` judges one condition.

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use walhook::capture::{Index, Scratch};
use walhook::change::{Column, Datum, OldRow, Relation, ReplicaIdentity, Row};
use walhook::event::{FormEvent, Transaction, Verb};
use walhook::form::{BoundField, BoundForm, Fold, Form, Lane, OldValues};
use walhook::lsn::Position;
use walhook::qualification::{Facts, Purpose, Qualification};
use walhook::retry::Schedule;
use walhook::value::{Choice, Kind, Selection, Type};
use walhook::webhook::{
    Authentication, Callback, Listening, OnExhausted, Origin, Sending, Webhook, WebhookId,
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const TYPICAL: &str = "'Status' != \"Closed\" AND 'Priority' <= 2 AND 'Assigned Group' = \"G7\" \
                       AND 'Short Description' LIKE \"%printer%\"";

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 100, 10_000])]
fn per_change(bencher: Bencher<'_, '_>, webhooks: u64) {
    let condition = |number: u64| {
        format!(
            "'Assigned Group' = \"G{}\" AND 'Status' != \"Closed\" AND 'Priority' != {}",
            (7 + number) % 100,
            10 + number
        )
    };
    matching(bencher, webhooks, condition, webhooks.div_ceil(100));
}

#[divan::bench(args = [10, 10_000])]
fn groups(bencher: Bencher<'_, '_>, webhooks: u64) {
    matching(bencher, webhooks, |number| format!("'Assigned Group' = \"G{number}\""), 1);
}

#[divan::bench]
fn interpret(bencher: Bencher<'_, '_>) {
    let event = event();
    let bound =
        parse(TYPICAL).bind(&event.form, Purpose::Webhook(&[Verb::Update])).expect("it fits the form");
    let facts = Facts {
        form: &event.form,
        verb: event.verb,
        old: &event.old,
        new: event.new.as_ref(),
        committed_at_us: 0,
        user: None,
    };
    bencher.counter(ItemsCount::new(1_u64)).bench(|| black_box(&bound).judge(black_box(&facts)));
}

fn matching(bencher: Bencher<'_, '_>, webhooks: u64, condition: impl Fn(u64) -> String, expected: u64) {
    let event = event();
    let webhooks: Vec<Webhook> = (0..webhooks).map(|number| webhook(number, &condition(number))).collect();
    let mut index = Index::new(&event.form, webhooks.iter().enumerate());
    let (mut scratch, mut verdicts) = (Scratch::default(), Vec::new());
    index.judge(&event, &mut scratch, &mut verdicts);
    assert_eq!(verdicts.len() as u64, expected);
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| {
        index.judge(black_box(&event), &mut scratch, &mut verdicts);
        verdicts.len()
    });
}

fn parse(text: &str) -> Qualification {
    Qualification::parse(text).expect("it is in the grammar")
}

fn webhook(number: u64, condition: &str) -> Webhook {
    Webhook {
        id: WebhookId(number),
        origin: Origin::File,
        name: number.to_string(),
        description: None,
        listens: vec![Listening::to("HPD:Help Desk", "request", &[Verb::Create, Verb::Update])],
        condition: Some(Arc::new(parse(condition))),
        payload_fields: vec![],
        send_unchanged_fields: false,
        custom_json: None,
        mail_exceptions_to: vec![],
        exclude: walhook::webhook::Exclude::default(),
        body: walhook::webhook::BodyChoices::default(),
        account: None,
        enabled: true,
        format: "native",
        callback: Callback {
            tls: None,
            proxy: None,
            headers: BTreeMap::new(),
            url: "https://receiver.example/hook".parse().expect("it is a URL"),
            authentication: Authentication { scheme: "NO_AUTH", settings: BTreeMap::default() },
        },
        signing_secrets: vec![],
        policy: None,
        retention: None,
        sending: Sending {
            schedule: Schedule { pauses: vec![] },
            on_exhausted: OnExhausted::Skip,
            in_flight_max: 1,
            per_second_max: None,
            timeout: Duration::from_secs(1),
            backlog_bytes_max: 1,
        },
    }
}

/// An incident of group G7 that was reassigned.
fn event() -> FormEvent {
    let row = |group| -> Row {
        let values = ["INC000001", group, "1", "2", "the printer of the third floor is on fire again"];
        values.into_iter().map(Datum::Text).collect()
    };
    FormEvent {
        form: form(),
        verb: Verb::Update,
        position: Position::default(),
        transaction: Arc::new(Transaction { xid: 1, committed_at_us: 0, origin: None }),
        entry_id: "INC000001".into(),
        lane: Lane(1),
        behind: vec![],
        old: OldRow::Full(row("G1")),
        new: Some(row("G7")),
        changed: Some(vec![1]),
        renamed_to: None,
        renamed_from: None,
        circumstances: walhook::event::Circumstances::none(),
    }
}

fn form() -> Arc<BoundForm> {
    let text = Kind::Text { folds_case: false, padded: false };
    let labels = ["New", "Assigned", "Closed"].into_iter().enumerate();
    let choices = labels
        .map(|(number, label)| Choice {
            number: number as i64,
            stored: number.to_string(),
            label: label.to_owned(),
        })
        .collect();
    let fields = [
        ("Request ID", text.clone()),
        ("Assigned Group", text.clone()),
        ("Status", Kind::Selection(Arc::new(Selection { choices }))),
        ("Priority", Kind::Number { whole: true }),
        ("Short Description", text),
    ];
    let column = |(name, _): &(&str, Kind)| Column {
        name: (*name).to_owned(),
        type_oid: 25,
        type_modifier: -1,
        in_identity: true,
    };
    let relation = Relation {
        id: 1,
        schema: "public".into(),
        name: "incident".into(),
        identity: ReplicaIdentity::Full,
        columns: fields.iter().map(column).collect(),
    };
    let form = Form {
        name: "HPD:Help Desk".into(),
        noun: "request".into(),
        schema: None,
        table: "incident".into(),
        entry_id: vec![],
        record_id: None,
        old_values: OldValues::Auto,
        fold: Fold::Transaction,
        ignore: vec![],
        unset: vec![],
        hidden: vec![],
        fields: vec![],
        happenings: walhook::happening::Happenings::default(),
        itrp: walhook::form::ItrpFields::default(),
        belonging: None,
        referred_by: vec![],
        unchanged_updates: false,
        value_bytes_max: 1 << 20,
        entries: None,
        supplied: vec![],
        deleted: None,
        attachments: walhook::attachment::Attachments::default(),
        parts: vec![],
        dialect: Arc::default(),
    };
    let columns = fields.len();
    Arc::new(BoundForm {
        form: Arc::new(form),
        relation: Arc::new(relation),
        fields: fields
            .into_iter()
            .enumerate()
            .map(|(column, (name, kind))| BoundField {
                name: name.to_owned(),
                id: None,
                column,
                type_: Type::Text,
                kind,
            })
            .collect(),
        key: vec![0],
        former: vec![],
        entry_id: vec![0],
        record_id: None,
        ignored: vec![false; columns],
        uses_old_values: true,
        delete_insert_is_merge: true,
        happenings: walhook::happening::BoundHappenings::default(),
        belonging: None,
        parts: vec![],
        entries: None,
        deleted: None,
        attachments: vec![],
    })
}
