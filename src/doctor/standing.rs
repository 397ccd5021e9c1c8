//! What became of changes that were read already: put aside, held, given up. The queue knows it.

use super::finding::{Finding, Mend, Severity};
use crate::delivery::Quarantined;
use crate::queue::{WebhookStanding, WebhookState};
use std::collections::BTreeMap;

/// Judges what stands in the queue.
pub fn check(standings: &[WebhookStanding], quarantined: &[Quarantined]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_form: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for one in quarantined {
        *by_form.entry(one.form.as_deref()).or_default() += 1;
    }
    for (form, count) in by_form {
        let object = form.map_or_else(|| "tables of no form".to_owned(), |form| format!("form {form:?}"));
        let what = format!("{} could not be read and became no events", counted(count as u64, "row change"));
        let mend = Mend::Do("`walhook queue quarantine` says why; nothing sends them later".into());
        findings.push(Finding::new(Severity::Warning, object, what).mended_by(mend));
    }
    for standing in standings {
        let object = format!("webhook {:?}", standing.name);
        let mut warn = |what: String, remedy: String| {
            let finding = Finding::new(Severity::Warning, &object, what);
            findings.push(finding.mended_by(Mend::Do(remedy)));
        };
        if standing.held > 0 {
            let cause = if standing.broken.is_some() { "it is broken" } else { "its condition failed" };
            let remedy = format!("`walhook queue held --webhook {}` says why", standing.id);
            warn(format!("{} held, for {cause}", are(standing.held, "event")), remedy);
        }
        if standing.dead > 0 {
            let remedy = "`walhook deliveries list` shows them, `walhook deliveries replay` sends them again";
            warn(format!("{} given up", are(standing.dead, "delivery")), remedy.to_owned());
        }
        if standing.state == WebhookState::Suspended {
            let remedy = format!("`walhook webhooks enable {}`, once its endpoint answers", standing.id);
            warn(format!("is suspended: {} waiting", are(standing.pending, "delivery")), remedy);
        }
    }
    findings
}

fn counted(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

fn are(count: u64, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "is" } else { "are" })
}
