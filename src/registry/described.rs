//! A webhook that no row holds, told as if one did.

use crate::secret::MASK;
use crate::webhook::{BodyChoices, Callback, Events, OnExhausted, Pem, RecordIdWith, Selections, Webhook};
use serde_json::{Map, Value, json};

/// What a webhook says in the shape of the native model, with its secrets masked.
pub fn described(webhook: &Webhook) -> Map<String, Value> {
    let sending = &webhook.sending;
    let seconds = |pause: std::time::Duration| format!("{}ms", pause.as_millis());
    let mut native = json!({
        "events": match webhook.events() {
            Events::Alike(verbs) => verbs.iter().map(ToString::to_string).collect(),
            Events::Pairs(pairs) => pairs,
        },
        "payload_fields": webhook.payload_fields,
        "send_unchanged_fields": webhook.send_unchanged_fields,
        "enabled": webhook.enabled,
        "format": webhook.format,
        "callback": callback(&webhook.callback),
        "schedule": sending.schedule.pauses.iter().map(|pause| seconds(*pause)).collect::<Vec<_>>(),
        "on_exhausted": match sending.on_exhausted {
            OnExhausted::Skip => "skip",
            OnExhausted::Block => "block",
        },
        "in_flight_max": sending.in_flight_max,
        "timeout": seconds(sending.timeout),
        "backlog_bytes_max": sending.backlog_bytes_max,
    });
    let Some(native) = native.as_object_mut() else { return Map::new() };
    let mut maybe =
        |name: &str, value: Option<Value>| native.extend(value.map(|value| (name.to_owned(), value)));
    let forms: Vec<_> = webhook.forms().collect();
    maybe("forms", matches!(webhook.events(), Events::Alike(_)).then(|| json!(forms)));
    maybe("description", webhook.description.clone().map(Value::from));
    maybe("condition", webhook.condition.as_ref().map(|condition| condition.text().into()));
    maybe("per_second_max", sending.per_second_max.map(Value::from));
    let custom_json = webhook.custom_json.as_ref();
    maybe("custom_json", custom_json.and_then(|json| serde_json::from_str(json).ok()));
    maybe("exclude", (!webhook.exclude.is_empty()).then(|| json!(webhook.exclude)));
    maybe("body", body(webhook.body));
    let mail = &webhook.mail_exceptions_to;
    maybe("mail_exceptions_to", (!mail.is_empty()).then(|| json!(mail)));
    maybe("retention", webhook.retention.map(|retention| seconds(retention).into()));
    let secrets: Vec<Value> = webhook.signing_secrets.iter().map(|_| MASK.into()).collect();
    maybe("signature", (!secrets.is_empty()).then(|| json!({ "secret": secrets })));
    std::mem::take(native)
}

/// What differs from the defaults.
fn body(choices: BodyChoices) -> Option<Value> {
    let record_id = match choices.record_id {
        RecordIdWith::Usual => None,
        RecordIdWith::Create => Some("create"),
        RecordIdWith::Always => Some("always"),
        RecordIdWith::Never => Some("never"),
    };
    let selections = match choices.selections {
        Selections::Stored => None,
        Selections::Label => Some("label"),
        Selections::Both => Some("both"),
    };
    let skips = choices.skip_empty_updates.then_some(true);
    let references = choices.attachments_as_references.then_some(true);
    let keys = [
        ("record_id", record_id.map(Value::from)),
        ("selections", selections.map(Value::from)),
        ("skip_empty_updates", skips.map(Value::from)),
        ("attachments_as_references", references.map(Value::from)),
    ];
    let told: Map<String, Value> =
        keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    (!told.is_empty()).then_some(Value::Object(told))
}

fn callback(callback: &Callback) -> Value {
    let settings = callback.authentication.settings.keys();
    let mut authentication: Map<String, Value> = settings.map(|name| (name.clone(), MASK.into())).collect();
    if callback.authentication.scheme == "HEADERS" {
        authentication = Map::from_iter([("headers".to_owned(), Value::Object(authentication))]);
    }
    authentication.insert("type".into(), callback.authentication.scheme.into());
    let mut told = json!({ "url": callback.url, "authentication": authentication });
    if !callback.headers.is_empty() {
        told["headers"] = json!(callback.headers);
    }
    if callback.proxy.is_some() {
        told["proxy"] = MASK.into();
    }
    if let Some(tls) = &callback.tls {
        let authorities = tls.authorities.as_ref().map(Pem::to_string);
        let (certificate, key) = match &tls.client {
            Some((certificate, _)) => (Some(certificate.to_string()), Some(MASK)),
            None => (None, None),
        };
        told["tls"] = json!({ "authorities": authorities, "certificate": certificate, "key": key });
    }
    told
}
