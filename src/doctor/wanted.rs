//! Fields that a webhook asks for and none of its forms has: its bodies would lack them without a word.

use super::Needs;
use super::facts::{Facts, Table};
use super::finding::{Finding, Mend, Severity};
use crate::form::Form;
use crate::webhook::Webhook;

/// Judges the webhooks. Who listens to a form whose table was not found is not judged.
pub fn check<'a>(
    facts: &Facts,
    needs: &Needs,
    webhooks: impl IntoIterator<Item = &'a Webhook>,
) -> Vec<Finding> {
    webhooks.into_iter().filter_map(|webhook| judge(facts, needs, webhook)).collect()
}

fn judge(facts: &Facts, needs: &Needs, webhook: &Webhook) -> Option<Finding> {
    let forms =
        needs.forms.iter().enumerate().filter(|(_, form)| webhook.forms().any(|name| name == form.name));
    let forms = forms.map(|(number, form)| Some((form.as_ref(), facts.table_of(number)?)));
    let forms: Vec<(&Form, &Table)> = forms.collect::<Option<_>>()?;
    let names: Vec<&str> = forms.iter().flat_map(|(form, table)| names(form, table)).collect();
    let has_number = |text: &str| {
        let mut fields = forms.iter().flat_map(|(form, _)| &form.fields);
        text.parse().is_ok_and(|number| fields.any(|field| field.id == Some(number)))
    };
    let known = |field: &&String| names.contains(&field.as_str()) || has_number(field);
    let unknown: Vec<String> = webhook
        .payload_fields
        .iter()
        .filter(|field| !known(field))
        .map(|field| format!("{field:?}"))
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let what = format!("asks for {}, which no form of it has", unknown.join(", "));
    let mend = Mend::Key(format!("[[webhooks]] payload_fields: some of {}", names.join(", ")));
    Some(Finding::new(Severity::Error, format!("webhook {:?}", webhook.name), what).mended_by(mend))
}

/// The names of a form's fields: those it gives, and the columns that it neither names nor hides.
fn names<'a>(form: &'a Form, table: &'a Table) -> impl Iterator<Item = &'a str> {
    let plain = |column: &&String| {
        !form.hidden.contains(column) && !form.fields.iter().any(|field| field.column == **column)
    };
    let given = form.fields.iter().map(|field| field.name.as_str());
    given.chain(table.columns.iter().filter(plain).map(String::as_str))
}
