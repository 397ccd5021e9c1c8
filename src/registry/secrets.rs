//! The secrets of a registration: where they stand, masked when shown, sealed where they are stored.

use super::Fault;
use crate::sealing::{self, Keys};
use crate::secret::{MASK, Secret};
use crate::webhook::WebhookId;
use serde_json::{Map, Value};

/// What stands in `authentication` for everybody to see.
const SHOWN: [&str; 9] = [
    "type",
    "username",
    "accessKey",
    "tenantId",
    "authBaseUrl",
    "authAccessTokenPath",
    "authRefreshTokenPath",
    "authHeaderTokenName",
    "headerMode",
];

/// Meets every secret of a registration in the shape of the native model, with the name of its field. That is the same
/// for every one of a list, which may be put in another order.
fn visit(native: &mut Map<String, Value>, meet: &mut dyn FnMut(&str, &mut String)) {
    let mut texts = |field: &str, value: &mut Value| match value {
        Value::String(text) => meet(field, text),
        Value::Array(list) => list.iter_mut().for_each(|one| {
            if let Value::String(text) = one {
                meet(field, text);
            }
        }),
        _ => {}
    };
    if let Some(secret) = native.get_mut("signature").and_then(|signature| signature.get_mut("secret")) {
        texts("signature.secret", secret);
    }
    let Some(Value::Object(callback)) = native.get_mut("callback") else { return };
    if let Some(proxy) = callback.get_mut("proxy") {
        texts("proxy", proxy);
    }
    if let Some(key) = callback.get_mut("tls").and_then(|tls| tls.get_mut("key")) {
        texts("tls.key", key);
    }
    let Some(Value::Object(settings)) = callback.get_mut("authentication") else { return };
    for (name, value) in settings.iter_mut().filter(|(name, _)| !SHOWN.contains(&name.as_str())) {
        match value {
            Value::Object(table) => {
                for (key, value) in table.iter_mut() {
                    texts(&format!("authentication.{name}.{key}"), value);
                }
            }
            value => texts(&format!("authentication.{name}"), value),
        }
    }
}

/// Puts the mask in the place of every secret.
pub fn mask(native: &mut Map<String, Value>) {
    visit(native, &mut |_, text| MASK.clone_into(text));
    // it is the policy's own, and kept there
    if let Some(key) = native.get_mut("signing").and_then(|signing| signing.get_mut("key")) {
        *key = MASK.into();
    }
}

/// Whoever sends the mask back keeps the secret: those of `stored` take its place, of a list one after the other. What
/// had none is a fault.
pub fn unmask(native: &mut Map<String, Value>, stored: &Map<String, Value>) -> Vec<Fault> {
    let mut known: Vec<(String, String)> = Vec::new();
    visit(&mut stored.clone(), &mut |field, text| known.push((field.to_owned(), std::mem::take(text))));
    let mut faults = Vec::new();
    // the first of a list stands where it stood, whether it is kept or not
    visit(native, &mut |field, text| {
        let place = known.iter().position(|(name, _)| name == field);
        let before = place.map(|place| known.remove(place).1);
        if text == MASK {
            match before {
                Some(before) => *text = before,
                None => faults.push(Fault {
                    field: format!("callback.{field}").replace("callback.signature", "signature"),
                    message: "the mask stands for a secret that is kept, and there is none".into(),
                    remedy: Some("write the secret itself".into()),
                    place: None,
                }),
            }
        }
    });
    faults
}

/// Seals every secret that is not sealed by the newest key. Returns whether there was one; an error where a sealed one
/// cannot be opened, which stays as it is.
pub fn seal(native: &mut Map<String, Value>, id: WebhookId, keys: &Keys) -> bool {
    let mut is_changed = false;
    visit(native, &mut |field, text| {
        if text.is_empty() || text == MASK || keys.is_current(text) {
            return;
        }
        let context = sealing::context(id.0, field);
        let plain = if sealing::is_sealed(text) {
            keys.open(text, &context).ok()
        } else {
            Some(Secret::from(text.as_str()))
        };
        if let Some(plain) = plain {
            *text = keys.seal(plain.expose(), &context);
            is_changed = true;
        }
    });
    is_changed
}

/// Whether a secret stands there that is not sealed by the newest key.
pub fn wants_sealing(native: &mut Map<String, Value>, keys: &Keys) -> bool {
    let mut wants = false;
    visit(native, &mut |_, text| wants |= !text.is_empty() && text != MASK && !keys.is_current(text));
    wants
}

/// Opens every sealed secret, to be used.
pub fn open(native: &mut Map<String, Value>, id: WebhookId, keys: &Keys) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    visit(native, &mut |field, text| {
        if !sealing::is_sealed(text) {
            return;
        }
        match keys.open(text, &sealing::context(id.0, field)) {
            Ok(plain) => plain.expose().clone_into(text),
            Err(error) => faults.push(Fault {
                field: format!("callback.{field}").replace("callback.signature", "signature"),
                message: error.to_string(),
                remedy: Some("write the secret anew, or put its key back into `[secrets] key`".into()),
                place: None,
            }),
        }
    });
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}
