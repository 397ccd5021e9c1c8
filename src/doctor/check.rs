//! The doctor: what is wrong with a database for walhook, and what mends it.

use super::facts::{Facts, Role, Server, Slot};
use super::finding::{Finding, Mend, Report, Severity};
use super::names::fill;
use super::{Needs, forms, publications, registration, setup, standbys};
use std::collections::BTreeSet;

const ALTER_SYSTEM: &str = include_str!("../../sql/mend/alter_system.sql");
const DROP_SLOT: &str = include_str!("../../sql/teardown/drop_slot.sql");

/// The oldest server that walhook reads from, as `server_version_num`.
const VERSION_MIN: i32 = 140_000;

/// A slot that keeps more WAL than this is worth a warning, in bytes.
const RETAINED_BYTES_NOTABLE: i64 = 1 << 30;

/// Judges what was found.
pub fn check(facts: &Facts, needs: &Needs) -> Report {
    let mut findings = Vec::new();
    version(&facts.server, &mut findings);
    findings.extend(settings(facts, needs));
    findings.extend(standbys::judge(&facts.server.synchronous_standby_names));
    role(facts, &mut findings);
    slot(facts, needs, &mut findings);
    publication_content(facts, &mut findings);
    publication_age(facts, needs, &mut findings);
    registration::judge(facts, &mut findings);
    for (number, form) in needs.forms.iter().enumerate() {
        forms::judge(facts, number, form, &mut findings);
    }
    Report { findings }
}

/// Judges the settings that only an administrator may change. Each finding's object is the setting's name.
pub(super) fn settings(facts: &Facts, needs: &Needs) -> Vec<Finding> {
    let mut findings = Vec::new();
    log(&facts.server, &mut findings);
    plugin_libraries(&facts.server, needs, &mut findings);
    room(facts, &mut findings);
    findings
}

fn set(setting: &str, value: &str) -> String {
    fill(ALTER_SYSTEM, &[("setting", setting), ("value", value)]) + ";"
}

fn set_and_reload(setting: &str, value: &str) -> Mend {
    Mend::Sql(set(setting, value) + "\nselect pg_reload_conf();")
}

fn version(server: &Server, findings: &mut Vec<Finding>) {
    let object = format!("PostgreSQL {}", server.version);
    if server.version_num < VERSION_MIN {
        let what = "is too old; walhook reads from 14 and later";
        let mend = Mend::Do("upgrade the server".into());
        findings.push(Finding::new(Severity::Error, &object, what).mended_by(mend));
    } else {
        findings.push(Finding::new(Severity::Ok, &object, format!("database {:?}", server.database)));
    }
    if server.in_recovery {
        let (severity, what) = if server.version_num < 160_000 {
            (Severity::Error, "is a standby; before version 16 only a primary can be read from")
        } else {
            (Severity::Warning, "is a standby: publications are made on the primary, and a slot waits for it")
        };
        let mend = Mend::Key("[source] url: the primary's address (or target_session_attrs=primary)".into());
        findings.push(Finding::new(severity, &object, what).mended_by(mend));
    }
}

fn log(server: &Server, findings: &mut Vec<Finding>) {
    if server.wal_level == "logical" {
        findings.push(Finding::new(Severity::Ok, "wal_level", "logical"));
    } else {
        let what = format!("is {}; rows are in the log only with logical", server.wal_level);
        findings.push(
            Finding::new(Severity::Error, "wal_level", what)
                .mended_by(Mend::SqlAndRestart(set("wal_level", "logical"))),
        );
    }
    match server.slot_wal_keep_mb {
        None => {}
        Some(-1) => findings.push(
            Finding::new(
                Severity::Note,
                "max_slot_wal_keep_size",
                "has no limit: while walhook is stopped or its queue is full, the server keeps WAL until its \
                 disk is full",
            )
            .mended_by(set_and_reload("max_slot_wal_keep_size", "'100GB'")),
        ),
        Some(megabytes) => findings.push(Finding::new(
            Severity::Note,
            "max_slot_wal_keep_size",
            format!(
                "is {megabytes} MB: when walhook is behind by more, the server drops changes it has not read"
            ),
        )),
    }
    if let Some(seconds) = server.idle_slot_timeout_s.filter(|seconds| *seconds > 0) {
        findings.push(
            Finding::new(
                Severity::Warning,
                "idle_replication_slot_timeout",
                format!(
                    "is {} min: when walhook is stopped for longer, the server drops changes it has not read",
                    seconds / 60
                ),
            )
            .mended_by(set_and_reload("idle_replication_slot_timeout", "0")),
        );
    }
}

/// Newer servers name the libraries that may be output plugins. In that list, one quoted text is one name:
/// quoting the whole list locks every plugin out, and with it all replication.
fn plugin_libraries(server: &Server, needs: &Needs, findings: &mut Vec<Finding>) {
    let Some(setting) = &server.output_plugin_libraries else { return };
    let libraries: Vec<&str> = setting.split(',').map(str::trim).collect();
    let allowed =
        |name: &str| libraries.iter().any(|library| library.trim_matches('"') == name && balanced(library));
    let plugin = needs.plugin.as_str();
    if allowed(plugin) {
        findings.push(Finding::new(Severity::Ok, "output_plugin_libraries", format!("has {plugin}")));
        return;
    }
    let mut names: Vec<&str> = vec!["pgoutput", "test_decoding"];
    let present = libraries.iter().map(|library| library.trim_matches('"').trim());
    names.extend(present.filter(|name| !name.is_empty() && !names.contains(name)).collect::<Vec<_>>());
    if !names.contains(&plugin) {
        names.push(plugin);
    }
    let quoted: Vec<String> = names.into_iter().map(as_list_member).collect();
    findings.push(
        Finding::new(
            Severity::Error,
            "output_plugin_libraries",
            format!("does not have {plugin}; the server refuses to decode with it"),
        )
        .mended_by(set_and_reload("output_plugin_libraries", &quoted.join(", "))),
    );
}

/// Whether a part of a list is a whole name, and not a piece of one that contains commas.
fn balanced(part: &str) -> bool {
    part.starts_with('"') == part.ends_with('"')
}

fn as_list_member(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn room(facts: &Facts, findings: &mut Vec<Finding>) {
    let server = &facts.server;
    let connected = facts.slot.as_ref().is_some_and(|slot| slot.active_pid.is_some());
    let rooms = [
        ("max_replication_slots", server.slots_used, server.slots_max, facts.slot.is_some()),
        ("max_wal_senders", server.senders_used, server.senders_max, connected),
    ];
    for (setting, used, max, has_ours) in rooms {
        let what = format!("{used} of {max} in use");
        findings.push(if used >= max && !has_ours {
            let value = (used + 5).to_string();
            Finding::new(Severity::Error, setting, format!("{what}, none is left for walhook"))
                .mended_by(Mend::SqlAndRestart(set(setting, &value)))
        } else {
            Finding::new(Severity::Ok, setting, what)
        });
    }
}

fn role(facts: &Facts, findings: &mut Vec<Finding>) {
    let object = format!("role {:?}", facts.role_name);
    let Some(role) = &facts.role else {
        findings.push(
            Finding::new(Severity::Error, object, "does not exist")
                .mended_by(Mend::Sql(setup::create_role_sql(facts) + ";")),
        );
        return;
    };
    let before = findings.len();
    let steps = setup::replication_step(facts, role, object.clone()).into_iter().chain(setup::grants(facts));
    for step in steps {
        findings
            .push(Finding::new(step.severity, step.object, step.lack).mended_by(Mend::Sql(step.sql + ";")));
    }
    if findings.len() == before {
        findings.push(Finding::new(Severity::Ok, &object, "may read the log"));
    }
    findings.extend(excess(role, object));
}

fn excess(role: &Role, object: String) -> Option<Finding> {
    role.superuser.then(|| {
        Finding::new(Severity::Note, object, "is a superuser; walhook needs only login and replication")
    })
}

fn slot(facts: &Facts, needs: &Needs, findings: &mut Vec<Finding>) {
    let object = format!("slot {:?}", needs.slot);
    let Some(slot) = &facts.slot else {
        findings.push(Finding::new(Severity::Ok, object, "does not exist yet; run makes it"));
        return;
    };
    let before = findings.len();
    findings.extend(wrong_slot(facts, needs, slot).map(|what| {
        Finding::new(Severity::Error, &object, what)
            .mended_by(Mend::Key("[source] slot: another name; or drop this one, if nobody needs it".into()))
    }));
    findings.extend(lost_slot(slot).map(|(severity, what)| {
        let finding = Finding::new(severity, &object, what);
        if severity < Severity::Error {
            return finding.mended_by(Mend::Do("start walhook, or look why it does not get on".into()));
        }
        let name = super::names::literal(&needs.slot);
        finding.mended_by(Mend::Sql(format!(
            "{};\n-- then: walhook resume --accept-gap",
            fill(DROP_SLOT, &[("slot", &name)])
        )))
    }));
    let retained = slot.retained_bytes.unwrap_or(0);
    let limit = facts.server.slot_wal_keep_mb.filter(|limit| *limit >= 0).map(|limit| limit * (1 << 20) / 2);
    if retained > limit.unwrap_or(RETAINED_BYTES_NOTABLE).min(RETAINED_BYTES_NOTABLE) {
        let what = format!("the server keeps {} MB of WAL for it", retained >> 20);
        findings.push(
            Finding::new(Severity::Warning, &object, what)
                .mended_by(Mend::Do("start walhook, or look at /readyz why it does not get on".into())),
        );
    }
    if findings.len() == before {
        let state = slot.active_pid.map_or_else(
            || "nobody reads it now".into(),
            |pid| format!("read by the server's process {pid}"),
        );
        let lsn = slot.confirmed_flush_lsn.as_deref().unwrap_or("nowhere");
        let kept = format!("{} MB of WAL kept", retained >> 20);
        findings.push(Finding::new(Severity::Ok, &object, format!("confirmed up to {lsn}, {kept}, {state}")));
    }
    if slot.failover == Some(false) && !facts.server.in_recovery {
        findings.push(
            Finding::new(
                Severity::Note,
                &object,
                "is no failover slot: a standby that is promoted does not have it, and changes would be missing",
            )
            .mended_by(Mend::Do(format!(
                "where standbys synchronise slots, stop walhook and say on a replication connection: \
                 ALTER_REPLICATION_SLOT {} (FAILOVER true)",
                needs.slot
            ))),
        );
    }
}

fn wrong_slot(facts: &Facts, needs: &Needs, slot: &Slot) -> Option<String> {
    if slot.slot_type != "logical" {
        return Some("is a physical slot; walhook needs a logical one".into());
    }
    if slot.plugin.as_ref().is_some_and(|plugin| *plugin != needs.plugin) {
        let plugin = slot.plugin.as_deref().unwrap_or_default();
        return Some(format!("decodes with {plugin}, not with {}", needs.plugin));
    }
    if slot.database.as_ref().is_some_and(|database| *database != facts.server.database) {
        let database = slot.database.as_deref().unwrap_or_default();
        return Some(format!("belongs to database {database:?}, not to {:?}", facts.server.database));
    }
    None
}

fn lost_slot(slot: &Slot) -> Option<(Severity, String)> {
    let reason = slot.invalidation_reason.as_deref();
    match slot.wal_status.as_deref() {
        Some("lost") => {
            let why =
                reason.map_or_else(|| "it was too far behind".into(), |reason| format!("reason: {reason}"));
            Some((Severity::Error, format!("was invalidated by the server ({why}): changes are lost")))
        }
        _ if reason.is_some() => {
            let reason = reason.unwrap_or_default();
            Some((
                Severity::Error,
                format!("was invalidated by the server (reason: {reason}): changes are lost"),
            ))
        }
        Some("unreserved") => Some((
            Severity::Warning,
            "is so far behind that the next checkpoint may invalidate it (wal_status unreserved)".into(),
        )),
        _ => None,
    }
}

fn publication_content(facts: &Facts, findings: &mut Vec<Finding>) {
    let steps = publications::steps(facts, &BTreeSet::new());
    for publication in &facts.publications {
        let object = format!("publication {:?}", publication.name);
        let mut good = true;
        for step in steps.iter().filter(|step| step.object == object) {
            good = false;
            findings.push(
                Finding::new(step.severity, &object, &step.lack)
                    .mended_by(Mend::Sql(format!("{};", step.sql))),
            );
        }
        if good {
            let count = publication.tables.len();
            let tables = if count == 1 { "table" } else { "tables" };
            findings.push(Finding::new(Severity::Ok, object, format!("publishes {count} {tables}")));
        }
    }
}

/// A slot decodes with the catalogue as it was: from before its publication was created, it fails.
fn publication_age(facts: &Facts, needs: &Needs, findings: &mut Vec<Finding>) {
    let Some(catalog_age) = facts.slot.as_ref().and_then(|slot| slot.catalog_age) else { return };
    for publication in &facts.publications {
        if publication.found.as_ref().is_some_and(|found| found.age <= catalog_age) {
            let what = format!(
                "was created or altered after the point from which slot {:?} is read; if it was created then, \
                 the log cannot be read from there (\"publication does not exist\")",
                needs.slot
            );
            findings.push(
                Finding::new(Severity::Warning, format!("publication {:?}", publication.name), what)
                    .mended_by(Mend::Do(
                    "start walhook; if that is what it says, drop the slot, then walhook resume --accept-gap"
                        .into(),
                )),
            );
        }
    }
}
