//! The configuration as it takes effect, in TOML, secrets masked.

use super::field::MEANINGS;
use super::{Admin, Config, Secrets, write_duration, write_size};
use crate::admin::accounts::Role;
use crate::attachment::{Attachment, Elsewhere};
use crate::belonging::{self, Belonging, On};
use crate::form::{Field, Fold, Form, OldValues};
use crate::happening::Happenings;
use crate::proxy::{self, Proxy};
use crate::qualification::{Case, Dialect};
use crate::report::mail::{Privacy, Settings as Mail};
use crate::retry::Schedule;
use crate::secret::{MASK, Secret};
use crate::tls::server::Files;
use crate::webhook::{BodyChoices, CallbackTls, Events, Exclude, OnExhausted, Pem, Webhook};
use std::fmt::Write as _;
use std::sync::Arc;
use url::Url;

/// Writes a configuration so that reading it again gives the same, but for the secrets, which are masked.
pub fn show(config: &Config) -> String {
    let mut out = Toml(String::new());
    out.header("[source]");
    out.maybe("url", config.source.url.as_ref().map(|url| text(&without_password(url))));
    out.key("slot", text(&config.source.slot));
    out.key("publication", text(&config.source.publication));
    out.key("plugin", text(config.source.plugin));
    out.dialect(&config.source.dialect);
    out.header("[queue]");
    let path = std::path::absolute(&config.queue.path).unwrap_or_else(|_| config.queue.path.clone());
    out.key("path", text(&path.display().to_string()));
    out.key("bytes_max", size(config.queue.bytes_max));
    out.key("retention", duration(config.queue.retention));
    out.header("[capture]");
    out.key("staging_bytes_max", size(config.capture.staging_bytes_max));
    out.key("value_bytes_max", size(config.capture.value_bytes_max));
    out.key("attachments_bytes_max", size(config.capture.attachments_bytes_max));
    out.header("[dispatch]");
    out.key("in_flight_max", config.dispatch.in_flight_max.to_string());
    out.key("timeout", duration(config.dispatch.timeout));
    out.key("schedule", schedule(&config.dispatch.schedule));
    out.key("allow", list(config.dispatch.allow.iter().map(ToString::to_string)));
    out.key("grace", duration(config.dispatch.grace));
    let proxy = config.dispatch.proxy.as_ref();
    out.maybe("proxy", proxy.map(|proxy| text(&proxy.to_string())));
    out.key("own_proxies", config.dispatch.own_proxies.to_string());
    out.header("[admin]");
    out.admin(&config.admin);
    out.header("[secrets]");
    match &config.secrets {
        Secrets::Keys(keys) => out.key("key", list(keys.ids().map(|_| MASK.to_owned()))),
        Secrets::File(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            out.key("key_file", text(&path.display().to_string()));
        }
    }
    if let Some(mail) = &config.mail {
        out.mail(mail);
    }
    for form in config.forms.iter().filter(|form| form.belonging.is_none()) {
        out.form(form);
        out.rules(form);
        let is_child = |one: &&Arc<Form>| one.belonging.as_ref().is_some_and(|to| to.form == form.name);
        let (hops, children): (Vec<_>, Vec<_>) = config.forms.iter().filter(is_child).partition(|one| {
            matches!(one.belonging.as_ref().map(|to| &to.role), Some(belonging::Role::Hop { .. }))
        });
        for child in children {
            out.child(child, &hops);
            out.supplement(child);
        }
    }
    for webhook in config.webhooks.iter() {
        out.webhook(webhook, proxy);
    }
    out.0
}

struct Toml(String);

impl Toml {
    fn header(&mut self, header: &str) {
        let line = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{line}{header}");
    }

    fn key(&mut self, key: &str, value: impl AsRef<str>) {
        let _ = writeln!(self.0, "{key} = {}", value.as_ref());
    }

    fn maybe(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.key(key, value);
        }
    }

    fn dialect(&mut self, dialect: &Dialect) {
        let case = match dialect.case {
            Case::Database => "database",
            Case::Sensitive => "sensitive",
            Case::Insensitive => "insensitive",
        };
        self.key("case", text(case));
        // a zone that was read by its name has one
        self.maybe("time_zone", dialect.time_zone.iana_name().map(text));
        self.key("date_formats", list(dialect.date_formats.iter().cloned()));
    }

    fn admin(&mut self, admin: &Admin) {
        self.key("listen", text(&admin.listen.to_string()));
        self.key("allow_insecure", admin.allow_insecure.to_string());
        self.maybe("url", admin.settings.url.as_ref().map(|url| text(url.as_str())));
        self.maybe(
            "tls",
            admin.access.tls.as_ref().map(|Files { certificate, key }| {
                let [certificate, key] = [certificate, key].map(|path| Pem::File(path.clone()));
                files([("certificate", Some(&certificate)), ("key", Some(&key))])
            }),
        );
        let itrp = &admin.settings.itrp;
        let _ = writeln!(self.0, "[admin.itrp]");
        self.maybe("account", itrp.account.as_deref().map(text));
        self.key("create_status", itrp.create_status.as_u16().to_string());
        self.key("verification", itrp.verification.to_string());
        self.maybe("url", itrp.url.as_ref().map(|url| text(url.as_str())));
        for user in &admin.access.accounts.users {
            self.account("[[admin.users]]", &user.name, "password", user.role);
        }
        for token in &admin.access.accounts.tokens {
            self.account("[[admin.tokens]]", &token.name, "token", token.role);
        }
    }

    fn account(&mut self, header: &str, name: &str, secret: &str, role: Role) {
        let _ = writeln!(self.0, "{header}");
        self.key("name", text(name));
        self.key(secret, text(MASK));
        self.key("role", text(role.as_str()));
    }

    fn mail(&mut self, mail: &Mail) {
        self.header("[mail]");
        let host = if mail.host.contains(':') { format!("[{}]", mail.host) } else { mail.host.clone() };
        self.key("relay", text(&format!("{host}:{}", mail.port)));
        let privacy = match mail.privacy {
            Privacy::StartTls => "starttls",
            Privacy::Tls => "tls",
            Privacy::None => "none",
        };
        self.key("tls", text(privacy));
        self.maybe("username", mail.login.as_ref().map(|(user, _)| text(user)));
        self.maybe("password", mail.login.as_ref().map(|_| text(MASK)));
        self.key("from", text(&mail.from.to_string()));
        self.key("to", list(mail.to.iter().map(ToString::to_string)));
        self.key("every", duration(mail.every));
    }

    fn form(&mut self, form: &Form) {
        self.header("[[forms]]");
        self.key("name", text(&form.name));
        self.key("noun", text(&form.noun));
        self.table(form);
        self.columns("entry_id", &form.entry_id);
        self.maybe("record_id", form.record_id.as_deref().map(text));
        let old_values = match form.old_values {
            OldValues::Auto => "auto",
            OldValues::Log => "log",
            OldValues::None => "none",
        };
        self.key("old_values", text(old_values));
        let fold = match form.fold {
            Fold::Transaction => "transaction",
            Fold::Row => "row",
        };
        self.key("fold", text(fold));
        self.key("ignore", list(form.ignore.iter().cloned()));
        self.key("unset", list(form.unset.iter().cloned()));
        self.key("hidden", list(form.hidden.iter().cloned()));
        self.key("unchanged_updates", form.unchanged_updates.to_string());
        self.happenings(&form.happenings);
        let itrp = &form.itrp;
        let of_itrp = [
            ("status", &itrp.status),
            ("source", &itrp.source),
            ("sourceID", &itrp.source_id),
            ("team", &itrp.team),
            ("team_name", &itrp.team_name),
            ("member", &itrp.member),
            ("member_name", &itrp.member_name),
            ("canonical", &itrp.canonical),
            ("resource", &itrp.resource),
        ];
        for (key, value) in of_itrp {
            self.maybe(&format!("itrp.{key}"), value.as_deref().map(text));
        }
        self.maybe("where", form.entries.as_ref().map(|entries| text(entries.text())));
        if let Some(deleted) = &form.deleted {
            self.key("deleted.column", text(&deleted.column));
            self.columns("deleted.values", &deleted.values);
        }
        if !form.parts.is_empty() {
            let _ = writeln!(self.0, "[forms.parts]");
        }
        for part in &form.parts {
            self.key(&text(&part.name), text(&part.column));
        }
        if !form.fields.is_empty() {
            let _ = writeln!(self.0, "[forms.fields]");
        }
        for field in &form.fields {
            self.key(&text(&field.name), self::field(field));
        }
        if !form.attachments.each.is_empty() {
            let _ = writeln!(self.0, "[forms.attachments]");
        }
        for attachment in &form.attachments.each {
            self.key(&text(&attachment.field), self::attachment(attachment));
        }
    }

    /// A key with names of columns, where there are any.
    fn columns(&mut self, key: &str, names: &[String]) {
        if !names.is_empty() {
            self.key(key, list(names.iter().cloned()));
        }
    }

    fn child(&mut self, child: &Form, hops: &[&Arc<Form>]) {
        let Some(belonging) = &child.belonging else { return };
        let belonging::Role::Child { verb, on } = &belonging.role else { return };
        self.header("[[forms.children]]");
        self.key("verb", text(verb.as_str()));
        self.table(child);
        self.reference(belonging);
        self.columns("references", &belonging.references);
        self.key(
            "on",
            text(match on {
                On::Insert => "insert",
                On::Update => "update",
                On::Delete => "delete",
            }),
        );
        self.maybe("where", child.entries.as_ref().map(|entries| text(entries.text())));
        self.columns("entry_id", &child.entry_id);
        for (key, names) in [("hidden", &child.hidden), ("unset", &child.unset), ("ignore", &child.ignore)] {
            self.columns(key, names);
        }
        self.maybe("actor.column", child.happenings.actor.as_deref().map(text));
        self.maybe("actor.name", child.happenings.actor_name.as_deref().map(text));
        if !child.fields.is_empty() {
            let _ = writeln!(self.0, "[forms.children.fields]");
        }
        for field in &child.fields {
            self.key(&text(&field.name), self::field(field));
        }
        for name in &belonging.through {
            let hop = hops.iter().find(|hop| hop.name == *name);
            let Some((hop, belonging)) = hop.and_then(|hop| Some((hop, hop.belonging.as_ref()?))) else {
                continue;
            };
            self.header("[[forms.children.through]]");
            self.table(hop);
            if let belonging::Role::Hop { by } = &belonging.role {
                self.columns("key", by);
            }
            self.reference(belonging);
        }
    }

    fn rules(&mut self, form: &Form) {
        for rule in &form.happenings.rules {
            self.header("[[forms.rules]]");
            self.key("name", text(rule.name.as_str()));
            self.key("events", list(rule.verbs.iter().map(ToString::to_string)));
            self.maybe("condition", rule.condition.as_ref().map(|condition| text(condition.text())));
            self.key("webhooks", list(rule.webhooks.iter().cloned()));
            self.key("payload", text(&serde_json::Value::Object(rule.payload.0.clone()).to_string()));
        }
    }

    fn supplement(&mut self, form: &Form) {
        let Some(belonging) = &form.belonging else { return };
        let belonging::Role::Supplement(supplement) = &belonging.role else { return };
        let key = if supplement.attribute.is_some() { "attributes" } else { "extensions" };
        self.header(&format!("[[forms.{key}]]"));
        self.table(form);
        self.reference(belonging);
        self.columns("references", &belonging.references);
        self.columns("key", &form.entry_id);
        self.columns("unset", &form.unset);
        self.maybe("where", form.entries.as_ref().map(|entries| text(entries.text())));
        if let Some(attribute) = &supplement.attribute {
            self.key("attribute", text(attribute));
            self.columns("value", supplement.fields.first().map_or(&[], |field| &field.columns));
        }
        let _ = writeln!(self.0, "[forms.{key}.fields]");
        for field in &supplement.fields {
            let named = field.attribute.as_ref().or(field.columns.first()).map_or("", String::as_str);
            self.key(&text(&field.name), text(named));
        }
    }

    fn table(&mut self, form: &Form) {
        let table: Vec<_> = form.schema.iter().chain([&form.table]).map(|part| relation(part)).collect();
        self.key("table", text(&table.join(".")));
    }

    fn reference(&mut self, belonging: &Belonging) {
        self.key("parent", list(belonging.parent.iter().cloned()));
        if let Some((column, value)) = &belonging.kind {
            self.key("kind.column", text(column));
            self.key("kind.value", text(value));
        }
        self.maybe("prefix", belonging.prefix.as_deref().map(text));
    }

    fn happenings(&mut self, happenings: &Happenings) {
        let Happenings { transitions, emitted, rules: _, merges, actor, actor_name, children: _ } =
            happenings;
        let of_merges = [("origins", &merges.origins), ("marker", &merges.markers)];
        for (key, names) in of_merges.into_iter().filter(|(_, names)| !names.is_empty()) {
            self.key(&format!("merge.{key}"), list(names.iter().cloned()));
        }
        self.maybe("merge.delete_insert", merges.delete_insert.map(|flag| flag.to_string()));
        self.maybe("merge.target", merges.target.as_deref().map(text));
        self.maybe("merge.references", merges.references.as_deref().map(text));
        self.maybe("actor.column", actor.as_deref().map(text));
        self.maybe("actor.name", actor_name.as_deref().map(text));
        if !emitted.is_empty() {
            self.key("emitted", list(emitted.iter().map(ToString::to_string)));
        }
        let transitions = transitions.iter().map(|transition| {
            let mut keys = vec![
                format!("verb = {}", text(transition.verb.as_str())),
                format!("field = {}", text(&transition.field)),
            ];
            for (key, values) in [("from", &transition.from), ("to", &transition.to)] {
                if !values.is_empty() {
                    keys.push(format!("{key} = {}", list(values.iter().cloned())));
                }
            }
            format!("{{ {} }}", keys.join(", "))
        });
        let transitions: Vec<String> = transitions.collect();
        if !transitions.is_empty() {
            self.key("transitions", format!("[{}]", transitions.join(", ")));
        }
    }

    fn webhook(&mut self, webhook: &Webhook, default: Option<&Proxy>) {
        self.header("[[webhooks]]");
        self.key("name", text(&webhook.name));
        self.key("id", webhook.id.to_string());
        self.maybe("description", webhook.description.as_deref().map(text));
        match webhook.events() {
            Events::Alike(verbs) => {
                self.key("forms", list(webhook.forms().map(str::to_owned)));
                self.key("events", list(verbs.iter().map(ToString::to_string)));
            }
            Events::Pairs(pairs) => self.key("events", list(pairs.into_iter())),
        }
        self.maybe("condition", webhook.condition.as_ref().map(|condition| text(condition.text())));
        self.key("payload_fields", list(webhook.payload_fields.iter().cloned()));
        self.key("send_unchanged_fields", webhook.send_unchanged_fields.to_string());
        self.maybe("custom_json", webhook.custom_json.as_deref().map(text));
        self.maybe(
            "mail_exceptions_to",
            (!webhook.mail_exceptions_to.is_empty())
                .then(|| list(webhook.mail_exceptions_to.iter().cloned())),
        );
        let Exclude { origins, actors, marks } = &webhook.exclude;
        for (key, names) in [("origins", origins), ("actors", actors), ("marks", marks)] {
            if !names.is_empty() {
                self.key(&format!("exclude.{key}"), list(names.iter().cloned()));
            }
        }
        let BodyChoices { record_id, selections, skip_empty_updates, attachments_as_references } =
            webhook.body;
        let word = super::webhook::RECORD_ID.iter().find(|(_, which)| *which == record_id);
        self.maybe("body.record_id", word.map(|(word, _)| text(word)));
        let word = super::webhook::SELECTIONS.iter().find(|(_, how)| *how == selections);
        self.maybe("body.selections", word.map(|(word, _)| text(word)));
        self.key("body.skip_empty_updates", skip_empty_updates.to_string());
        self.key("body.attachments_as_references", attachments_as_references.to_string());
        self.key("enabled", webhook.enabled.to_string());
        self.key("format", text(webhook.format));
        let sending = &webhook.sending;
        self.key("schedule", schedule(&sending.schedule));
        let on_exhausted = match sending.on_exhausted {
            OnExhausted::Skip => "skip",
            OnExhausted::Block => "block",
        };
        self.key("on_exhausted", text(on_exhausted));
        self.key("in_flight_max", sending.in_flight_max.to_string());
        self.maybe("per_second_max", sending.per_second_max.map(|max| max.to_string()));
        self.key("timeout", duration(sending.timeout));
        self.key("backlog_bytes_max", size(sending.backlog_bytes_max));
        self.maybe("retention", webhook.retention.map(duration));
        let _ = writeln!(self.0, "[webhooks.callback]");
        self.key("url", text(webhook.callback.url.as_str()));
        self.key("authentication", authentication(webhook));
        if !webhook.callback.headers.is_empty() {
            let headers = webhook.callback.headers.iter();
            let headers = headers.map(|(name, value)| format!("{} = {}", text(name), text(value)));
            self.key("headers", format!("{{ {} }}", headers.collect::<Vec<_>>().join(", ")));
        }
        match webhook.callback.proxy.as_ref() {
            proxy if proxy == default => {}
            None => self.key("proxy", text(proxy::NONE)),
            Some(proxy) => self.key("proxy", text(&proxy.to_string())),
        }
        self.maybe("tls", webhook.callback.tls.as_ref().map(tls));
        if !webhook.signing_secrets.is_empty() {
            let _ = writeln!(self.0, "[webhooks.signature]");
            self.key("secret", list(webhook.signing_secrets.iter().map(|_| MASK.to_owned())));
        }
    }
}

fn field(field: &Field) -> String {
    let mut settings = vec![format!("column = {}", text(&field.column))];
    settings.extend(field.id.map(|id| format!("id = {id}")));
    if !field.labels.is_empty() {
        let labels = field.labels.iter().map(|(stored, label)| format!("{} = {}", text(stored), text(label)));
        settings.push(format!("labels = {{ {} }}", labels.collect::<Vec<_>>().join(", ")));
    }
    let kind = MEANINGS.iter().find(|(_, meaning)| Some(*meaning) == field.meaning);
    settings.extend(kind.map(|(word, _)| format!("kind = {}", text(word))));
    if settings.len() == 1 { text(&field.column) } else { format!("{{ {} }}", settings.join(", ")) }
}

fn attachment(attachment: &Attachment) -> String {
    let Attachment { field: _, name, media_type, size, elsewhere, bytes_max } = attachment;
    let mut settings = vec![format!("bytes_max = {}", self::size(*bytes_max))];
    for (key, column) in [("name", name), ("type", media_type), ("size", size)] {
        settings.extend(column.as_ref().map(|column| format!("{key} = {}", text(column))));
    }
    if let Some(Elsewhere { schema, table, key, column }) = elsewhere {
        let parts: Vec<_> = schema.iter().chain([table]).map(|part| relation(part)).collect();
        for (name, value) in [("table", &parts.join(".")), ("key", key), ("column", column)] {
            settings.push(format!("{name} = {}", text(value)));
        }
    }
    format!("{{ {} }}", settings.join(", "))
}

/// The names of headers are shown, every value is masked.
fn authentication(webhook: &Webhook) -> String {
    let authentication = &webhook.callback.authentication;
    let masked = |name: &String| format!("{} = {}", text(name), text(MASK));
    let settings: Vec<_> = authentication.settings.keys().map(masked).collect();
    let settings = match authentication.scheme {
        _ if settings.is_empty() => String::new(),
        "HEADERS" => format!(", headers = {{ {} }}", settings.join(", ")),
        _ => format!(", {}", settings.join(", ")),
    };
    format!("{{ type = {}{settings} }}", text(authentication.scheme))
}

fn tls(tls: &CallbackTls) -> String {
    let CallbackTls { authorities, client } = tls;
    let (certificate, key) = client.as_ref().map_or((None, None), |(one, other)| (Some(one), Some(other)));
    files([("authorities", authorities.as_ref()), ("certificate", certificate), ("key", key)])
}

fn files<const N: usize>(files: [(&str, Option<&Pem>); N]) -> String {
    let shown = |(name, pem): (&str, Option<&Pem>)| {
        let shown = match pem? {
            Pem::File(path) => path.display().to_string(),
            Pem::Text(_) => MASK.to_owned(),
        };
        Some(format!("{name} = {}", text(&shown)))
    };
    format!("{{ {} }}", files.into_iter().filter_map(shown).collect::<Vec<_>>().join(", "))
}

/// A URL without its password; everything else may hide one anywhere and is masked as a whole.
fn without_password(url: &Secret) -> String {
    match Url::parse(url.expose()) {
        // libpq knows no fragments: what stands behind a # is a part of a password
        Ok(mut parsed) if parsed.query().is_none() && parsed.fragment().is_none() => {
            if parsed.password().is_some() && parsed.set_password(Some(MASK)).is_err() {
                return MASK.to_owned();
            }
            parsed.to_string()
        }
        _ => MASK.to_owned(),
    }
}

/// A part of a table's name.
fn relation(part: &str) -> String {
    if part.contains(['.', '"']) { format!("\"{}\"", part.replace('"', "\"\"")) } else { part.to_owned() }
}

fn text(text: &str) -> String {
    let mut quoted = String::from("\"");
    // texts are completed from the environment when read, and this one is complete
    for character in text.replace("${", "$${").chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

fn list(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<_> = texts.map(|element| text(&element)).collect();
    format!("[{}]", texts.join(", "))
}

fn schedule(schedule: &Schedule) -> String {
    list(schedule.pauses.iter().map(|pause| write_duration(*pause)))
}

fn duration(duration: std::time::Duration) -> String {
    text(&write_duration(duration))
}

fn size(bytes: u64) -> String {
    text(&write_size(bytes))
}
