//! `[[webhooks]]`.

use super::reader::{Reader, join};
use super::table::{Table, Value};
use super::{callback, condition, identity, listening, mail, suggest};
use crate::form::Form;
use crate::format;
use crate::proxy::Proxy;
use crate::retry::Schedule;
use crate::secret::Secret;
use crate::transport::signature;
use crate::webhook::{
    Account, BodyChoices, Exclude, OnExhausted, Origin, RecordIdWith, Selections, Sending, Webhook, WebhookId,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A larger `custom_json` is a mistake: it travels in every body.
const CUSTOM_JSON_BYTES_MAX: usize = 64 * 1024;

/// What holds for webhooks that say nothing of their own.
#[derive(Debug)]
pub(super) struct Defaults {
    /// Who registers them.
    pub(super) origin: Origin,
    pub(super) schedule: Schedule,
    pub(super) timeout: Duration,
    pub(super) proxy: Option<Proxy>,
    /// Whether they may name another proxy, or none.
    pub(super) may_name_proxy: bool,
    pub(super) queue_bytes_max: u64,
    /// Where relative paths start.
    pub(super) folder: PathBuf,
    /// Whose site this is.
    pub(super) account: Option<Arc<Account>>,
}

/// Reads all webhooks and checks them against the forms and each other.
pub(super) fn read(
    reader: &mut Reader<'_>,
    file: &Table,
    forms: &[Arc<Form>],
    defaults: &Defaults,
) -> Vec<Webhook> {
    let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let mut ids: BTreeMap<WebhookId, (String, Range<usize>)> = BTreeMap::new();
    let mut webhooks = Vec::new();
    for table in file.tables("webhooks") {
        let webhook = read_one(reader, table, forms, defaults);
        let Some(name) = table.text("name") else { continue };
        if let Some(first) = names.insert(name.clone(), table.place("name")) {
            let message = format!("two webhooks are named {name:?}");
            let remedy = "give one of them another name".to_owned();
            reader.refuse(table.place("name"), &join(&table.path, "name"), message, remedy);
            reader.point_back(first, "the first one");
            continue;
        }
        let id = id_of(table, name);
        let place = if table.says("id") { table.place("id") } else { table.place("name") };
        if let Some((other, first)) = ids.insert(id, (name.clone(), place.clone())) {
            let message = format!("webhooks {other:?} and {name:?} both have the number {id}");
            let remedy = "give one of them another `id`".to_owned();
            reader.refuse(place, &join(&table.path, "id"), message, remedy);
            reader.point_back(first, "the first one");
        }
        webhooks.extend(webhook);
    }
    webhooks
}

fn id_of(table: &Table, name: &str) -> WebhookId {
    table.whole("id").map_or_else(|| identity::derived(name), |id| WebhookId(*id))
}

/// Reads one webhook and checks it against the forms.
pub(super) fn read_one(
    reader: &mut Reader<'_>,
    table: &Table,
    forms: &[Arc<Form>],
    defaults: &Defaults,
) -> Option<Webhook> {
    // every part is read, whatever is wrong with another
    let listened = listening::read(reader, table, forms);
    let payload_fields = payload_fields(reader, table, &listened.forms);
    let condition = condition::read(reader, table, "condition");
    let custom_json = custom_json(reader, table);
    let mail_exceptions_to = mail_exceptions_to(reader, table);
    let body = body(table);
    let callback = table.table("callback").and_then(|callback| callback::read(reader, callback, defaults));
    let signing_secrets = table.table("signature").map(|signature| secrets(reader, signature));
    let sending = sending(reader, table, defaults);
    let name = table.text("name")?.clone();
    super::name_fits(reader, table, &name);
    Some(Webhook {
        id: id_of(table, &name),
        origin: defaults.origin,
        name,
        description: table.text("description").cloned(),
        listens: listened.listens,
        condition,
        payload_fields,
        send_unchanged_fields: table.flag("send_unchanged_fields") == Some(&true),
        custom_json,
        mail_exceptions_to,
        exclude: exclude(table),
        body,
        account: defaults.account.clone(),
        enabled: table.flag("enabled") != Some(&false),
        format: table.word("format").unwrap_or(&format::DEFAULT),
        callback: callback?,
        signing_secrets: signing_secrets.unwrap_or_default(),
        policy: None,
        sending,
        retention: table.duration("retention").copied(),
    })
}

fn exclude(table: &Table) -> Exclude {
    let Some(table) = table.table("exclude") else { return Exclude::default() };
    let [origins, actors, marks] = ["origins", "actors", "marks"].map(|key| table.strings(key));
    Exclude { origins, actors, marks }
}

/// The words of `body.record_id`, and what they mean.
pub(super) const RECORD_ID: [(&str, RecordIdWith); 3] =
    [("create", RecordIdWith::Create), ("always", RecordIdWith::Always), ("never", RecordIdWith::Never)];

/// The words of `body.selections`, and what they mean.
pub(super) const SELECTIONS: [(&str, Selections); 3] =
    [("stored", Selections::Stored), ("label", Selections::Label), ("both", Selections::Both)];

fn body(table: &Table) -> BodyChoices {
    let Some(table) = table.table("body") else { return BodyChoices::default() };
    let record_id = RECORD_ID.iter().find(|(word, _)| table.word("record_id") == Some(word));
    let selections = SELECTIONS.iter().find(|(word, _)| table.word("selections") == Some(word));
    BodyChoices {
        record_id: record_id.map_or(RecordIdWith::Usual, |(_, which)| *which),
        selections: selections.map_or(Selections::Stored, |(_, how)| *how),
        skip_empty_updates: table.flag("skip_empty_updates") == Some(&true),
        attachments_as_references: table.flag("attachments_as_references") == Some(&true),
    }
}

fn payload_fields(reader: &mut Reader<'_>, table: &Table, forms: &[Arc<Form>]) -> Vec<String> {
    let path = join(&table.path, "payload_fields");
    let mut fields: Vec<String> = Vec::new();
    for (span, field) in table.texts("payload_fields") {
        let declared = || forms.iter().flat_map(|form| &form.fields);
        if fields.iter().any(|known| known == field) {
            let message = format!("field {field:?} stands here twice");
            reader.refuse(span, &path, message, "remove one of them".to_owned());
            continue;
        }
        let hidden = forms.iter().any(|form| form.hidden.iter().any(|column| column == field))
            && !declared().any(|declared| declared.name == field);
        if hidden {
            let message = format!("column {field:?} is hidden and leaves in no payload");
            reader.refuse(span, &path, message, "remove it here, or from the form's `hidden`".to_owned());
            continue;
        }
        let number: Option<u64> = field.parse().ok();
        let ids: Vec<String> = declared().filter_map(|field| field.id).map(|id| id.to_string()).collect();
        let unknown =
            number.is_some() && !declared().any(|declared| declared.id == number || declared.name == field);
        if unknown && !forms.is_empty() {
            let message = format!("no field of the webhook's forms has the id {field}");
            let remedy = suggest::remedy(field, ids.iter().map(String::as_str));
            reader.refuse(span, &path, message, remedy);
            continue;
        }
        fields.push(field.to_owned());
    }
    fields
}

fn custom_json(reader: &mut Reader<'_>, table: &Table) -> Option<String> {
    let json = table.json("custom_json")?;
    if let Some((message, remedy)) = too_large(json.len()) {
        reader.refuse(table.place("custom_json"), &join(&table.path, "custom_json"), message, remedy);
    }
    Some(json.clone())
}

fn mail_exceptions_to(reader: &mut Reader<'_>, table: &Table) -> Vec<String> {
    let path = join(&table.path, "mail_exceptions_to");
    let texts = table.texts("mail_exceptions_to");
    texts
        .filter(|(span, text)| mail::mailbox(reader, span.clone(), &path, text).is_some())
        .map(|(_, text)| text.to_owned())
        .collect()
}

/// What is wrong with a `custom_json` that did not come as TOML: the message and the remedy.
pub(super) fn custom_json_fault(json: Option<&serde_json::Value>) -> Option<(String, String)> {
    let json = json?;
    if !json.is_object() {
        return Some(("custom_json must be a JSON object".into(), "write it as {\"key\": value}".into()));
    }
    too_large(json.to_string().len())
}

fn too_large(bytes: usize) -> Option<(String, String)> {
    (bytes > CUSTOM_JSON_BYTES_MAX).then(|| {
        let remedy = "it travels in every delivery: leave out what the receiver can look up".to_owned();
        (format!("custom_json has {bytes} bytes, more than {CUSTOM_JSON_BYTES_MAX}"), remedy)
    })
}

fn secrets(reader: &mut Reader<'_>, table: &Table) -> Vec<Secret> {
    let path = join(&table.path, "secret");
    let mut secrets = Vec::new();
    for (span, value) in table.list("secret").into_iter().flatten() {
        let Some(Value::Secret(secret)) = value else { continue };
        if let Err(error) = signature::check(secret) {
            reader.refuse(span.clone(), &path, error.to_string(), error.hint().to_owned());
        }
        secrets.push(secret.clone());
    }
    if table.list("secret").is_some_and(Vec::is_empty) {
        let remedy = "add a secret, or remove the whole signature".to_owned();
        reader.refuse(table.place("secret"), &path, "there is no secret to sign with", remedy);
    }
    secrets
}

fn sending(reader: &mut Reader<'_>, table: &Table, defaults: &Defaults) -> Sending {
    let schedule =
        table.durations("schedule").map_or_else(|| defaults.schedule.clone(), |pauses| Schedule { pauses });
    super::schedule_fits(reader, table, "schedule");
    super::timeout_fits(reader, table);
    let backlog_bytes_max = table.size("backlog_bytes_max").copied();
    if let Some(bytes) = backlog_bytes_max.filter(|bytes| *bytes == 0 || *bytes > defaults.queue_bytes_max) {
        let message = if bytes == 0 {
            "a backlog of 0 bytes holds no delivery"
        } else {
            "one webhook's backlog may not be larger than the whole queue"
        };
        let remedy = "choose a part of `bytes_max` in [queue]; absent, it is a quarter".to_owned();
        reader.refuse(
            table.place("backlog_bytes_max"),
            &join(&table.path, "backlog_bytes_max"),
            message,
            remedy,
        );
    }
    Sending {
        schedule,
        on_exhausted: match table.word("on_exhausted") {
            Some(&"block") => OnExhausted::Block,
            _ => OnExhausted::Skip,
        },
        in_flight_max: table.whole("in_flight_max").map_or(1, |max| *max as usize),
        per_second_max: table.whole("per_second_max").and_then(|max| u32::try_from(*max).ok()),
        timeout: table.duration("timeout").copied().unwrap_or(defaults.timeout),
        backlog_bytes_max: backlog_bytes_max.unwrap_or(defaults.queue_bytes_max / 4),
    }
}
