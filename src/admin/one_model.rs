//! One model for all products (R-NA-01): whoever edits a webhook through one product's words loses nothing that another
//! product's words, or nobody's, tell of it.
//!
//! What a field of a product stands for is not written down here but measured: those parts of the native model that
//! change what the field shows. Values to edit a field with are what it shows of another registration. So a further
//! product is one line in [`products`].

use super::arsys::words::ArSystem;
use super::datagerry::words::DataGerry;
use super::itrp::words::Itrp;
use super::nouns::Nouns;
use super::translation::{Native, Words, put_in};
use crate::catalog::Description;
use crate::form::{BoundForm, sample};
use crate::registry::Fault;
use crate::secret::MASK;
use crate::value::Type;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

fn products() -> Vec<Box<dyn Product>> {
    vec![
        Box::new(Through("AR System", ArSystem { described: Some(described()) })),
        Box::new(Through("DataGerry", DataGerry)),
        Box::new(Through("ITRP", Itrp { nouns: Nouns(Some(described())) })),
    ]
}

/// A product's words, one of several.
trait Product {
    fn name(&self) -> &'static str;
    fn fields(&self) -> &'static [&'static str];
    fn show(&self, native: &Native) -> Map<String, Value>;
    fn put_in(&self, given: &Map<String, Value>, native: &mut Native) -> Result<(), Vec<Fault>>;
}

struct Through<W>(&'static str, W);

impl<W: Words> Product for Through<W> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn fields(&self) -> &'static [&'static str] {
        W::FIELDS
    }

    fn show(&self, native: &Native) -> Map<String, Value> {
        self.1.show(native)
    }

    fn put_in(&self, given: &Map<String, Value>, native: &mut Native) -> Result<(), Vec<Fault>> {
        put_in(&self.1, given, native)
    }
}

/// Forms and nouns. One registration has some of the first two, another one of the others, so that no edit gives a form
/// that is there already.
const FORMS: [(&str, &str); 4] =
    [("HPD:Help Desk", "request"), ("User", "person"), ("Problem", "problem"), ("BMC.CORE:Asset", "ci")];

const COLUMNS: [&str; 3] = ["Description", "Impact", "Status"];

fn described() -> Arc<Description> {
    let columns = COLUMNS.map(|name| (name, Type::Text));
    let forms = FORMS.map(|(name, noun)| {
        let bound = sample::form(name, &columns);
        let mut form = (*bound.form).clone();
        noun.clone_into(&mut form.noun);
        Arc::new(BoundForm { form: Arc::new(form), ..bound })
    });
    Arc::new(Description { forms: forms.to_vec(), statuses: vec![] })
}

/// What a registration listens to, in each way in which that can be said.
fn listening(forms: &'static [(&'static str, &'static str)]) -> impl Strategy<Value = Value> {
    let verbs = || subsequence(vec!["create", "update", "merge", "delete"], 1..=4);
    let some = (subsequence(forms.to_vec(), 1..=2), verbs(), verbs());
    (0..4, some).prop_map(|(way, (forms, verbs, others))| {
        let names: Vec<&str> = forms.iter().map(|(name, _)| *name).collect();
        let pairs = forms.iter().zip([&verbs, &others]);
        let pairs =
            pairs.flat_map(|((_, noun), verbs)| verbs.iter().map(move |verb| format!("{noun}.{verb}")));
        match way {
            0 => json!({ "form": names[0], "events": verbs }),
            1 => json!({ "form": "*", "events": verbs }),
            2 => json!({ "forms": names, "events": verbs }),
            _ => json!({ "events": pairs.collect::<Vec<_>>() }),
        }
    })
}

fn authentication() -> impl Strategy<Value = Value> {
    let ims = json!({ "type": "IMS", "accessKey": "k", "accessSecretKey": MASK, "tenantId": "7",
        "authBaseUrl": "https://ims.example" });
    let ims_by_name = json!({ "type": "IMS", "accessKey": "j", "accessSecretKey": MASK, "tenantId": "8",
        "authBaseUrl": "https://ims.example", "authAccessTokenPath": "/in", "authRefreshTokenPath": "/again",
        "authHeaderTokenName": "X-Token", "headerMode": "name" });
    select(vec![
        Value::Null,
        json!({ "type": "NO_AUTH" }),
        json!({ "type": "BASIC", "username": "Demo", "password": MASK }),
        json!({ "type": "BASIC", "username": "a:b@c", "password": MASK }),
        json!({ "type": "BEARER", "token": MASK }),
        json!({ "type": "HEADERS", "headers": { "X-Key": MASK } }),
        ims,
        ims_by_name,
    ])
}

/// What a registration may say beside: each is there or not.
fn further() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let choices = |name: &'static str, values: Value| {
        let mut values = values.as_array().unwrap().clone();
        values.push(Value::Null);
        select(values).prop_map(move |value| (name, value))
    };
    vec![
        choices("description", json!(["for the desk", "für alle"])),
        choices("condition", json!(["'Status' = \"New\"", "'Impact' = 1"])),
        choices("payload_fields", json!([["Description"], ["Status", "Impact"], ["Impact", "Description"]])),
        choices("send_unchanged_fields", json!([true, false])),
        choices("enabled", json!([true, false])),
        choices("custom_json", json!([{ "a": null, "b": { "c": [1] } }, { "a": 1.5 }])),
        choices("webhook_policy", json!([3, 4])),
        choices("mail_exceptions_to", json!([["a@example.org"], ["a@example.org", "Boss <b@example.org>"]])),
        choices("format", json!(["native", "arsys"])),
        choices("schedule", json!([["5s"], ["1s", "2m"]])),
        choices("on_exhausted", json!(["block"])),
        choices("per_second_max", json!([7])),
        choices("retention", json!(["1d"])),
        choices("signature", json!([{ "secret": [MASK, MASK] }])),
        choices("of a later version", json!([{ "deep": [{ "a": null }] }])),
        choices(
            "body",
            json!([{ "attachments_as_references": true },
            { "record_id": "always", "selections": "both", "skip_empty_updates": true }]),
        ),
        choices("exclude", json!([{ "origins": ["etl"] }, { "actors": ["sync"], "marks": ["nightly"] }])),
        choices("product.arsys.later", json!([{ "a": 1 }])),
        choices("product.itrp.source", json!(["import", "Ämter"])),
        choices("product.itrp.sourceID", json!(["17", "4711"])),
        choices("product.itrp.openid_connect_discovery", json!([true, false])),
        choices("product.itrp.app_offering_references", json!([["a"], ["b", "c"]])),
        choices("product.itrp.description_attachments", json!([[{ "key": "files/a.txt" }]])),
        choices("product.nobody.x", json!([[1, null]])),
        choices("callback.headers", json!([{ "X-Team": "desk" }])),
        choices("callback.proxy", json!([MASK])),
        choices("callback.tls", json!([{ "authorities": "pem", "certificate": "pem", "key": MASK }])),
        choices("callback.later", json!([{ "a": [] }])),
    ]
}

/// A registration as it is shown, secrets masked. It has a name: what a product makes of none is that product's own.
fn native(forms: &'static [(&'static str, &'static str)]) -> impl Strategy<Value = Native> {
    let names = select(vec!["Escalations", "request.create"]);
    let urls = select(vec!["https://a.example/x?y=1", "http://b.example:8080/", "https://[::1]/@"]);
    (names, urls, authentication(), listening(forms), further()).prop_map(
        |(name, url, authentication, listening, further)| {
            let mut leaves = Leaves::new();
            leaves.insert("name".into(), name.into());
            leaves.insert("callback.url".into(), url.into());
            leaves.extend(further.into_iter().map(|(path, value)| (path.to_owned(), value)));
            for (within, object) in [("", listening), ("callback.authentication.", authentication)] {
                let Value::Object(object) = object else { continue };
                leaves.extend(object.into_iter().map(|(key, value)| (format!("{within}{key}"), value)));
            }
            leaves.retain(|_, value| !value.is_null());
            native_of(&leaves)
        },
    )
}

fn one() -> impl Strategy<Value = Native> {
    native(&FORMS[..2])
}

fn another() -> impl Strategy<Value = Native> {
    native(&FORMS[2..])
}

/// The parts of the native model by path; a field, a setting of the callback, of its authentication, of a product.
type Leaves = BTreeMap<String, Value>;

fn leaves(native: &Native) -> Leaves {
    fn walk(within: &str, object: &Map<String, Value>, leaves: &mut Leaves) {
        for (key, value) in object {
            let path = format!("{within}{key}");
            let is_inner = path == "callback" || path == "callback.authentication" || path == "product";
            match value {
                Value::Object(inner) if is_inner || within == "product." => {
                    walk(&format!("{path}."), inner, leaves);
                }
                // nothing and null are the same
                Value::Null => {}
                value => drop(leaves.insert(path, value.clone())),
            }
        }
    }
    let mut found = Leaves::new();
    walk("", native, &mut found);
    found
}

fn native_of(leaves: &Leaves) -> Native {
    let mut native = Native::new();
    for (path, value) in leaves {
        let path: Vec<&str> = path.split('.').collect();
        super::translation::set(&mut native, &path, value.clone());
    }
    native
}

/// The names of what differs.
fn changed<'a>(
    before: impl IntoIterator<Item = (&'a String, &'a Value)>,
    after: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> BTreeSet<String> {
    let before: BTreeSet<_> = before.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    let after: BTreeSet<_> = after.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    before.symmetric_difference(&after).map(|(name, _)| (*name).clone()).collect()
}

/// What a field stands for, by product and field: the leaves on which depends what it shows.
type Meanings = BTreeMap<(&'static str, String), BTreeSet<String>>;

static MEANINGS: LazyLock<Meanings> = LazyLock::new(|| {
    let mut runner = TestRunner::deterministic();
    let mut meanings = Meanings::new();
    for _ in 0..300 {
        let before = leaves(&one().new_tree(&mut runner).unwrap().current());
        let other = leaves(&another().new_tree(&mut runner).unwrap().current());
        for path in before.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
            let mut after = before.clone();
            match other.get(path) {
                Some(value) => drop(after.insert(path.clone(), value.clone())),
                None => drop(after.remove(path)),
            }
            for product in products() {
                let (before, after) = (product.show(&native_of(&before)), product.show(&native_of(&after)));
                for field in changed(&before, &after) {
                    meanings.entry((product.name(), field)).or_default().insert(path.clone());
                }
            }
        }
    }
    meanings
});

fn meaning(product: &dyn Product, field: &str) -> &'static BTreeSet<String> {
    static NOTHING: BTreeSet<String> = BTreeSet::new();
    MEANINGS.get(&(product.name(), field.to_owned())).unwrap_or(&NOTHING)
}

/// Values to edit a field with: what another registration has there, whole and, of an object, each key alone, or of a
/// list, beside what it has.
fn edits(product: &dyn Product, field: &str, native: &Native, other: &Native) -> Vec<Value> {
    let (shown, other) = (product.show(native).remove(field), product.show(other).remove(field));
    let (shown, other) = (shown.unwrap_or_default(), other.unwrap_or_default());
    let mut edits = vec![other.clone()];
    if let (Value::Object(shown), Value::Object(other)) = (&shown, &other) {
        for (key, value) in other {
            let mut one = shown.clone();
            one.insert(key.clone(), value.clone());
            edits.push(one.into());
        }
    }
    if let (Value::Array(shown), Value::Array(other)) = (shown, other) {
        let further: Vec<Value> = other.into_iter().filter(|value| !shown.contains(value)).collect();
        edits.push(shown.into_iter().chain(further).collect());
    }
    edits
}

/// A value whose order does not count, where it is a list: it tells what is wanted, of events and of fields.
fn in_order(value: Option<&Value>) -> Value {
    let mut value = value.cloned().unwrap_or_default();
    if let Value::Array(list) = &mut value {
        list.sort_by_key(Value::to_string);
    }
    value
}

/// Whether an edit takes out what was in a list.
fn takes_out(shown: Option<&Value>, value: &Value) -> bool {
    let former = shown.and_then(Value::as_array).into_iter().flatten();
    let now = value.as_array();
    former.into_iter().any(|one| !now.is_some_and(|now| now.contains(one)))
}

fn scheme(leaves: &Leaves) -> String {
    let scheme = leaves.get("callback.authentication.type").and_then(Value::as_str);
    scheme.unwrap_or("NO_AUTH").to_uppercase()
}

/// What a product shows comes back and changes nothing.
fn nothing_is_written_back(product: &dyn Product, native: &Native) {
    let mut after = native.clone();
    product.put_in(&product.show(native), &mut after).unwrap();
    assert_eq!(&after, native, "written back by {}", product.name());
}

/// ITRP takes no delete of these forms that is not there already.
fn is_refused(product: &dyn Product, field: &str, value: &Value, shown: &Map<String, Value>) -> bool {
    let deletes = |value: Option<&Value>| -> BTreeSet<String> {
        let events = value.and_then(Value::as_str).unwrap_or_default().split(',');
        events.filter(|event| event.ends_with(".delete")).map(str::to_owned).collect()
    };
    product.name() == "ITRP"
        && field == "event"
        && !deletes(Some(value)).is_subset(&deletes(shown.get(field)))
}

/// One edit of one field through one product.
fn edit_and_undo(product: &dyn Product, field: &str, value: &Value, native: &Native) {
    let said = || format!("{}: {field} = {value} in {}", product.name(), Value::Object(native.clone()));
    let shown = product.show(native);
    let mut after = native.clone();
    if is_refused(product, field, value, &shown) {
        let edit = Map::from_iter([(field.to_owned(), value.clone())]);
        assert!(product.put_in(&edit, &mut after).is_err(), "{}", said());
        return;
    }
    product
        .put_in(&Map::from_iter([(field.to_owned(), value.clone())]), &mut after)
        .unwrap_or_else(|faults| panic!("{}: {faults:?}", said()));

    // the field has the value, and no other one has changed
    let shown_after = product.show(&after);
    assert_eq!(in_order(shown_after.get(field)), in_order(Some(value)), "{}", said());
    let others = changed(&shown, &shown_after);
    assert!(others.iter().all(|other| other == field), "{others:?}: {}", said());

    // only what the field stands for has changed; but another kind of authentication takes the former's place wholly
    let (before, after_leaves) = (leaves(native), leaves(&after));
    let is_same_scheme = scheme(&before) == scheme(&after_leaves);
    let stands_for = meaning(product, field);
    for path in changed(&before, &after_leaves) {
        let is_replaced = !is_same_scheme && path.starts_with("callback.authentication.");
        assert!(stands_for.contains(&path) || is_replaced, "{path} was changed: {}", said());
    }

    // so no other product shows anything else, but for what stands for the same; and what each shows can come back
    for other in products() {
        for elsewhere in changed(&other.show(native), &other.show(&after)) {
            let is_the_same = !meaning(&*other, &elsewhere).is_disjoint(stands_for);
            assert!(is_the_same, "{} of {} has changed: {}", elsewhere, other.name(), said());
        }
        nothing_is_written_back(&*other, &after);
    }

    // and the way back leads where it began; not where secrets went with their kind of authentication, nor from what was
    // taken out of a list, for what is put in again is for all forms
    let undone = shown.get(field).cloned().unwrap_or_default();
    let is_final = is_refused(product, field, &undone, &shown_after);
    if is_same_scheme && !takes_out(shown.get(field), value) && !is_final {
        let former = Map::from_iter([(field.to_owned(), undone)]);
        product.put_in(&former, &mut after).unwrap_or_else(|faults| panic!("undone: {}: {faults:?}", said()));
        for other in products() {
            let name = other.name();
            assert_eq!(other.show(&after), other.show(native), "{name} after an undone edit, {}", said());
        }
    }
}

// R-NA-01
proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_edit_through_one_product_loses_nothing_of_the_others(native in one(), other in another()) {
        for product in products() {
            nothing_is_written_back(&*product, &native);
            for field in product.fields() {
                for value in edits(&*product, field, &native, &other) {
                    edit_and_undo(&*product, field, &value, &native);
                }
            }
        }
    }
}

/// The measure measures: some fields stand for what they must, and the registrations have what nobody shows.
#[test]
fn what_fields_stand_for_is_known() {
    let products = products();
    let of = |product: usize, field: &str| {
        meaning(&*products[product], field).iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of(0, "enabled"), "enabled");
    assert_eq!(of(0, "form_name"), "events form forms");
    assert!(
        of(0, "callback")
            .ends_with("callback.authentication.type callback.authentication.username callback.url")
    );
    assert_eq!(of(2, "name"), "name");
    assert_eq!(of(2, "disabled"), "enabled");
    assert_eq!(of(2, "uri"), "callback.authentication.type callback.authentication.username callback.url");
    let known: BTreeSet<&String> = MEANINGS.values().flatten().collect();
    for path in ["callback.tls", "callback.authentication.token", "signature", "product.nobody.x"] {
        assert!(!known.contains(&path.to_owned()), "{path}");
    }
}
