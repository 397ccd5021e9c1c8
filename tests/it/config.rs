//! The configuration file: what is taken, what is refused, and how that is said.

use std::path::Path;
use std::time::Duration;
use walhook::admin::accounts::Role;
use walhook::app::config::{Config, Problems, Secrets};
use walhook::event::Verb;
use walhook::form::{Fold, Meaning, OldValues};
use walhook::qualification::{Case, Dialect};
use walhook::webhook::{Listening, OnExhausted, Pem, WebhookId};

/// A sealing key.
const KEY: &str = "whk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn environment(name: &str) -> Option<String> {
    match name {
        "PASSWORD" => Some("geheim\"\\".to_owned()),
        "SECRET" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        "WALHOOK_KEY" => Some(KEY.to_owned()),
        "HOST" => Some("receiver.example".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(Path::new("etc/walhook.toml"), text, &environment)
}

/// A file with everything else right, and the given lines in its form and its webhook.
fn with(form: &str, webhook: &str) -> String {
    format!(
        "[[forms]]\nname = \"HPD:Help Desk\"\ntable = \"helpdesk.incident\"\n{form}\n[[webhooks]]\n\
         name = \"Escalations\"\nform = \"HPD:Help Desk\"\nevents = [\"create\"]\n\
         callback.url = \"https://receiver.example/hook\"\n{webhook}\n"
    )
}

/// The problems of a file, one line each: line:column, message, remedy.
#[track_caller]
fn problems(text: &str) -> Vec<String> {
    let Err(problems) = parse(text) else { panic!("the file was taken:\n{text}") };
    problems
        .iter()
        .map(|problem| {
            let (line, column) = problems.place(problem);
            let remedy = problem.remedy.as_ref().map_or(String::new(), |remedy| format!(" -> {remedy}"));
            format!("{line}:{column} {}: {}{remedy}", problem.key, problem.message)
        })
        .collect()
}

/// That a file has one problem, and what is said about it.
#[track_caller]
fn check(text: &str, wanted: &str) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains(wanted), "wanted: {wanted}\n found: {}", found[0]);
}

#[test]
fn every_key_of_the_main_path_is_read() {
    let text = r#"
        [source]
        url = "postgres://walhook@db:5432/helpdesk"
        slot = "helpdesk_slot"
        publication = "helpdesk_pub"
        plugin = "pgoutput"
        case = "insensitive"
        time_zone = "europe/berlin"
        date_formats = ["%d.%m.%Y %H:%M", "%d.%m.%Y"]
        [queue]
        path = "data/queue.db"
        bytes_max = "1GiB"
        retention = "2d12h"
        [capture]
        staging_bytes_max = "2GB"
        value_bytes_max = 1000
        [dispatch]
        in_flight_max = 77
        timeout = "20s"
        schedule = ["1s", "1m30s"]
        allow = ["10.0.0.0/8", "fd00::/8", "192.168.1.1"]
        grace = "3s"
        [admin]
        listen = "[::1]:9000"
        [[forms]]
        name = "HPD:Help Desk"
        noun = "request"
        table = "helpdesk.incident"
        entry_id = ["tenant", "number"]
        record_id = "guid"
        old_values = "log"
        fold = "row"
        ignore = ["last_seen_at"]
        unset = ["1970-01-01 00:00:00"]
        hidden = ["password_hash"]
        unchanged_updates = true
        merge.delete_insert = false
        where = "'Type' = \"incident\""
        [forms.parts]
        "Status History.Closed.TIME" = "closed_at"
        "Cost.TYPE" = "cost_currency"
        [forms.fields]
        "Short Description" = "short_description"
        "Status" = { column = "status", id = 7, labels = { 5 = "Closed", 0 = "New" } }
        "Urgency" = { column = "urgency", labels = ["Low", "High"] }
        "Work Log" = { column = "work_log", kind = "diary" }
        [[forms]]
        table = "Person"
        entry_id = "id"
        [[webhooks]]
        name = "Escalations"
        id = 42
        description = "to the pager"
        forms = ["HPD:Help Desk", "Person"]
        events = ["Delete", "create", "update", "merge"]
        condition = """'Status' != "Closed"
        AND 'DB.Status' = 0"""
        payload_fields = ["Short Description", "7"]
        send_unchanged_fields = true
        custom_json = { action = "AddToLogicalGroup", n = 1, list = [1.5, true] }
        enabled = false
        format = "arsys"
        schedule = ["2s"]
        on_exhausted = "block"
        in_flight_max = 3
        per_second_max = 50
        timeout = "5s"
        backlog_bytes_max = "10MiB"
        [webhooks.callback]
        url = "https://${HOST}/hook"
        authentication = { type = "basic", username = "walhook", password = "${PASSWORD}" }
        [webhooks.signature]
        secret = ["${SECRET}", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAA"]
        [[webhooks]]
        name = "Plain"
        form = "Person"
        events = ["create"]
        custom_json = '{"n": 1.00000000000000000001}'
        condition = "  "
        callback.url = "http://localhost:8000/"
    "#;
    let config = parse(text).unwrap();
    assert_eq!(config.source.url.as_ref().unwrap().expose(), "postgres://walhook@db:5432/helpdesk");
    assert_eq!((&*config.source.slot, &*config.source.publication), ("helpdesk_slot", "helpdesk_pub"));
    let dialect = &config.source.dialect;
    assert_eq!((dialect.case, dialect.server.as_str()), (Case::Insensitive, "helpdesk_slot"));
    assert_eq!(dialect.time_zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(dialect.date_formats, ["%d.%m.%Y %H:%M", "%d.%m.%Y"]);
    assert_eq!(config.queue.path, Path::new("etc/data/queue.db"));
    assert_eq!(config.queue.bytes_max, 1 << 30);
    assert_eq!(config.queue.retention, Duration::from_secs(60 * 3600));
    assert_eq!(config.capture.staging_bytes_max, 2_000_000_000);
    assert_eq!(config.capture.value_bytes_max, 1_000);
    assert_eq!(config.dispatch.in_flight_max, 77);
    assert_eq!(config.dispatch.schedule.pauses, [Duration::from_secs(1), Duration::from_secs(90)]);
    let allow: Vec<_> = config.dispatch.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["10.0.0.0/8", "fd00::/8", "192.168.1.1/32"]);
    assert_eq!(config.dispatch.grace, Duration::from_secs(3));
    assert_eq!(config.admin.listen.to_string(), "[::1]:9000");

    let [desk, person] = &config.forms[..] else { panic!("{:?}", config.forms) };
    assert_eq!((&*desk.name, &*desk.noun), ("HPD:Help Desk", "request"));
    assert_eq!((desk.schema.as_deref(), &*desk.table), (Some("helpdesk"), "incident"));
    assert_eq!(desk.entry_id, ["tenant", "number"]);
    assert_eq!(desk.record_id.as_deref(), Some("guid"));
    assert_eq!((desk.old_values, desk.fold), (OldValues::Log, Fold::Row));
    assert_eq!(
        (&desk.ignore[..], &desk.hidden[..]),
        (&["last_seen_at".into()][..], &["password_hash".into()][..])
    );
    assert_eq!(desk.unset, ["1970-01-01 00:00:00"]);
    assert!(desk.unchanged_updates);
    assert_eq!(desk.happenings.merges.delete_insert, Some(false));
    let fields: Vec<_> = desk.fields.iter().map(|field| (&*field.name, &*field.column, field.id)).collect();
    let named = [("Urgency", "urgency", None), ("Work Log", "work_log", None)];
    assert_eq!(
        fields[..2],
        [("Short Description", "short_description", None), ("Status", "status", Some(7))]
    );
    assert_eq!(fields[2..], named);
    let labels = |field: usize| {
        let labels = desk.fields[field].labels.iter();
        labels.map(|(stored, label)| format!("{stored}={label}")).collect::<Vec<_>>()
    };
    assert_eq!(labels(1), ["5=Closed", "0=New"], "in the order of the file");
    assert_eq!(labels(2), ["0=Low", "1=High"]);
    assert_eq!(desk.fields.iter().filter_map(|field| field.meaning).collect::<Vec<_>>(), [Meaning::Diary]);
    assert_eq!(desk.entries.as_ref().unwrap().text(), "'Type' = \"incident\"");
    let parts: Vec<_> = desk.parts.iter().map(|part| (&*part.name, &*part.column)).collect();
    assert_eq!(parts, [("Status History.Closed.TIME", "closed_at"), ("Cost.TYPE", "cost_currency")]);
    assert!(desk.dialect == *dialect && person.dialect == *dialect);
    assert_eq!(person.entries, None);
    assert_eq!((&*person.name, &*person.noun, person.schema.as_deref()), ("Person", "person", None));
    assert_eq!(person.entry_id, ["id"]);

    let webhook = config.webhooks.find(WebhookId(42)).unwrap();
    assert_eq!((&*webhook.name, webhook.description.as_deref()), ("Escalations", Some("to the pager")));
    let forms = [("HPD:Help Desk", &*desk.noun), ("Person", "person")];
    assert_eq!(webhook.listens, forms.map(|(form, noun)| Listening::to(form, noun, &Verb::OF_ROWS)));
    let condition = webhook.condition.as_ref().unwrap().text();
    assert_eq!(
        condition.lines().map(str::trim).collect::<Vec<_>>(),
        ["'Status' != \"Closed\"", "AND 'DB.Status' = 0"]
    );
    assert_eq!(webhook.payload_fields, ["Short Description", "7"]);
    assert!(webhook.send_unchanged_fields && !webhook.enabled);
    let custom = r#"{"action":"AddToLogicalGroup","list":[1.5,true],"n":1}"#;
    assert_eq!(webhook.custom_json.as_deref(), Some(custom));
    assert_eq!(webhook.format, "arsys");
    assert_eq!(webhook.callback.url.as_str(), "https://receiver.example/hook");
    assert_eq!(webhook.callback.authentication.scheme, "BASIC");
    assert_eq!(webhook.callback.authentication.settings["password"].expose(), "geheim\"\\");
    assert_eq!(webhook.signing_secrets.len(), 2);
    assert_eq!(webhook.sending.schedule.pauses, [Duration::from_secs(2)]);
    assert_eq!(webhook.sending.on_exhausted, OnExhausted::Block);
    assert_eq!((webhook.sending.in_flight_max, webhook.sending.per_second_max), (3, Some(50)));
    assert_eq!(webhook.sending.timeout, Duration::from_secs(5));
    assert_eq!(webhook.sending.backlog_bytes_max, 10 << 20);

    let plain = config.webhooks.iter().find(|webhook| webhook.name == "Plain").unwrap();
    assert!(plain.id > WebhookId(500_000_000_000) && plain.id < WebhookId(1_000_000_000_000));
    assert_eq!(plain.custom_json.as_deref(), Some(r#"{"n": 1.00000000000000000001}"#));
    assert_eq!(plain.condition, None, "a blank condition is none");
    assert_eq!((plain.format, plain.callback.authentication.scheme), ("native", "NO_AUTH"));
    assert_eq!(plain.sending.schedule, config.dispatch.schedule);
    assert_eq!(plain.sending.timeout, Duration::from_secs(20));
    assert_eq!(plain.sending.backlog_bytes_max, 1 << 28);
    assert!(plain.enabled && plain.signing_secrets.is_empty());
}

#[test]
fn an_empty_file_has_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!((&*config.source.slot, &*config.source.publication), ("walhook", "walhook"));
    assert_eq!((config.source.url, config.source.plugin), (None, "pgoutput"));
    assert_eq!(config.queue.path, Path::new("etc/walhook.db"));
    assert_eq!(config.queue.bytes_max, 10 << 30);
    assert_eq!(config.queue.retention, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(config.dispatch.in_flight_max, 1024);
    let pauses: Vec<_> = config.dispatch.schedule.pauses.iter().map(Duration::as_secs).collect();
    assert_eq!(pauses, [5, 30, 120, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400]);
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:8640");
    assert!(config.forms.is_empty() && config.webhooks.is_empty());
    assert_eq!(*config.source.dialect, Dialect::default());
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_the_file() {
    let text = "[source]\nslott = \"a\"\nplugin = \"wal2json\"\n[queue]\nbytes_max = \"10G\"\n[[forms]]\n\
                table = \"a.b.c\"\nchildren = \"x\"\n[[webhooks]]\nname = \"w\"\nform = \"no\"\nevents = []\n\
                callback = { url = \"ftp://x\" }\n[dispatch]\nin_flight_max = 0\n";
    let found = problems(text);
    let places: Vec<_> = found.iter().map(|problem| problem.split(' ').next().unwrap()).collect();
    assert_eq!(
        places,
        ["2:1", "3:10", "5:13", "7:9", "8:12", "11:8", "12:10", "13:20", "15:17"],
        "{found:#?}"
    );
}

#[test]
fn unknown_keys_are_refused_with_what_was_meant() {
    check("[source]\nslott = \"a\"", "2:1 source.slott: unknown key \"slott\" -> did you mean \"slot\"?");
    check("[sources]\nslot = \"a\"", "1:2 sources: unknown key \"sources\" -> did you mean \"source\"?");
    check(&with("fieldz.a = \"b\"", ""), "did you mean \"fields\"?");
    check(&with("", "callback.authentification.type = \"BASIC\""), "did you mean \"authentication\"?");
    check(&with("", "events-max = 1"), "unknown key \"events-max\"");
}

#[test]
fn what_is_planned_is_refused_and_not_ignored() {
    for (form, webhook, key) in [
        ("old_values = \"image\"", "", "image"),
        ("", "callback.authentication = { type = \"OAUTH2\" }", "OAUTH2"),
    ] {
        check(&with(form, webhook), &format!("\"{key}\" is not yet supported"));
    }
    check("[images]\nx = 1", "\"images\" is not yet supported");
    check("[source]\nplugin = \"wal2json\"", "\"wal2json\" is not yet supported");
}

#[test]
fn forms_are_checked() {
    check("[[forms]]\nname = \"x\"", "1:1 forms[1].table: \"table\" is missing -> add `table = …`");
    check("[forms]\ntable = \"x\"", "forms must be a list of tables -> write [[forms]]");
    check(
        "[[forms]]\ntable = \"a\"\n[[forms]]\ntable = \"b.a\"",
        "4:9 forms[2].name: two forms are named \"a\"",
    );
    check(&with("noun = \"Help Desk\"", ""), "write \"help_desk\"");
    check(
        &with("hidden = [\"a\"]\nentry_id = \"a\"", ""),
        "is hidden, but would leave in every delivery as entry_id",
    );
    check(&with("hidden = [\"a\"]\nfields.A = \"a\"", ""), "column \"a\" is hidden and cannot be a field");
    check(&with("hidden = [\"a\", \"a\"]", ""), "stands here twice");
    check(
        &with("fields.A = \"a\"\nfields.B = \"a\"", ""),
        "5:12 forms[1].fields.B: column \"a\" is field \"A\" already",
    );
    check(
        &with("fields.A = { column = \"a\", id = 1 }\nfields.B = { column = \"b\", id = 1 }", ""),
        "field \"A\" has this id already",
    );
    check(&with("fields.A = { id = 1 }", ""), "\"column\" is missing");
    check(
        &with("fields.A = { column = \"a\", labels = [\"New\", \"Old\", \"New\"] }", ""),
        "4:52 forms[1].fields.A.labels: 0 has the label \"New\" already -> give one",
    );
    check(&with("fields.A = { column = \"a\", labels = {} }", ""), "a selection has at least one label");
    check(
        &with("fields.A = { column = \"a\", labels = { 0 = 1 } }", ""),
        "labels.0 must be a text in quotes",
    );
    check(&with("fields.A = { column = \"a\", labels = 1 }", ""), "must be a table or a list");
    check(
        &with("fields.A = { column = \"a\", labels = [\"x\"], kind = \"text\" }", ""),
        "4:51 forms[1].fields.A.kind: a field with `labels` is a selection and has no other `kind`",
    );
    check(&with("fields.A = { column = \"a\", kind = \"dairy\" }", ""), "did you mean \"diary\"?");
    check(
        &with("fields.A = { column = \"a\", labels = { 0 = \"x\", 0 = \"y\" } }", ""),
        "this is not TOML: duplicate key",
    );
    check(&with("hidden = [\"c\"]\nparts.\"A.TYPE\" = \"c\"", ""), "is hidden and cannot be part of a field");
    check(
        &with("parts.\"A.TYPE\" = \"c\"\nfields.\"A.TYPE\" = \"d\"", ""),
        "4:7 forms[1].parts.\"A.TYPE\": a field is named \"A.TYPE\" already",
    );
    check(&with("unset = [1]", ""), "must be a text in quotes, not a TOML integer");
}

#[test]
fn webhooks_are_checked() {
    let webhook = |lines: &str| format!("[[forms]]\ntable = \"incident\"\n[[webhooks]]\n{lines}");
    check(
        &webhook("name = \"w\"\nform = \"incidnt\"\nevents = [\"create\"]\ncallback.url = \"http://x\""),
        "5:8 webhooks[1].form: there is no form \"incidnt\" -> did you mean \"incident\"?",
    );
    check(
        &webhook("name = \"w\"\nevents = [\"create\"]\ncallback.url = \"http://x\""),
        "listens to no form -> add `form = \"incident\"`",
    );
    check(
        &webhook("form = \"incident\"\nevents = [\"create\"]\ncallback.url = \"http://x\""),
        "webhooks[1].name: \"name\" is missing",
    );
    check(
        &webhook("name = \"w\"\nform = \"incident\"\nevents = [\"create\"]"),
        "webhooks[1].callback: \"callback\" is missing",
    );
    check(
        &webhook("name = \"w\"\nform = \"incident\"\nevents = [\"creat\"]\ncallback.url = \"http://x\""),
        "\"creat\" is no event of form \"incident\" -> did you mean \"create\"?",
    );
    check(&with("", "forms = [\"HPD:Help Desk\"]"), "either `form` or `forms`");
    check(&with("", "payload_fields = [\"a\", \"a\"]"), "field \"a\" stands here twice");
    check(&with("hidden = [\"a\"]", "payload_fields = [\"a\"]"), "is hidden and leaves in no payload");
    check(
        &with("fields.S = { column = \"s\", id = 7 }", "payload_fields = [\"8\"]"),
        "no field of the webhook's forms has the id 8 -> did you mean \"7\"?",
    );
    check(&with("", "custom_json = \"[1]\""), "must be a JSON object");
    check(&with("", "custom_json = '{\"a\": }'"), "is not JSON, at line 1, column 7");
    check(&with("", &format!("custom_json.a = \"{}\"", "x".repeat(65_536))), "more than 65536");
    check(&with("", "id = 1000000000000"), "must be from 1 to 999999999999");
    check(&with("", "backlog_bytes_max = \"11GiB\""), "may not be larger than the whole queue");
    check(&with("", "schedule = [\"0s\"]"), "a pause between attempts is longer than nothing");
    check(
        &with("", "timeout = 30"),
        "must be a span of time in quotes, not a TOML integer -> write a number and",
    );
    check(&with("", "per_second_max = 0"), "must be from 1 to 1000000");
    check(&with("", "format = \"nativ\""), "does not know \"nativ\" -> did you mean \"native\"?");
    let twice = with(
        "",
        "[[webhooks]]\nname = \"Escalations\"\nform = \"HPD:Help Desk\"\nevents = [\"delete\"]\n\
                          callback.url = \"http://x\"",
    );
    check(&twice, "11:8 webhooks[2].name: two webhooks are named \"Escalations\"");
    let clash = with(
        "",
        "id = 7\n[[webhooks]]\nname = \"b\"\nid = 7\nform = \"HPD:Help Desk\"\n\
                          events = [\"delete\"]\ncallback.url = \"http://x\"",
    );
    check(&clash, "both have the number 7");
}

#[test]
fn urls_must_be_absolute_and_without_credentials() {
    let url = |url: &str| with("", "").replace("https://receiver.example/hook", url);
    check(&url("receiver.example/hook"), "this is no URL: relative URL without a base");
    check(&url("http://"), "this is no URL: empty host");
    check(&url("file:///etc/passwd"), "deliveries go by http or https, not by \"file\"");
    check(
        &url("https://user:geheim@x/"),
        "holds no credentials -> write `authentication = { type = \"BASIC\"",
    );
    check(&url("https://x/#a"), "a fragment is never sent");
}

#[test]
fn certificates_of_an_endpoint_are_files_beside_the_configuration() {
    let tls = |keys: &str| with("", &format!("callback.tls = {{ {keys} }}"));
    let file = |path: &str| Pem::File(path.into());
    let all = tls("authorities = \"ca.pem\", certificate = \"/etc/us.pem\", key = \"us.key\"");
    let tls_of = parse(&all).unwrap().webhooks.iter().next().unwrap().callback.tls.clone().unwrap();
    assert_eq!(tls_of.authorities.unwrap(), file("etc/ca.pem"));
    assert_eq!(tls_of.client.unwrap(), (file("/etc/us.pem"), file("etc/us.key")));
    check(&tls("certificate = \"us.pem\""), "there is a certificate and no key -> add `key`");
    check(&tls("key = \"us.key\""), "there is a key and no certificate -> add `certificate`");
    check(&tls("ca = \"ca.pem\""), "unknown key");
    check(&all.replace("https://", "http://"), "`tls` is for https, and the URL says http");
}

const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo";
const TOKEN_HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// `[admin]` with these keys, a user and a token.
fn admin(keys: &str) -> String {
    format!(
        "[admin]\n{keys}\n[[admin.users]]\nname = \"ann\"\npassword = \"{PASSWORD_HASH}\"\nrole = \"admin\"\n\
         [[admin.tokens]]\nname = \"ci\"\ntoken = \"{TOKEN_HASH}\"\nrole = \"viewer\"\n"
    )
}

#[test]
fn accounts_and_the_listener_are_read_and_shown_masked() {
    let keys = "listen = \"0.0.0.0:8640\"\ntls = { certificate = \"us.pem\", key = \"/etc/us.key\" }";
    let config = parse(&admin(keys)).unwrap();
    let tls = config.admin.access.tls.as_ref().unwrap();
    assert_eq!(
        (tls.certificate.as_path(), tls.key.as_path()),
        (Path::new("etc/us.pem"), Path::new("/etc/us.key"))
    );
    let accounts = &config.admin.access.accounts;
    assert_eq!((accounts.users[0].name.as_str(), accounts.users[0].role), ("ann", Role::Admin));
    assert_eq!((accounts.tokens[0].name.as_str(), accounts.tokens[0].role), ("ci", Role::Viewer));
    let shown = walhook::app::config::show(&config);
    assert!(!shown.contains("argon2") && !shown.contains("sha256"), "{shown}");
    let again = shown
        .replace("password = \"********\"", &format!("password = \"{PASSWORD_HASH}\""))
        .replace("token = \"********\"", &format!("token = \"{TOKEN_HASH}\""));
    // relative paths have been completed once already
    assert_eq!(parse(&again.replace("etc/us.pem", "us.pem")).unwrap().admin, config.admin, "{shown}");
    assert!(!format!("{config:?}").contains("argon2"));
}

#[test]
fn accounts_are_checked() {
    let wrong = |from: &str, to: &str| admin("").replace(from, to);
    check(
        &wrong(PASSWORD_HASH, "geheim12"),
        "5:12 admin.users[1].password: this is no hash of a password -> `walhook password`",
    );
    check(&wrong("argon2id", "argon2i"), "this hash is not argon2id -> `walhook password`");
    check(
        &wrong("m=65536", "m=4194304"),
        "this hash takes more than 256 MiB, 64 rounds or 64 lanes for each login",
    );
    check(
        &wrong(TOKEN_HASH, "wht_geheim"),
        "this is no hash of a token, which is sha256: and 64 hexadecimal digits -> `walhook token`",
    );
    check(&wrong("\"ci\"", "\"ann\""), "\"ann\" is the name of another user or token");
    check(&wrong("\"ann\"", "\"a:n\""), "a user's name has no colon");
    check(&wrong("\"ann\"", "\"\""), "a name has 1 to 255 bytes");
    check(&wrong("\"viewer\"", "\"root\""), "does not know \"root\"");
    check(&wrong("role = \"admin\"", ""), "\"role\" is missing");
    check("[admin]\ntls = { certificate = \"a.pem\" }", "\"key\" is missing");
    let said = problems(&wrong(PASSWORD_HASH, "geheim12").replace(TOKEN_HASH, "wht_geheim")).join("\n");
    assert!(!said.contains("geheim"), "{said}");
}

#[test]
fn an_address_that_others_reach_needs_tls_and_accounts() {
    let tls = "tls = { certificate = \"us.pem\", key = \"us.key\" }";
    for listen in ["0.0.0.0:8640", "192.0.2.1:8640", "[::]:8640"] {
        let listen = format!("listen = {listen:?}\n");
        let lone = |keys: &str| format!("[admin]\n{listen}{keys}");
        check(
            &lone(""),
            "2:10 admin.listen: others can reach this address, and there is neither TLS nor an account -> add `tls",
        );
        check(
            &lone(tls),
            "there is no account -> add [[admin.users]] or [[admin.tokens]]; or listen on 127.0.0.1",
        );
        check(&admin(&listen), "there is no TLS -> add `tls = { certificate = …, key = … }`");
        assert!(parse(&admin(&format!("{listen}{tls}"))).is_ok());
        assert!(parse(&lone("allow_insecure = true")).is_ok());
    }
    assert!(parse("[admin]\nlisten = \"[::1]:8640\"").is_ok());
}

#[test]
fn further_headers_are_read_and_shown() {
    let headers = |headers: &str| with("", &format!("callback.headers = {{ {headers} }}"));
    let config = parse(&headers("X-Team = \"desk of ${HOST}\", User-Agent = \"us\"")).unwrap();
    let read = &config.webhooks.iter().next().unwrap().callback.headers;
    assert_eq!(format!("{read:?}"), "{\"User-Agent\": \"us\", \"X-Team\": \"desk of receiver.example\"}");
    let shown = walhook::app::config::show(&config);
    assert!(shown.contains("headers = { \"User-Agent\" = \"us\", \"X-Team\" = "), "{shown}");
    assert_eq!(parse(&shown).unwrap().webhooks, config.webhooks);
    check(&headers("Host = \"x\""), "webhooks[1].callback.headers.Host: \"Host\" is set by walhook itself");
    check(&headers("webhook-id = \"x\""), "callback.headers.webhook-id: ");
    check(&headers("Authorization = \"x\""), "write it in `authentication = { type = \"HEADERS\"");
    check(&headers("X-A = \"a\\nb\""), "has a value that no header can have -> a value is one line of ASCII");
    check(&headers("X-A = 1"), "must be a text in quotes");
    let both = "X-Key = \"a\" }\ncallback.authentication = { type = \"HEADERS\", headers = { x-key = \"b\" }";
    check(&headers(both), "\"X-Key\" is set by `authentication` as well -> keep one of the two");
}

#[test]
fn a_proxy_is_that_of_the_webhook_or_the_default_or_none() {
    let default =
        "[dispatch]\nproxy = \"http://u:${PASSWORD}@proxy.example\"\n".replace("${PASSWORD}", "geheim");
    let proxy_of = |text: &str| {
        let config = parse(text).unwrap();
        let shown = walhook::app::config::show(&config);
        assert!(!shown.contains("geheim"), "{shown}");
        config.webhooks.iter().next().unwrap().callback.proxy.as_ref().map(ToString::to_string)
    };
    let own = |proxy: &str| with("", &format!("callback.proxy = {proxy:?}"));
    let masked = |host: &str| Some(format!("http://u:********@{host}:80"));
    assert_eq!(proxy_of(&with("", "")), None);
    assert_eq!(proxy_of(&format!("{default}{}", with("", ""))), masked("proxy.example"));
    assert_eq!(
        proxy_of(&format!("{default}{}", own("http://u:geheim@other.example"))),
        masked("other.example")
    );
    assert_eq!(proxy_of(&format!("{default}{}", own("none"))), None);
    check(
        &own("proxy.example:3128"),
        "callback.proxy: a proxy's address begins with http:// or https:// -> write it",
    );
    check(&own("http://proxy.example/geheim"), "has no path, query or fragment");
    check(&default.replace("http:", "socks5:"), "dispatch.proxy: a proxy's address begins with http://");
    assert!(!format!("{:?}", problems(&own("http://u:geheim%@x"))).contains("geheim"));
}

#[test]
fn authentication_is_read_by_its_scheme() {
    let scheme = |settings: &str| with("", &format!("callback.authentication = {{ {settings} }}"));
    let read = |settings: &str| {
        let config = parse(&scheme(settings)).unwrap();
        config.webhooks.iter().next().unwrap().callback.authentication.clone()
    };
    let headers = read("type = \"HEADERS\", headers = { X-Key = \"k\", Authorization = \"t\" }");
    assert_eq!(headers.scheme, "HEADERS");
    assert_eq!(headers.settings["X-Key"].expose(), "k");
    assert_eq!(read("type = \"bearer\", token = \"${HOST}\"").settings["token"].expose(), "receiver.example");
    assert_eq!(read("type = \"NO_AUTH\"").scheme, "NO_AUTH");
    check(&scheme("type = \"BASIK\""), "unknown authentication type \"BASIK\" -> did you mean \"BASIC\"?");
    check(&scheme("username = \"a\""), "\"type\" is missing");
    check(&scheme("type = \"BEARER\""), "BEARER needs \"token\"");
    check(&scheme("type = \"BEARER\", tokn = \"x\""), "10:46 webhooks[1].callback.authentication.tokn");
    check(&scheme("type = \"HEADERS\", X-Key = \"x\""), "has no setting \"X-Key\"");
    check(&scheme("type = \"HEADERS\", headers = { Host = \"x\" }"), "authentication.headers.Host");
    check(&scheme("type = \"BASIC\", username = \"a\", password = 1"), "must be a text in quotes");
    check(&scheme("type = \"NO_AUTH\", password = \"a\""), "NO_AUTH has no setting");
}

#[test]
fn signing_secrets_are_checked() {
    let secret = |secret: &str| with("", &format!("signature.secret = {secret}"));
    check(&secret("\"geheim\""), "a signing secret begins with whsec_");
    check(&secret("\"whsec_?\""), "is not base64");
    check(&secret("\"whsec_Zm9v\""), "has 3 bytes, not 24 to 64");
    check(&secret("[]"), "there is no secret to sign with");
}

#[test]
fn sealing_keys_are_said_or_stand_in_a_file() {
    let secrets = |text: &str| parse(text).unwrap().secrets;
    assert_eq!(secrets(""), Secrets::File("etc/walhook.key".into()));
    let beside_the_queue = secrets("queue.path = \"/var/lib/walhook/q.db\"");
    assert_eq!(beside_the_queue, Secrets::File("/var/lib/walhook/walhook.key".into()));
    assert_eq!(secrets("secrets.key_file = \"keys/a\""), Secrets::File("etc/keys/a".into()));
    let Secrets::Keys(keys) = secrets("secrets.key = \"${WALHOOK_KEY}\"") else { panic!("no keys") };
    assert!(keys.ids().eq(["66687aad"]));
    let other = "whk_AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let text = format!("secrets.key = [\"{other}\", \"${{WALHOOK_KEY}}\"]");
    let Secrets::Keys(keys) = secrets(&text) else { panic!("no keys") };
    assert_eq!(keys.ids().nth(1), Some("66687aad"));
    check(
        "secrets.key = \"Demo123\"",
        "a sealing key is whk_ and 43 characters of base64url -> `walhook key new`",
    );
    check("secrets.key = []", "there is no key to seal with");
    let both = format!("secrets.key = \"{other}\"\nsecrets.key_file = \"a\"");
    check(&both, "there is either `key` or `key_file` -> keep one of the two");
    assert!(!parse("secrets.key = \"Demo123\"").unwrap_err().to_string().contains("Demo123"));
}

#[test]
fn a_mail_relay_is_checked() {
    let mail = |rest: &str| format!("[mail]\nfrom = \"w@example.org\"\nto = \"ops@example.org\"\n{rest}");
    let relay = |rest: &str| {
        let mail = parse(&mail(rest)).unwrap().mail.unwrap();
        (mail.host, mail.port)
    };
    assert_eq!(relay("relay = \"smtp.example.org\""), ("smtp.example.org".to_owned(), 587));
    assert_eq!(relay("relay = \"smtp.example.org\"\ntls = \"tls\"").1, 465);
    assert_eq!(relay("relay = \"[::1]:2525\"\ntls = \"none\""), ("::1".to_owned(), 2525));
    check(&mail("relay = \"smtp://a\""), "this is no relay -> write a host");
    check(&mail("relay = \"a\"\nusername = \"u\""), "a login has a `username` and a `password`");
    let login = "relay = \"a\"\ntls = \"none\"\nusername = \"u\"\npassword = \"geheim\"";
    check(&mail(login), "a password is not sent over a connection that is not private");
    check("[mail]\nrelay = \"a\"\nfrom = \"x\"\nto = \"a@b.c\"", "this is no address of mail");
}

#[test]
fn what_conditions_need_of_the_source_is_checked() {
    let source = |line: &str| format!("[source]\n{line}\n");
    check(&source("case = \"sensitiv\""), "did you mean \"sensitive\"?");
    check(
        &source("time_zone = \"Berlin\""),
        "2:13 source.time_zone: there is no time zone \"Berlin\" -> did you mean \"Europe/Berlin\"?",
    );
    check(&source("date_formats = [\"%d.%m.%Y\", \"%Y\"]"), "2:29 source.date_formats: \"%Y\" says neither");
    check(&source("date_formats = [\"%F\", \"%F\"]"), "stands here twice");
    let many: Vec<_> = (0..17).map(|number| format!("\"%F {number}\"")).collect();
    check(&source(&format!("date_formats = [{}]", many.join(", "))), "more than 16");
}

/// The caret stands in the file's own line wherever the text is written there as it is, escapes included.
#[test]
fn a_condition_that_cannot_be_read_is_drawn_where_it_stands() {
    check(&with("", "condition = \"'Status' == 1\""), "10:23 webhooks[1].condition: ");
    check(&with("", "condition = \"\\\"a\\\" == 1\""), "10:20 webhooks[1].condition: ");
    check(&with("", "condition = '''\n'Status'\n  == 1'''"), "12:3 webhooks[1].condition: ");
    check(&with("where = \"'A' = (1\"", ""), "4:16 forms[1].where: ");
    let both = with("where = \"Status = 1\"", "condition = \"1 < 2 < 3\"");
    assert_eq!(problems(&both).len(), 2, "both are told: {:#?}", problems(&both));

    let drawn = parse(&with("", "condition = \"'Status' == 1\"")).unwrap_err().to_string();
    assert!(drawn.contains("10 | condition = \"'Status' == 1\"\n   |                       ^"), "{drawn}");
    // behind a variable only the text itself can show the place
    let drawn = parse(&with("", "condition = \"'Status' = '${HOST}' == 1\"")).unwrap_err().to_string();
    assert!(drawn.contains("1 | 'Status' = 'receiver.example' == 1"), "{drawn}");
}

#[test]
fn an_unset_variable_is_named() {
    let text = with("", "callback.authentication = { type = \"BEARER\", token = \"${TOKN}\" }");
    check(&text, "environment variable TOKN is not set -> set TOKN where walhook starts");
}

#[test]
fn no_problem_shows_a_secret() {
    for text in [
        "[source]\nurl = \"postgres://a:geheim@h\"\nurl = 1\n",
        "[source]\nurl = \"postgres://a:geheim@h",
        "[source]\nurl = \"postgres://a:geheim@h/d?sslmode=wrong\"",
        // without its @ the password was taken for a port, and named
        "[source]\nurl = \"postgres://a:geheim=db:5432/d\"",
        "[source]\nurl = \"postgres://a:geheim@h:x/d\"",
        "[source]\nurl = \"host=h password=geheim foo=geheim\"",
        "[source]\nurl = \"host=h password='geheim\"",
        "[source]\nurl = \"geheim\"",
        &with("", "callback.authentication = { type = \"BASIC\", username = \"u\", pasword = \"geheim\" }"),
        &with("", "callback.authentication = \"geheim\""),
        &with("", "callback.authentication = { type = \"HEADERS\", headers = { a = \"geheim\", b = 1 } }"),
        &with("", "callback.authentication = { type = \"BEARER\", token = \"geheim ${TOKN}\" }"),
        &with("", "signature.secret = [\"whsec_geheim\", 1]"),
        &with("", "signature.secrets = \"geheim\""),
        &with("", "signature.secret = [\n\"whsec_geheim\n]"),
        &with("", "").replace("https://", "https://a:geheim@"),
        &with("", "signature = { secret = \"whsec_geheim\""),
        &with("", "token = \"geheim\""),
        // the value of a table made by dotted keys had the key's place, and so the secret was drawn beside it
        &with("", "authenti.cation = { type = \"BASIC\", password = \"geheim\" }"),
        &with("", "signature.secret.x = \"geheim\""),
        // a slip cut `username` in two, and `name` may be shown
        &with("", "name = \"u\", password = \"geheim\" }"),
        &with("", "callback.authentication = [{ type = \"BASIC\", password = \"geheim\" }]"),
        &with("", "name.token = \"geheim\""),
    ] {
        let problems = parse(text).unwrap_err();
        for said in [
            problems.to_string(),
            problems.draw_styled(),
            problems.to_json().to_string(),
            format!("{problems:?}"),
        ] {
            assert!(!said.contains("geheim"), "{said}");
        }
    }
}

#[test]
fn problems_are_drawn_with_place_line_mark_and_remedy() {
    let problems = parse("[source]\nslott = \"a\" # comment\n").unwrap_err();
    assert_eq!(
        problems.to_string(),
        "error: unknown key \"slott\"\n --> etc/walhook.toml:2:1\n  |\n2 | slott = *** *********\n  | ^^^^^\n  |\n  \
         = help: did you mean \"slot\"?"
    );
    assert_eq!(
        problems.to_json(),
        serde_json::json!({"problems": [{
            "file": "etc/walhook.toml", "line": 2, "column": 1, "key": "source.slott",
            "message": "unknown key \"slott\"", "remedy": "did you mean \"slot\"?"
        }]})
    );
}

#[test]
fn what_is_no_toml_is_told_with_all_its_places() {
    let found = problems("[source\nslot = \n[queue]\npath = walhook.db\n");
    assert!(found.len() >= 2, "{found:#?}");
    assert!(found.iter().all(|problem| problem.contains("this is not TOML")), "{found:#?}");
}

#[test]
fn what_a_new_version_of_the_file_cannot_change_at_run_time_is_named() {
    let old = parse("").unwrap();
    let new = parse("[source]\nslot = \"other\"\n[dispatch]\ntimeout = \"1s\"\nallow = [\"10.0.0.0/8\"]\n")
        .unwrap();
    assert_eq!(old.restart_needed_for(&new), ["[dispatch] allow"], "the source is taken over");
    assert_eq!(old.restart_needed_for(&parse(&with("", "")).unwrap()), [""; 0]);
    assert_eq!(old.restart_needed_for(&parse(&admin("")).unwrap()), [""; 0]);
    assert_eq!(old.restart_needed_for(&parse(&admin("listen = \"127.0.0.1:1\"")).unwrap()), ["[admin]"]);
}

#[test]
fn numbers_of_webhooks_survive_reordering_and_editing() {
    let webhook = |name: &str, event: &str| {
        format!(
            "[[webhooks]]\nname = \"{name}\"\nform = \"t\"\nevents = [\"{event}\"]\ncallback.url = \"http://{event}\"\n"
        )
    };
    let form = "[[forms]]\ntable = \"t\"\n";
    let ids = |text: &str| {
        let config = parse(text).unwrap();
        config
            .webhooks
            .iter()
            .map(|webhook| (webhook.name.clone(), webhook.id))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let one = format!("{form}{}{}", webhook("a", "create"), webhook("b", "create"));
    let other = format!("{}{}{form}", webhook("b", "delete"), webhook("a", "update"));
    assert_eq!(ids(&one), ids(&other));
    assert_eq!(parse(&one).unwrap(), parse(&one).unwrap());
}

/// The example with its keys switched on: `#key` becomes `key`, `# prose` stays.
fn uncommented() -> String {
    let lines = walhook::app::config::EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The same without what cannot stand beside something else in it.
fn uncommented_choice() -> String {
    uncommented().replace("key_file = \"walhook.key\"\n", "")
}

fn example_environment(name: &str) -> Option<String> {
    match name {
        "RECEIVER_SIGNING_SECRET" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()),
        "WALHOOK_KEY" => Some(KEY.into()),
        "MAIL_PASSWORD" | "RECEIVER_PASSWORD" | "RECEIVER_TOKEN" | "IMS_SECRET" => Some("geheim".into()),
        _ => None,
    }
}

/// What the example has at a declared key, over all tables of a list.
fn example_values<'a>(tables: &[&'a toml::Value], name: &str) -> Vec<&'a toml::Value> {
    tables.iter().filter_map(|table| table.get(name)).collect()
}

fn check_example(keys: &[walhook::app::config::keys::Key], tables: &[&toml::Value], path: &str) {
    use walhook::app::config::keys::{Kind, Presence};
    for key in keys.iter().filter(|key| key.works()) {
        let path = format!("{path}.{}", key.name);
        let values = example_values(tables, key.name);
        assert!(!values.is_empty(), "the example has no {path}");
        match key.kind {
            Kind::Table(inner) => check_example(inner, &values, &path),
            Kind::Tables(inner) => {
                let all: Vec<_> = values.iter().flat_map(|list| list.as_array().unwrap()).collect();
                check_example(inner, &all, &path);
            }
            Kind::Map(Kind::TextOrTable(inner)) => {
                let all: Vec<_> = values.iter().flat_map(|map| map.as_table().unwrap().values()).collect();
                assert!(all.iter().any(|value| value.is_str()), "{path} has no text");
                check_example(inner, &all, &path);
            }
            _ => {
                if let Presence::Default(default) = key.presence {
                    let wanted: toml::Table = toml::from_str(&format!("x = {default}")).unwrap();
                    assert_eq!(values[0], &wanted["x"], "the default of {path}");
                }
            }
        }
    }
}

#[test]
fn the_example_has_every_key_with_its_real_default_and_no_other() {
    let text = uncommented();
    let choice = uncommented_choice();
    let config = match Config::parse(Path::new("config.example.toml"), &choice, &example_environment) {
        Ok(config) => config,
        Err(problems) => panic!("{problems}"),
    };
    let value: toml::Value = toml::from_str(&text).unwrap();
    check_example(walhook::app::config::FILE, &[&value], "");
    for scheme in walhook::auth::SCHEMES {
        let used =
            config.webhooks.iter().any(|webhook| webhook.callback.authentication.scheme == scheme.name());
        assert!(used, "the example has no {}", scheme.name());
        for setting in scheme.settings() {
            assert!(text.contains(&format!("{} = ", setting.name)), "the example has no {}", setting.name);
        }
    }
    for format in walhook::format::FORMATS {
        assert!(text.contains(&format!("\"{}\"", format.name())), "the example has no {}", format.name());
    }
    // as it comes it is all comments, and so says nothing but defaults
    let defaults = parse("").unwrap();
    assert_eq!(parse(walhook::app::config::EXAMPLE).unwrap(), defaults);
    assert_eq!(walhook::retry::Schedule::default(), defaults.dispatch.schedule);
}

#[test]
fn what_is_shown_masks_secrets_and_can_be_read_again() {
    let text = format!(
        "[source]\nurl = \"postgres://walhook:geheim@db/helpdesk\"\n[queue]\npath = \"/var/lib/q.db\"\n{}",
        with(
            "where = \"'A' = \\\"$\\\"\"\nparts.\"Cost.TYPE\" = \"c\"\nfields.Log = { column = \"l\", kind = \"diary\" }\n\
             fields.\"A \\\"x\\\"\" = { column = \"a\", id = 3, labels = { x = \"X\", \"\" = \"none\" } }\nunset = [\"$${X}\\n\"]\nmerge.delete_insert = true",
            "condition = '''\n'A' LIKE \"[\\%]\"\n'''\ncustom_json = { a = \"ü\" }\nper_second_max = 3\ndescription = \"d\"\n\
             callback.authentication = { type = \"NO_AUTH\" }"
        )
    );
    let config = parse(&text).unwrap();
    let shown = walhook::app::config::show(&config);
    assert!(!shown.contains("geheim"), "{shown}");
    let again = match parse(&shown.replace("********", "geheim")) {
        Ok(again) => again,
        Err(problems) => panic!("{shown}\n{problems}"),
    };
    assert_eq!(again, config, "{shown}");

    let example = Config::parse(Path::new("w.toml"), &uncommented_choice(), &example_environment).unwrap();
    let shown = walhook::app::config::show(&example);
    assert!(!shown.contains("geheim") && !shown.contains("whsec") && !shown.contains("whk_"), "{shown}");
    assert!(shown.contains(r#"headers = { "X-Api-Key" = "********" }"#), "{shown}");
}

#[test]
fn the_schema_knows_every_key() {
    let schema = walhook::app::config::schema();
    assert_eq!(schema["properties"]["source"]["properties"]["slot"]["default"], "walhook");
    let webhook = &schema["properties"]["webhooks"]["items"];
    assert_eq!(webhook["additionalProperties"], false);
    let formats: Vec<&str> = walhook::format::FORMATS.iter().map(|format| format.name()).collect();
    assert_eq!(webhook["properties"]["format"]["enum"], serde_json::json!(formats));
    assert!(webhook["required"].as_array().unwrap().contains(&"callback".into()));
    assert!(schema["properties"].get("images").is_none(), "what is planned is no key");
    let form = &schema["properties"]["forms"]["items"]["properties"];
    assert_eq!(
        form["children"]["items"]["properties"]["on"]["enum"],
        serde_json::json!(["insert", "update", "delete"])
    );
    assert_eq!(webhook["properties"]["condition"]["type"], "string");
    let field = &form["fields"]["additionalProperties"]["anyOf"][1]["properties"];
    assert_eq!(field["labels"]["anyOf"][0]["additionalProperties"]["type"], "string");
    assert!(field["kind"]["enum"].as_array().unwrap().contains(&"diary".into()));
}

/// A file with a secret of every kind in the open.
fn full_of_secrets() -> String {
    uncommented()
        .replace("postgres://walhook@", "postgres://walhook:geheim@")
        .replace("${RECEIVER_SIGNING_SECRET}", "whsec_geheim")
        .replace("${WALHOOK_KEY}", "whk_geheim")
        .replace("${MAIL_PASSWORD}", "geheim")
        .replace("${RECEIVER_PASSWORD}", "geheim")
        .replace("${RECEIVER_TOKEN}", "geheim")
        .replace("${IMS_SECRET}", "geheim")
}

/// That a file, whatever it is, ends in no panic and shows no secret.
fn survives(text: &str) {
    let Err(problems) = parse(text) else { return };
    assert!(!problems.is_empty());
    for said in [problems.to_string(), problems.draw_styled(), problems.to_json().to_string()] {
        assert!(!said.contains("gehei"), "{said}\n--- of ---\n{text}");
    }
    for problem in problems.iter() {
        let (line, _) = problems.place(problem);
        assert!(line <= text.lines().count() + 1);
    }
}

#[test]
fn a_file_that_ends_anywhere_is_refused_without_panic_and_without_secrets() {
    let text = full_of_secrets();
    let webhooks = text.find("[[webhooks]]").unwrap();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end) && (end % 5 == 0 || *end > webhooks))
    {
        survives(&text[..end]);
    }
}

/// What is found becomes a line of `no_problem_shows_a_secret`.
fn cases(cases: u32) -> proptest::prelude::ProptestConfig {
    proptest::prelude::ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

proptest::proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_file_with_slips_is_refused_without_panic_and_without_secrets(
        slips in proptest::collection::vec((0_usize..20_000, "[\\[\\]{}=\"'#\\\\\n,.ä$ a0]{0,2}"), 1..6)
    ) {
        let mut text = full_of_secrets();
        for (at, slip) in slips {
            let mut at = at % text.len();
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            // a secret that is cut by a slip is none any more
            if text[..at].ends_with("gehe") || text[at..].starts_with("eheim") {
                continue;
            }
            let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
            text.replace_range(at..end, &slip);
        }
        survives(&text);
    }

    #[test]
    fn any_text_is_read_or_refused_and_never_a_panic(text in "\\PC*") {
        let _ = parse(&text).map_err(|problems| problems.to_string());
        let _ = parse(&with("", &text)).map_err(|problems| problems.to_string());
    }
}
