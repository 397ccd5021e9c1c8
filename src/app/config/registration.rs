//! Webhooks that are registered at run time, read by the same keys as `[[webhooks]]`: one model, many doors.

use super::declared::WEBHOOK;
use super::problem::Problem;
use super::reader::Reader;
use super::{Config, identity, webhook};
use crate::catalog::Latest;
use crate::form::Form;
use crate::policy::Policy;
use crate::qualification::Purpose;
use crate::registry::{Fault, Interpreter, PolicyRow, Row, secrets};
use crate::sealing::Keys;
use crate::secret::MASK;
use crate::webhook::{Callback, CallbackTls, Listening, Origin, Pem, Webhook, WebhookId, Webhooks};
use serde_json::{Map, Value};
use std::sync::Arc;
use toml::de::DeTable;

/// How large the fields may be that only one product knows.
const PRODUCT_BYTES_MAX: usize = 256 * 1024;

/// What a registration is read against: forms and defaults of the configuration.
#[derive(Debug)]
pub struct Registrations {
    forms: Vec<Arc<Form>>,
    defaults: webhook::Defaults,
    /// Those of the file: their numbers are taken.
    file: Webhooks,
    /// What opens sealed secrets.
    keys: Arc<Keys>,
    /// The URL of this site, which signs.
    site: String,
    /// The forms as they are bound now.
    latest: Latest,
}

impl Registrations {
    /// By that configuration.
    pub fn by(config: &Config, keys: &Arc<Keys>) -> Self {
        Self {
            forms: super::of_entries(&config.forms),
            defaults: webhook::Defaults {
                origin: Origin::Table,
                schedule: config.dispatch.schedule.clone(),
                timeout: config.dispatch.timeout,
                proxy: config.dispatch.proxy.clone(),
                may_name_proxy: config.dispatch.proxy.is_none() || config.dispatch.own_proxies,
                queue_bytes_max: config.queue.bytes_max,
                folder: config.path.parent().unwrap_or(std::path::Path::new("")).to_owned(),
                account: super::account(&config.admin.settings.itrp),
            },
            file: config.webhooks.clone(),
            keys: Arc::clone(keys),
            site: config.admin.settings.site.clone(),
            latest: Latest::default(),
        }
    }
}

impl Registrations {
    /// The same with the forms as they are bound from now on.
    pub fn knowing(self, latest: Latest) -> Self {
        Self { latest, ..self }
    }
}

impl Interpreter for Registrations {
    fn misfits(&self, webhook: &Webhook) -> Vec<Fault> {
        let (Some(condition), Some(known)) = (&webhook.condition, self.latest.now()) else {
            return Vec::new();
        };
        let mut faults = Vec::new();
        for Listening { form, verbs, .. } in &webhook.listens {
            let Some(bound) = known.forms.iter().find(|known| known.form.name == *form) else { continue };
            let judged = condition.bind(bound, Purpose::Webhook(verbs));
            faults.extend(judged.err().into_iter().flat_map(|faults| faults.0).map(|fault| Fault {
                field: "condition".into(),
                message: format!("does not fit form {form:?}: {}", fault.message),
                remedy: fault.remedy,
                place: Some(fault.place),
            }));
        }
        faults
    }

    fn sealed(&self, row: &Row) -> Row {
        row.sealed(&self.keys).map_or_else(|| row.clone(), |columns| row.with(columns))
    }

    fn interpret(&self, id: WebhookId, native: &Value) -> Result<Webhook, Vec<Fault>> {
        let Value::Object(native) = native else {
            return Err(vec![whole("a registration is a JSON object", None)]);
        };
        if let Some(own) = self.file.find(id) {
            let remedy = format!("give webhook {:?} of the file another `id`", own.name);
            return Err(vec![whole(
                &format!("walhook.toml has a webhook with the number {id}"),
                Some(remedy),
            )]);
        }
        let mut native = native.clone();
        secrets::open(&mut native, id, &self.keys)?;
        let native = &native;
        let (keys, custom_json) = keys_of(id, native);
        // a registration is no file: what stands in it stands for itself, and `${NAME}` is text
        let mut reader = Reader::literal();
        let table = DeTable::parse(&keys).map_err(|error| {
            vec![whole(&format!("it cannot be read: {}", error.message().trim_end()), None)]
        })?;
        let table = reader.table(table.get_ref(), 0..0, WEBHOOK, "");
        let read = webhook::read_one(&mut reader, &table, &self.forms, &self.defaults);
        let mut faults: Vec<Fault> = reader.problems.into_iter().map(fault_of).collect();
        faults.extend(webhook::custom_json_fault(custom_json).map(|(message, remedy)| Fault {
            field: "custom_json".into(),
            message,
            remedy: Some(remedy),
            place: None,
        }));
        faults.extend(product_fault(native.get("product")));
        let policy = self.policy(native).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        match read {
            Some(webhook) if faults.is_empty() => Ok(Webhook {
                custom_json: custom_json.map(Value::to_string),
                policy,
                callback: Callback { tls: certificates(native), ..webhook.callback },
                ..webhook
            }),
            _ if faults.is_empty() => Err(vec![whole("it cannot be read", None)]),
            _ => Err(faults),
        }
    }
}

impl Registrations {
    /// What a registration is signed by. Before it is written, only the number of the policy is known.
    fn policy(&self, native: &Map<String, Value>) -> Result<Option<Policy>, Fault> {
        let fault = |message: String, remedy: &str| Fault {
            field: "webhook_policy".into(),
            message,
            remedy: Some(remedy.to_owned()),
            place: None,
        };
        let number = native.get("webhook_policy").filter(|number| !number.is_null());
        if number.is_some_and(|number| number.as_u64().is_none()) {
            let remedy = "write the number of a policy, as /v1/webhook_policies tells it";
            return Err(fault("webhook_policy must be a number".into(), remedy));
        }
        let Some(signing) = native.get("signing").filter(|signing| signing["key"] != MASK) else {
            return Ok(None);
        };
        if number.is_none() || signing.is_null() {
            return Ok(None);
        }
        let row = serde_json::from_value::<PolicyRow>(signing.clone());
        let row =
            row.map_err(|_| fault("what is kept of the policy cannot be read".into(), "write it anew"))?;
        let is_discovered = native
            .get("product")
            .and_then(|product| product.pointer("/itrp/openid_connect_discovery"))
            .is_some_and(|discovery| *discovery == true);
        let policy = row.policy(&self.site, is_discovered, &self.keys);
        policy.map(Some).map_err(|error| {
            fault(error.to_string(), "put its key back into `[secrets] key`, or make another policy")
        })
    }
}

/// What only one product knows of a webhook is its API's to judge; but it may not grow without end.
fn product_fault(product: Option<&Value>) -> Option<Fault> {
    let product = product.filter(|product| !product.is_null())?;
    let fault = |message: String, remedy: &str| Fault {
        field: "product".into(),
        message,
        remedy: Some(remedy.to_owned()),
        place: None,
    };
    if !product.as_object().is_some_and(|products| products.values().all(Value::is_object)) {
        return Some(fault(
            "product must be an object of objects".into(),
            "write the fields under the product's name: {\"itrp\": {\"source\": \"…\"}}",
        ));
    }
    let bytes = product.to_string().len();
    (bytes > PRODUCT_BYTES_MAX).then(|| {
        fault(
            format!("product has {bytes} bytes, more than {PRODUCT_BYTES_MAX}"),
            "keep large things elsewhere",
        )
    })
}

/// Certificates as texts: a path would let whoever registers look into files of this machine.
fn certificates(native: &Map<String, Value>) -> Option<CallbackTls> {
    let tls = native.get("callback")?.get("tls")?.as_object()?;
    let text = |name: &str| tls.get(name)?.as_str().map(|text| Pem::Text(text.into()));
    Some(CallbackTls { authorities: text("authorities"), client: text("certificate").zip(text("key")) })
}

/// A registration as the configuration's keys, and what is sent along unchanged: that may have values that TOML lacks.
fn keys_of(id: WebhookId, native: &Map<String, Value>) -> (String, Option<&Value>) {
    let mut keys = native.clone();
    keys.remove("custom_json");
    for name in ["product", "webhook_policy", "signing"] {
        keys.remove(name);
    }
    keys.retain(|_, value| !value.is_null());
    keys.values_mut().for_each(drop_nulls);
    if id.0 <= identity::ID_MAX && id.0 > 0 {
        keys.insert("id".into(), id.0.into());
    }
    let custom_json = native.get("custom_json").filter(|value| !value.is_null());
    (toml::to_string(&keys).unwrap_or_default(), custom_json)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(array) => array.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn fault_of(problem: Problem) -> Fault {
    Fault {
        field: problem.key,
        message: problem.message,
        remedy: problem.remedy,
        place: problem.inside.map(|(_, place)| place),
    }
}

fn whole(message: &str, remedy: Option<String>) -> Fault {
    Fault { field: String::new(), message: message.to_owned(), remedy, place: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::Config;
    use serde_json::json;
    use std::path::Path;

    fn keys() -> Arc<Keys> {
        Arc::new(Keys::new(vec![crate::sealing::SealingKey::generate()]).unwrap())
    }

    fn registrations() -> Registrations {
        let file = r#"
            [[forms]]
            name = "Incident"
            table = "incident"
            [[webhooks]]
            id = 7
            name = "own"
            form = "Incident"
            events = ["create"]
            callback = { url = "https://receiver.example/" }
        "#;
        Registrations::by(&Config::parse(Path::new("walhook.toml"), file, &|_| None).unwrap(), &keys())
    }

    fn native() -> Value {
        json!({
            "name": "New ones",
            "form": "Incident",
            "events": ["create", "update"],
            "condition": "'status' = \"New\"",
            "custom_json": { "a": null, "b": 1.5 },
            "callback": {
                "url": "https://receiver.example/hook",
                "authentication": { "type": "BASIC", "username": "u", "password": "${HOME}" },
            },
        })
    }

    #[test]
    fn a_registration_is_read_as_the_file_is_and_means_itself() {
        let webhook = registrations().interpret(WebhookId(3), &native()).unwrap();
        assert_eq!((webhook.id, &*webhook.name), (WebhookId(3), "New ones"));
        assert_eq!(webhook.custom_json.as_deref(), Some(r#"{"a":null,"b":1.5}"#));
        assert_eq!(webhook.callback.authentication.settings["password"].expose(), "${HOME}");
    }

    #[test]
    fn a_proxy_of_its_own_is_no_proxy_of_the_operators() {
        let file = |own_proxies| {
            format!(
                "[dispatch]\nproxy = \"http://proxy.example:3128\"\nown_proxies = {own_proxies}\n\
                 [[forms]]\nname = \"Incident\"\ntable = \"incident\""
            )
        };
        let strict = Config::parse(Path::new("walhook.toml"), &file(false), &|_| None).unwrap();
        for proxy in ["none", "http://proxy.example:3128"] {
            let mut native = native();
            native["callback"]["proxy"] = json!(proxy);
            let faults = Registrations::by(&strict, &keys()).interpret(WebhookId(3), &native).unwrap_err();
            assert_eq!(faults[0].field, "callback.proxy");
            assert!(faults[0].remedy.as_ref().unwrap().contains("own_proxies"), "{faults:?}");
        }
        let file = file(true);
        let config = Config::parse(Path::new("walhook.toml"), &file, &|_| None).unwrap();
        let proxy = |proxy: Option<&str>| {
            let mut native = native();
            native["callback"]["proxy"] = json!(proxy);
            let webhook = Registrations::by(&config, &keys()).interpret(WebhookId(3), &native).unwrap();
            assert_eq!(webhook.origin, Origin::Table);
            webhook.callback.proxy.map(|proxy| (proxy.to_string(), proxy.named_by))
        };
        assert_eq!(proxy(None), Some(("http://proxy.example:3128".into(), Origin::File)));
        assert_eq!(
            proxy(Some("http://proxy.example:3128")),
            Some(("http://proxy.example:3128".into(), Origin::Table))
        );
        assert_eq!(proxy(Some("none")), None);
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_field() {
        let mut native = native();
        native["form"] = json!("Incidents");
        native["condition"] = json!("'status' = ");
        native["events"] = json!(["created"]);
        native["callback"]["url"] = json!("ftp://receiver.example");
        native["colour"] = json!("red");
        native["in_flight_max"] = json!(0);
        let faults = registrations().interpret(WebhookId(3), &native).unwrap_err();
        let mut fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        fields.sort_unstable();
        fields.dedup();
        assert_eq!(fields, ["callback.url", "colour", "condition", "events[1]", "form", "in_flight_max"]);
        assert!(faults.iter().any(|fault| fault.place == Some(11..11)), "{faults:?}");
    }

    #[test]
    fn the_numbers_of_the_file_are_taken() {
        let faults = registrations().interpret(WebhookId(7), &native()).unwrap_err();
        assert!(faults[0].message.contains("number 7"), "{faults:?}");
    }
}
