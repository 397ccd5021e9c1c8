//! The events of ITRP and its heirs, each by its name, on a help desk's tables.
//!
//! All are registered, and all happen once, in one run; each name has its own test, which looks at what its webhook got.

use super::itrp::Itrp;
use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

/// The nouns, each with the verbs that its entries have beside `create` and `update`.
const NOUNS: &[(&str, &[&str])] = &[
    ("broadcast", &[]),
    ("workflow", &["manager-changed", "note-added", "status-changed"]),
    ("ci", &[]),
    ("contract", &[]),
    ("flsa", &[]),
    ("knowledge_article", &[]),
    ("organization", &[]),
    ("out_of_office_period", &["delete"]),
    ("person", &[]),
    ("problem", &["manager-changed", "member-changed", "note-added", "status-changed", "team-changed"]),
    ("product", &[]),
    ("project", &["manager-changed", "note-added", "status-changed"]),
    ("project_task", &["note-added", "status-changed"]),
    ("release", &["manager-changed", "note-added"]),
    (
        "request",
        &[
            "agile-board-column-changed",
            "major-incident-status-changed",
            "member-changed",
            "note-added",
            "status-changed",
            "team-changed",
        ],
    ),
    ("risk", &["note-added", "status-changed", "manager-changed"]),
    ("service", &[]),
    ("service_instance", &[]),
    ("service_offering", &[]),
    ("sla", &[]),
    ("task", &["member-changed", "note-added", "status-changed", "team-changed"]),
    ("team", &[]),
    ("time_entry", &["delete"]),
];

/// Fields whose changes have a word.
const FIELDS: [&str; 6] =
    ["status", "team", "member", "manager", "agile_board_column", "major_incident_status"];

/// The number of every entry, and of every note.
const ENTRY: i64 = 70111;
const NOTE: i64 = 8;
/// Who did it.
const PERSON: i64 = 42;

fn is_field(verb: &str) -> Option<String> {
    let field = verb.strip_suffix("-changed")?.replace('-', "_");
    FIELDS.contains(&field.as_str()).then_some(field)
}

fn schema() -> String {
    // of the configuration that these tests share
    let mut sql = "create table ticket (id int primary key, state text);".to_owned();
    for (noun, verbs) in NOUNS {
        let fields = FIELDS.map(|field| format!(", {field} text")).concat();
        let _ = write!(
            sql,
            "create table {noun} (id int primary key, name text{fields}, changed_by int, changed_by_name text);
             alter table {noun} replica identity full;"
        );
        if verbs.contains(&"note-added") {
            let _ = write!(
                sql,
                "create table {noun}_note (id int primary key, {noun}_id int, text text, author int, author_name text);"
            );
        }
    }
    sql
}

fn forms() -> String {
    let mut toml = String::new();
    for (noun, verbs) in NOUNS {
        let _ = write!(
            toml,
            "[[forms]]\nname = \"{noun}\"\ntable = \"{noun}\"\nignore = [\"changed_by\", \"changed_by_name\"]\n\
             actor = {{ column = \"changed_by\", name = \"changed_by_name\" }}\n"
        );
        for verb in *verbs {
            if let Some(field) = is_field(verb) {
                let _ = write!(toml, "[[forms.transitions]]\nverb = \"{verb}\"\nfield = \"{field}\"\n");
            } else if *verb == "note-added" {
                let _ = write!(
                    toml,
                    "[[forms.children]]\nverb = \"note-added\"\ntable = \"{noun}_note\"\nparent = \"{noun}_id\"\n\
                     actor = {{ column = \"author\", name = \"author_name\" }}\n"
                );
            }
        }
        if *noun == "request" {
            toml += "[[forms.rules]]\nname = \"hot\"\nevents = [\"update\"]\ncondition = \"'status' = \\\"b\\\" AND 'DB.status' != 'status'\"\n\
                     payload = { text = \"{entry_id} is {status}\", number = \"{id}\", level = 2 }\n\
                     [[forms.rules]]\nname = \"cold\"\nevents = [\"delete\"]\n";
        }
    }
    toml
}

/// Everything that can happen, in its order.
fn statements() -> Vec<String> {
    let mut statements = Vec::new();
    for (noun, verbs) in NOUNS {
        let by = format!("changed_by = {PERSON}, changed_by_name = 'Ellen Brown'");
        statements.push(format!(
            "insert into {noun} (id, name, status, changed_by, changed_by_name)
             values ({ENTRY}, 'one', 'a', {PERSON}, 'Ellen Brown')"
        ));
        statements.push(format!("update {noun} set name = 'two', {by}"));
        // nothing that anybody may know of
        statements.push(format!("update {noun} set changed_by = 7"));
        statements.push(format!("update {noun} set changed_by = {PERSON}"));
        statements.push(format!("begin; update {noun} set status = 'z', {by}; rollback"));
        for verb in *verbs {
            statements.push(match (is_field(verb), *verb) {
                (Some(field), _) => format!("update {noun} set {field} = 'b', {by}"),
                (None, "note-added") => format!(
                    "insert into {noun}_note values ({NOTE}, {ENTRY}, 'hello', {PERSON}, 'Ellen Brown')"
                ),
                (None, "delete") => format!("delete from {noun}"),
                (None, other) => panic!("{other}"),
            });
        }
    }
    statements
}

/// How often an event happens.
fn times(noun: &str, verb: &str) -> usize {
    let (_, verbs) = NOUNS.iter().find(|(known, _)| *known == noun).unwrap();
    match verb {
        // a change that has a word is an update as well
        "update" => 1 + verbs.iter().filter(|verb| is_field(verb).is_some()).count(),
        _ => 1,
    }
}

/// The bodies by the names of their events.
type Bodies = BTreeMap<String, Vec<Value>>;

fn bodies() -> &'static Bodies {
    static BODIES: OnceLock<Bodies> = OnceLock::new();
    BODIES.get_or_init(|| {
        // the test's own runtime does not outlive it
        let play = || tokio::runtime::Runtime::new().unwrap().block_on(play());
        std::thread::scope(|scope| scope.spawn(play).join().unwrap())
    })
}

async fn play() -> Bodies {
    let (itrp, receiver) = (Itrp::start_on(&schema(), &forms(), "").await, Receiver::start().await);
    let mut names = vec!["automation_rule".to_owned()];
    for (noun, verbs) in NOUNS {
        names.extend(["create", "update"].iter().chain(*verbs).map(|verb| format!("{noun}.{verb}")));
    }
    assert_eq!(names.len(), 77);
    for name in &names {
        let id = itrp.register(json!({ "event": name, "uri": format!("{}/{name}", receiver.url()) })).await;
        let shown = itrp.get(&format!("/v1/webhooks/{id}")).await.expect(200);
        assert_eq!(shown["event"], *name);
    }
    let session = itrp.site.session().await;
    let statements = statements();
    one_by_one(&session, &statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let expected: usize =
        names.iter().map(|name| name.split_once('.').map_or(1, |(noun, verb)| times(noun, verb))).sum();
    arrived(&receiver, expected).await;
    let mut bodies = Bodies::new();
    for request in receiver.requests() {
        let name = request.path.rsplit('/').next().unwrap().to_owned();
        bodies.entry(name).or_default().push(Request::json(&request));
    }
    bodies
}

#[track_caller]
fn check(name: &str) {
    let none = Vec::new();
    let got = bodies().get(name).unwrap_or(&none);
    let (noun, verb) = name.split_once('.').unwrap();
    assert_eq!(got.len(), times(noun, verb), "{got:?}");
    for body in got {
        assert_eq!(body["event"], name, "{body}");
        assert_eq!(body["object_id"], ENTRY, "{body}");
        assert_eq!(
            (&body["person_id"], &body["person_name"]),
            (&json!(PERSON), &json!("Ellen Brown")),
            "{body}"
        );
        let payload = &body["payload"];
        let previous = if verb == "status-changed" { json!("a") } else { Value::Null };
        assert_eq!(payload["previous_status"], previous, "{body}");
        let note = if verb == "note-added" { json!(NOTE) } else { Value::Null };
        assert_eq!(payload["note_id"], note, "{body}");
        if verb == "status-changed" {
            assert_eq!(payload["status"], "b", "{body}");
        }
    }
}

macro_rules! events {
    ($($test:ident: $name:literal,)*) => {
        // R-XU-26 R-XU-28 R-XU-29 R-XU-30 R-XU-31 R-XU-33 R-XU-34
        $(
            #[test]
            fn $test() {
                check($name);
            }
        )*
    };
}

events! {
    broadcast_create: "broadcast.create",
    broadcast_update: "broadcast.update",
    workflow_create: "workflow.create",
    workflow_manager_changed: "workflow.manager-changed",
    workflow_note_added: "workflow.note-added",
    workflow_status_changed: "workflow.status-changed",
    workflow_update: "workflow.update",
    ci_create: "ci.create",
    ci_update: "ci.update",
    contract_create: "contract.create",
    contract_update: "contract.update",
    flsa_create: "flsa.create",
    flsa_update: "flsa.update",
    knowledge_article_create: "knowledge_article.create",
    knowledge_article_update: "knowledge_article.update",
    organization_create: "organization.create",
    organization_update: "organization.update",
    out_of_office_period_create: "out_of_office_period.create",
    out_of_office_period_update: "out_of_office_period.update",
    out_of_office_period_delete: "out_of_office_period.delete",
    person_create: "person.create",
    person_update: "person.update",
    problem_create: "problem.create",
    problem_manager_changed: "problem.manager-changed",
    problem_member_changed: "problem.member-changed",
    problem_note_added: "problem.note-added",
    problem_status_changed: "problem.status-changed",
    problem_team_changed: "problem.team-changed",
    problem_update: "problem.update",
    product_create: "product.create",
    product_update: "product.update",
    project_create: "project.create",
    project_manager_changed: "project.manager-changed",
    project_note_added: "project.note-added",
    project_status_changed: "project.status-changed",
    project_update: "project.update",
    project_task_create: "project_task.create",
    project_task_note_added: "project_task.note-added",
    project_task_status_changed: "project_task.status-changed",
    project_task_update: "project_task.update",
    release_create: "release.create",
    release_manager_changed: "release.manager-changed",
    release_note_added: "release.note-added",
    release_update: "release.update",
    request_agile_board_column_changed: "request.agile-board-column-changed",
    request_create: "request.create",
    request_major_incident_status_changed: "request.major-incident-status-changed",
    request_member_changed: "request.member-changed",
    request_note_added: "request.note-added",
    request_status_changed: "request.status-changed",
    request_team_changed: "request.team-changed",
    request_update: "request.update",
    risk_create: "risk.create",
    risk_update: "risk.update",
    risk_note_added: "risk.note-added",
    risk_status_changed: "risk.status-changed",
    risk_manager_changed: "risk.manager-changed",
    service_create: "service.create",
    service_update: "service.update",
    service_instance_create: "service_instance.create",
    service_instance_update: "service_instance.update",
    service_offering_create: "service_offering.create",
    service_offering_update: "service_offering.update",
    sla_create: "sla.create",
    sla_update: "sla.update",
    task_create: "task.create",
    task_member_changed: "task.member-changed",
    task_note_added: "task.note-added",
    task_status_changed: "task.status-changed",
    task_team_changed: "task.team-changed",
    task_update: "task.update",
    team_create: "team.create",
    team_update: "team.update",
    time_entry_create: "time_entry.create",
    time_entry_update: "time_entry.update",
    time_entry_delete: "time_entry.delete",
}

// R-XU-25
#[test]
fn automation_rule() {
    let got = &bodies()["automation_rule"];
    let [body] = got.as_slice() else { panic!("{got:?}") };
    assert_eq!(body["event"], "automation_rule", "{body}");
    assert_eq!(body["object_id"], ENTRY, "{body}");
    assert_eq!(body["payload"], json!({ "text": "70111 is b", "number": ENTRY, "level": 2 }), "{body}");
}

// R-XU-32
#[tokio::test]
async fn others_tell_of_no_delete() {
    let itrp = Itrp::start("").await;
    for event in ["request.delete", "problem.delete", "*.delete"] {
        let webhook = json!({ "event": event, "uri": "https://receiver.example/" });
        let refused = itrp.ask(reqwest::Method::POST, "/v1/webhooks", Some(webhook)).await.expect(422);
        assert!(refused["errors"][0].as_str().unwrap().contains("is no event here"), "{refused}");
    }
}
