//! Conditions of webhooks, and `where` of forms, that do not fit the tables as they are.

use super::facts::Facts;
use super::finding::{Finding, Mend, Severity};
use super::{Needs, setup};
use crate::catalog;
use crate::form::BoundForm;
use crate::qualification::{Fault, Purpose, Qualification};
use crate::webhook::{Listening, Webhook};
use std::sync::Arc;

/// How the catalogue describes the form of a name: nothing where it has no table.
pub type Described<'a> = dyn Fn(&str) -> Option<Result<Arc<BoundForm>, catalog::Fault>> + 'a;

/// Judges the conditions. What keeps a form from its table is told where `told` does not have it already.
pub fn check<'a>(
    facts: &Facts,
    needs: &Needs,
    described: &Described<'_>,
    webhooks: impl IntoIterator<Item = &'a Webhook>,
    told: &[Finding],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for form in &needs.forms {
        let object = format!("form {:?}", form.name);
        match described(&form.name) {
            Some(Err(fault)) => {
                let is_told = told
                    .iter()
                    .any(|finding| finding.object == object && finding.severity == Severity::Error);
                let is_of_where = matches!(fault, catalog::Fault::Entries { .. });
                if is_of_where || !is_told {
                    let mend = Mend::Key(format!("[[forms]] {}", fault.remedy()));
                    findings.push(Finding::new(Severity::Error, object, fault.to_string()).mended_by(mend));
                }
            }
            Some(Ok(bound)) => {
                for rule in &bound.happenings.rules {
                    let Some(Err(fault)) = &rule.condition else { continue };
                    let what = format!("rule {:?} does not fit the form: {fault}", rule.rule.name.as_str());
                    let mend =
                        Mend::Key("[[forms.rules]] condition and payload: name fields of the form".into());
                    findings.push(Finding::new(Severity::Error, &object, what).mended_by(mend));
                }
                if let Some(entries) = &bound.entries {
                    let text = entries.qualification().text();
                    findings.extend(
                        entries.warnings().iter().map(|fault| warning(&object, "where", fault, text)),
                    );
                }
            }
            None => {}
        }
    }
    for webhook in webhooks {
        if let Some(condition) = &webhook.condition {
            judge(facts, needs, described, webhook, condition, &mut findings);
        }
    }
    findings
}

fn judge(
    facts: &Facts,
    needs: &Needs,
    described: &Described<'_>,
    webhook: &Webhook,
    condition: &Qualification,
    findings: &mut Vec<Finding>,
) {
    let object = format!("webhook {:?}", webhook.name);
    let before = findings.len();
    let mut fitting = Vec::new();
    for Listening { form: name, verbs, .. } in &webhook.listens {
        // what keeps a form from its table is told of the form
        let Some(Ok(form)) = described(name) else { continue };
        match condition.bind(&form, Purpose::Webhook(verbs)) {
            Err(faults) => {
                let told = faults.0.iter().map(|fault| {
                    let what =
                        format!("condition does not fit form {name:?}\n{}", drawn(fault, condition.text()));
                    let finding = Finding::new(Severity::Error, &object, what);
                    match mend(facts, needs, name, fault) {
                        Some(mend) => finding.mended_by(mend),
                        None => finding,
                    }
                });
                findings.extend(told);
            }
            Ok(bound) => {
                let told = bound.warnings().iter().map(|fault| {
                    let part = format!("condition, for form {name:?}");
                    warning(&object, &part, fault, condition.text())
                });
                findings.extend(told);
                fitting.push(format!("{name:?}"));
            }
        }
    }
    if findings.len() == before && !fitting.is_empty() {
        let forms = if fitting.len() == 1 { "form" } else { "forms" };
        let what = format!("condition fits {forms} {}", fitting.join(", "));
        findings.push(Finding::new(Severity::Ok, object, what));
    }
}

fn warning(object: &str, part: &str, fault: &Fault, text: &str) -> Finding {
    let finding = Finding::new(Severity::Warning, object, format!("{part}\n{}", drawn(fault, text)));
    match &fault.remedy {
        Some(remedy) => finding.mended_by(Mend::Do(remedy.clone())),
        None => finding,
    }
}

/// A fault without its remedy, which is told as the finding's.
fn drawn(fault: &Fault, text: &str) -> String {
    let drawn = Fault { remedy: None, ..fault.clone() }.draw(text);
    // how bad it is stands before the whole finding
    drawn.strip_prefix("error: ").map(str::to_owned).unwrap_or(drawn)
}

/// What mends a fault. Where old rows are missing the doctor knows more than the condition: of a partitioned table,
/// every part has an identity of its own.
fn mend(facts: &Facts, needs: &Needs, form: &str, fault: &Fault) -> Option<Mend> {
    let remedy = fault.remedy.as_ref()?;
    if remedy.starts_with("alter table ") {
        let number = needs.forms.iter().position(|known| known.name == form);
        let sql = match number.and_then(|number| facts.table_of(number)) {
            Some(table) => format!("{};\n-- costs: {}", setup::full_step(table).sql, setup::full_cost(table)),
            None => remedy.clone(),
        };
        return Some(Mend::Sql(sql));
    }
    Some(Mend::Key(format!("[[webhooks]] condition: {remedy}")))
}
