//! What is sent for one made-up entry of a help desk: `docs/bodies` has it for every format and event.
//!
//! `make golden` writes it down.

use super::arsys::Arsys;
use super::{FORMATS, Format, Identity, itrp, trial};
use crate::attachment::{self, BoundAttachment, Enclosed, Enclosure, File, Place};
use crate::change::{OldRow, Row};
use crate::delivery::{Body, DeliveryId, DeliveryNumber};
use crate::event::{Circumstances, Detail, FormEvent, Transaction, Verb};
use crate::form::{BoundField, BoundForm, ItrpFields, Lane, sample};
use crate::lsn::{Lsn, Position};
use crate::secret::Secret;
use crate::value::{Kind, Selection, Type};
use crate::webhook::{self, Account, BodyChoices, Listening, Selections, Webhook, WebhookId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Formats that tell all there is, and so of some events more than others do.
const TELL_ALL: [&str; 2] = ["native", "cloudevents"];
const COMMITTED_AT_US: i64 = 1_795_341_671_123_456;

const COLUMNS: [(&str, Type); 13] = [
    ("Entry ID", Type::Text),
    ("Status", Type::Number),
    ("Short Description", Type::Text),
    ("Urgent", Type::Boolean),
    ("Cost", Type::Number),
    ("Due", Type::TimestampTz),
    ("Assigned Group ID", Type::Number),
    ("Assigned Group", Type::Text),
    ("Assignee ID", Type::Number),
    ("Assignee", Type::Text),
    ("Merged Into", Type::Text),
    ("GUID", Type::Text),
    ("Log", Type::Text),
];
const ENTRY_ID: &str = "INC000000000041";

fn row(status: &str, assignee: [&str; 2], merged_into: &str, log: &str) -> Row {
    let description = "Printer on the 3rd floor \"smokes\" – again";
    let begin = [ENTRY_ID, status, description, "t", "12.50", "2026-11-23 09:00:00+00", "41", "Printers"];
    sample::row(&[&begin[..], &assignee, &[merged_into, "AGGAA5V0G7", log]].concat())
}

fn old() -> Row {
    row("0", ["NULL", "NULL"], "NULL", "10:00 called")
}

fn new() -> Row {
    row("2", ["657", "Jane Doe"], "NULL", "10:00 called")
}

/// What differs between the two.
const CHANGED: [usize; 3] = [1, 8, 9];

/// A row of which nothing is known but the key.
fn key() -> Row {
    let mut words = ["?"; COLUMNS.len()];
    words[0] = ENTRY_ID;
    sample::row(&words)
}

fn form() -> Arc<BoundForm> {
    let mut bound = sample::form("HPD:Help Desk", &COLUMNS);
    let labels = [("0", "New"), ("1", "Assigned"), ("2", "In Progress"), ("4", "Resolved")];
    let labels = labels.map(|(stored, label)| (stored.to_owned(), label.to_owned()));
    bound.fields[1].kind = Kind::Selection(Arc::new(Selection::of_labels(&labels)));
    bound.record_id = Some(11);
    let mut form = (*bound.form).clone();
    let named = |name: &str| Some(name.to_owned());
    form.itrp = ItrpFields {
        team: named("Assigned Group ID"),
        team_name: named("Assigned Group"),
        member: named("Assignee ID"),
        member_name: named("Assignee"),
        ..ItrpFields::default()
    };
    bound.form = Arc::new(form);
    Arc::new(bound)
}

/// The webhook. What selections are written as is a choice of its own: with the label where all is told, and else as
/// usual.
fn webhook(format: &'static str) -> Webhook {
    let selections = if TELL_ALL.contains(&format) { Selections::Both } else { Selections::default() };
    Webhook {
        name: "Escalations".into(),
        format,
        listens: vec![Listening::to("HPD:Help Desk", "request", &[Verb::Create])],
        custom_json: Some(r#"{"queue":"first-level"}"#.into()),
        body: BodyChoices { selections, ..BodyChoices::default() },
        account: Some(Arc::new(Account { id: "widget".into(), url: Some("https://desk.example".into()) })),
        ..webhook::sample::webhook(7)
    }
}

fn event(verb: Verb, old: OldRow, new: Option<Row>, changed: Option<&[usize]>) -> FormEvent {
    FormEvent {
        entry_id: ENTRY_ID.into(),
        form: form(),
        verb,
        position: Position { epoch: 0, commit_lsn: Lsn(0x16_B374_D848), ordinal: 3 },
        transaction: Arc::new(Transaction { xid: 741, committed_at_us: COMMITTED_AT_US, origin: None }),
        lane: Lane(0),
        behind: vec![],
        old,
        new,
        changed: changed.map(<[usize]>::to_vec),
        renamed_to: None,
        renamed_from: None,
        circumstances: Arc::new(Circumstances {
            actor: Some("42".into()),
            actor_name: Some("Ellen Brown".into()),
            ..Circumstances::default()
        }),
    }
}

/// An event with a word of the form's own.
fn named(word: &str, detail: Detail, event: FormEvent) -> FormEvent {
    FormEvent {
        verb: word.parse().unwrap(),
        circumstances: Arc::new(Circumstances { detail, ..Circumstances::clone(&event.circumstances) }),
        ..event
    }
}

/// The events, by the names of their files.
fn events() -> BTreeMap<&'static str, FormEvent> {
    let create = event(Verb::Create, OldRow::Absent, Some(old()), None);
    let update = event(Verb::Update, OldRow::Full(old()), Some(new()), Some(&CHANGED));
    let delete = event(Verb::Delete, OldRow::Full(new()), None, None);
    let merged = row("4", ["657", "Jane Doe"], "INC000000000007", "10:00 called");
    let mut merge = event(Verb::Merge, OldRow::Full(new()), Some(merged), Some(&[1, 10]));
    Arc::make_mut(&mut merge.circumstances).merged_into = Some("INC000000000007".into());
    Arc::make_mut(&mut merge.circumstances).marks = vec!["crm-sync".into()];
    let transaction = Transaction { origin: Some("archive".into()), ..(*merge.transaction).clone() };
    merge.transaction = Arc::new(transaction);
    let mut bulk = create.clone();
    Arc::make_mut(&mut bulk.circumstances).is_bulk = true;
    // told without the row having changed, in a transaction that does not have it
    let told = || event(Verb::Update, OldRow::Full(key()), Some(key()), Some(&[]));
    let note = Detail::Child {
        id: "9001".into(),
        fields: format!(
            r#"{{"id":9001,"request":"{ENTRY_ID}","text":"It is on fire now.","internal":false}}"#
        ),
    };
    let to_duty = Detail::Payload(r#"{"level":2,"to":"duty manager"}"#.into());
    let rule = Detail::Payload(r#"{"rule":"urgent requests","floor":3}"#.into());
    let large = row("2", ["657", "Jane Doe"], "NULL", "?");
    let moved = |to: Option<&str>, from: Option<&str>, event: &FormEvent| FormEvent {
        renamed_to: to.map(str::to_owned),
        renamed_from: from.map(str::to_owned),
        ..event.clone()
    };
    BTreeMap::from([
        (
            "status-changed",
            named("status-changed", Detail::Transition { field: "Status".into() }, update.clone()),
        ),
        ("note-added", named("note-added", note, told())),
        ("escalated", named("escalated", to_duty, told())),
        ("automation_rule", named("automation_rule", rule, update.clone())),
        ("create-bulk", bulk),
        ("create-renamed", moved(None, Some("INC000000000040"), &create)),
        ("delete-renamed", moved(Some("INC000000000042"), None, &delete)),
        ("update-without-old", event(Verb::Update, OldRow::Absent, Some(large), None)),
        ("delete-without-old", event(Verb::Delete, OldRow::Key(key()), None, None)),
        ("create", create),
        ("update", update),
        ("merge", merge),
        ("delete", delete),
    ])
}

/// What a format sends for an event; none where that is what it sends for a simpler one as well.
fn body(format: &dyn Format, name: &str, event: &FormEvent) -> Option<Body> {
    let is_detail = matches!(name, "create-bulk" | "create-renamed" | "delete-renamed");
    if is_detail && !TELL_ALL.contains(&format.name()) {
        return None;
    }
    let webhook = webhook(format.name());
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    format.head(&webhook, &identity(), event, &mut head);
    format.tail(&webhook, event, &mut tail);
    Some(Body { head: head.into(), tail: tail.into(), content_type: String::new() })
}

/// What AR System's format says of a create whose entry has a file, and one that is not to be had: of a message with parts the
/// JSON, and the message with links.
fn with_files() -> [(&'static str, Body); 2] {
    let mut event = event(Verb::Create, OldRow::Absent, Some(old()), None);
    let mut form = (*event.form).clone();
    let column = form.fields.len();
    let names = ["Attachment1", "Scan"];
    for (number, name) in names.into_iter().enumerate() {
        let field = form.fields[0].clone();
        form.fields.push(BoundField { name: name.into(), column: column + number, ..field });
        form.attachments.push(BoundAttachment {
            field: column + number,
            name: None,
            media_type: None,
            size: None,
            place: Place::LargeObject,
            bytes_max: 10 << 20,
        });
    }
    event.form = Arc::new(form);
    let file = File {
        name: "sample.png".into(),
        media_type: "image/png".into(),
        bytes: bytes::Bytes::from_static(b"\x89PNG\r\n\x1a\n"),
        hash: attachment::hash(b"\x89PNG\r\n\x1a\n"),
        href: Some("https://desk.example/attachments?form=HPD%3AHelp+Desk&signature=3vTqXc".into()),
    };
    let gone = "it cannot be read: large object 77 does not exist";
    Arc::make_mut(&mut event.circumstances).enclosed = Enclosed {
        files: vec![(column, Enclosure::File(file)), (column + 1, Enclosure::Missing(gone.into()))],
        boundary: "610911fdd8305740819713c17abfa49988".into(),
    };
    let usual = webhook("arsys");
    let body = |webhook: Webhook| {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        Arsys.head(&webhook, &identity(), &event, &mut head);
        Arsys.tail(&webhook, &event, &mut tail);
        let content_type = Arsys.content_type(&webhook, &event).into_owned();
        let body = Body { head: head.into(), tail: tail.into(), content_type };
        match body.entry_part() {
            Some([head, tail]) => Body { head, tail, ..body },
            None => body,
        }
    };
    let signed = Webhook { signing_secrets: vec![Secret::from("whsec_")], ..usual.clone() };
    let choices = BodyChoices { attachments_as_references: true, ..usual.body };
    [
        ("create-with-files", body(signed)),
        ("create-with-references", body(Webhook { body: choices, ..usual })),
    ]
}

fn identity() -> Identity {
    let number = DeliveryNumber { webhook: WebhookId(7), sequence: 12 };
    Identity { id: DeliveryId([0xAB; 16]), number }
}

/// What the files have: a body as it is sent, and a line end.
fn files() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut add = |format: &str, name: &str, body: Body| {
        let path = Path::new(format).join(format!("{name}.json"));
        files.insert(path, [&body.head[..], &body.tail, b"\n"].concat());
    };
    for format in FORMATS {
        for (name, event) in events() {
            if let Some(body) = body(*format, name, &event) {
                add(format.name(), name, body);
            }
        }
        let webhook = webhook(format.name());
        add(format.name(), "test", trial::body(&webhook, Some(&form()), &identity(), COMMITTED_AT_US));
    }
    for (name, body) in with_files() {
        add("arsys", name, body);
    }
    let callback = "https://walhook.example/v1/webhooks/7/verify?code=3vTqXc&expires_at=1795428071";
    add("itrp", "webhook.verify", itrp::verification(&webhook("itrp"), callback));
    files
}

#[test]
fn examples_are_what_is_sent() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bodies");
    let files = files();
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        for (path, sent) in &files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, sent).unwrap();
        }
    }
    for (path, sent) in &files {
        let written = std::fs::read(folder.join(path)).unwrap_or_default();
        let [written, sent] = [&written, sent].map(|bytes| String::from_utf8_lossy(bytes));
        assert_eq!(
            written,
            sent,
            "docs/bodies/{} is not what is sent; `make golden` writes it anew",
            path.display()
        );
        assert_eq!(sent.lines().count(), 1, "{sent}");
    }
    // nothing else stands there as an example
    let mut others = BTreeSet::new();
    for format in
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for path in std::fs::read_dir(format).unwrap().map(|entry| entry.unwrap().path()) {
            let path = path.strip_prefix(&folder).unwrap().to_owned();
            if !files.contains_key(&path) && path.file_name().unwrap() != "schema.json" {
                others.insert(path);
            }
        }
    }
    assert!(others.is_empty(), "nothing sends what these files in docs/bodies have: {others:?}");
}
