//! What a webhook listens to, for products that name form and event together: `request.create`.

use super::translation::{Native, get};
use crate::catalog::Description;
use serde_json::Value;
use std::sync::Arc;

/// What the forms are called in pairs.
pub(super) struct Nouns(
    /// None where no catalogue has been read yet: then a form's name stands for its noun.
    pub(super) Option<Arc<Description>>,
);

impl Nouns {
    /// The pairs that a registration listens to, in its own order; `*` is the noun of all forms.
    pub(super) fn pairs(&self, native: &Native) -> Vec<String> {
        let forms = texts(get(native, &["forms"]));
        let forms: Vec<&str> = get(native, &["form"]).as_str().into_iter().chain(forms).collect();
        let mut pairs: Vec<String> = Vec::new();
        for event in texts(get(native, &["events"])) {
            if event.contains('.') {
                pairs.push(event.to_owned());
            } else {
                pairs.extend(forms.iter().map(|form| format!("{}.{event}", self.noun_of(form))));
            }
        }
        pairs
    }

    /// The noun of a form; its name where it is not known.
    pub(super) fn noun_of<'a>(&'a self, form: &'a str) -> &'a str {
        let mut known = self.0.iter().flat_map(|described| &described.forms);
        known.find(|known| known.form.name == form).map_or(form, |known| &known.form.noun)
    }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn forms_and_events_are_pairs() {
        let pairs = |native: Value| Nouns(None).pairs(native.as_object().unwrap());
        assert_eq!(
            pairs(json!({ "form": "ci", "events": ["create", "update"] })),
            ["ci.create", "ci.update"]
        );
        assert_eq!(pairs(json!({ "forms": ["a", "b"], "events": ["create"] })), ["a.create", "b.create"]);
        assert_eq!(pairs(json!({ "events": ["b.update", "a.create"] })), ["b.update", "a.create"]);
        assert_eq!(pairs(json!({ "form": "*", "events": ["delete"] })), ["*.delete"]);
        assert!(pairs(json!({})).is_empty());
    }
}
