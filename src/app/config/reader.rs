//! Reads a file against the declared keys: one pass that finds everything that is wrong with single values.

use super::interpolate::{self, Environment};
use super::keys::{Key, Kind, Presence, Words};
use super::problem::Problem;
use super::table::{Entry, Table, Value};
use super::{suggest, units};
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value as the file has it, with its place.
type Raw<'i> = Spanned<DeValue<'i>>;

/// Reads, and keeps what it found wrong on the way.
pub(super) struct Reader<'a> {
    /// None means that texts stand for themselves.
    environment: Option<Environment<'a>>,
    /// The file.
    pub(super) text: &'a str,
    pub(super) problems: Vec<Problem>,
    /// Where secrets stand.
    pub(super) secret: Vec<Range<usize>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, environment: Environment<'a>) -> Self {
        Self { environment: Some(environment), text, problems: Vec::new(), secret: Vec::new() }
    }

    /// For what is no file: texts stand for themselves, and places mean nothing.
    pub(super) fn literal() -> Self {
        Self { environment: None, text: "", problems: Vec::new(), secret: Vec::new() }
    }

    /// Notes a problem.
    pub(super) fn refuse(
        &mut self,
        span: Range<usize>,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<Option<String>>,
    ) {
        self.problems.push(Problem {
            span,
            key: key.to_owned(),
            message: message.into(),
            remedy: remedy.into(),
            other: None,
            inside: None,
        });
    }

    /// Adds to the problem noted last where else to look.
    pub(super) fn point_back(&mut self, span: Range<usize>, label: &'static str) {
        if let Some(problem) = self.problems.last_mut() {
            problem.other = Some((span, label));
        }
    }

    /// Adds to the problem noted last the text that the value means, and where in it.
    pub(super) fn look_inside(&mut self, text: &str, place: Range<usize>) {
        if let Some(problem) = self.problems.last_mut() {
            problem.inside = Some((text.to_owned(), place));
        }
    }

    /// Reads a table: values that are wrong are noted and left out, defaults are filled in.
    pub(super) fn table(&mut self, raw: &DeTable<'_>, span: Range<usize>, keys: &[Key], path: &str) -> Table {
        let mut entries = BTreeMap::new();
        for (name, value) in raw {
            let (name_span, name) = (name.span(), name.get_ref().as_ref());
            let path = join(path, name);
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                self.hide(value);
                let known = keys.iter().filter(|key| key.works()).map(|key| key.name);
                self.refuse(name_span, &path, format!("unknown key {name:?}"), suggest::remedy(name, known));
                continue;
            };
            if !key.works() {
                self.hide(value);
                let remedy = "remove the key; a key that would do nothing is refused rather than ignored";
                self.refuse(name_span, &path, format!("{name:?} is not yet supported"), remedy.to_owned());
                continue;
            }
            let value_span = value.span();
            // a value that is wrong is not a value that is missing: it stands as absent, and noted already
            let value = self.value(value, key.kind, &path);
            entries.insert(name.to_owned(), Entry { name_span, span: value_span, given: true, value });
        }
        for key in keys {
            if entries.contains_key(key.name) {
                continue;
            }
            let value = match key.presence {
                Presence::Default(text) => Some(self.default(key, text)),
                Presence::Required => {
                    let remedy = format!("add `{} = …`: {}", key.name, key.about);
                    let message = format!("{:?} is missing", key.name);
                    self.refuse(span.clone(), &join(path, key.name), message, remedy);
                    None
                }
                Presence::Optional => None,
            };
            if let Some(value) = value {
                let entry = Entry { name_span: span.clone(), span: span.clone(), given: false, value };
                entries.insert(key.name.to_owned(), entry);
            }
        }
        Table { span, path: path.to_owned(), entries }
    }

    fn default(&mut self, key: &Key, text: &str) -> Option<Value> {
        let raw = DeValue::parse(text).expect("declared defaults are TOML, as a test proves");
        // a default has no place in the file, and nothing secret
        let secrets = self.secret.len();
        let value = self.value(&raw, key.kind, key.name);
        self.secret.truncate(secrets);
        value
    }

    fn value(&mut self, raw: &Raw<'_>, kind: Kind, path: &str) -> Option<Value> {
        let span = raw.span();
        match kind {
            Kind::Text => Some(Value::Text(self.text(raw, path)?)),
            Kind::Secret => {
                self.hide(raw);
                Some(Value::Secret(Secret::from(self.text(raw, path)?)))
            }
            Kind::Flag => match raw.get_ref() {
                DeValue::Boolean(flag) => Some(Value::Flag(*flag)),
                _ => self.mismatch(raw, path, "true or false"),
            },
            Kind::Whole(min, max) => self.whole(raw, path, min, max),
            Kind::Duration => self.duration(raw, path),
            Kind::Size => self.size(raw, path),
            Kind::Word(words) => self.word(raw, path, words),
            Kind::List(inner) => match raw.get_ref() {
                DeValue::Array(list) => Some(Value::List(self.list(list, *inner, path))),
                _ => self.mismatch(raw, path, "a list in [ ]"),
            },
            Kind::OneOrList(inner) => match raw.get_ref() {
                DeValue::Array(list) => Some(Value::List(self.list(list, *inner, path))),
                _ => Some(Value::List(vec![(span, self.value(raw, *inner, path))])),
            },
            Kind::Table(keys) => match raw.get_ref() {
                DeValue::Table(table) => Some(Value::Table(self.table(table, span, keys, path))),
                _ => self.mismatch(raw, path, "a table"),
            },
            Kind::Tables(keys) => match raw.get_ref() {
                DeValue::Array(list) => Some(Value::List(self.list(list, Kind::Table(keys), path))),
                _ => {
                    let name = path.rsplit('.').next().unwrap_or(path);
                    let remedy = format!("write [[{name}]], with two brackets on each side");
                    self.refuse(span, path, format!("{path} must be a list of tables"), remedy);
                    None
                }
            },
            Kind::Map(inner) => match raw.get_ref() {
                DeValue::Table(table) => Some(Value::Table(self.map(table, span, *inner, path))),
                _ => self.mismatch(raw, path, "a table"),
            },
            Kind::MapOrList(inner) => match raw.get_ref() {
                DeValue::Table(table) => Some(Value::Table(self.map(table, span, *inner, path))),
                DeValue::Array(list) => Some(Value::List(self.list(list, *inner, path))),
                _ => self.mismatch(raw, path, "a table or a list"),
            },
            Kind::TextOrTable(keys) => match raw.get_ref() {
                DeValue::Table(table) => Some(Value::Table(self.table(table, span, keys, path))),
                DeValue::String(_) => Some(Value::Text(self.text(raw, path)?)),
                _ => self.mismatch(raw, path, "a text, or a table in { }"),
            },
            Kind::Json => self.json(raw, path),
            Kind::Scheme => match raw.get_ref() {
                DeValue::Table(table) => Some(Value::Table(self.scheme(table, span, path))),
                _ => {
                    self.hide(raw);
                    self.mismatch(raw, path, "a table such as { type = \"NO_AUTH\" }")
                }
            },
            Kind::Later => None,
        }
    }

    fn mismatch(&mut self, raw: &Raw<'_>, path: &str, wanted: &str) -> Option<Value> {
        if raw.get_ref().is_table() || raw.get_ref().is_array() {
            // nobody has looked at what is in it
            self.hide(raw);
        }
        let found = raw.get_ref().type_str();
        self.refuse(raw.span(), path, format!("{path} must be {wanted}, not a TOML {found}"), None);
        None
    }

    /// Keeps a value from being shown, with everything in it: a table that is made by dotted keys has the place
    /// of a key, and its values stand elsewhere.
    fn hide(&mut self, raw: &Raw<'_>) {
        match raw.get_ref() {
            DeValue::Table(table) => table.values().for_each(|value| self.hide(value)),
            DeValue::Array(list) => list.iter().for_each(|value| self.hide(value)),
            _ => self.secret.push(raw.span()),
        }
    }

    /// A text with its variables replaced.
    fn text(&mut self, raw: &Raw<'_>, path: &str) -> Option<String> {
        let DeValue::String(text) = raw.get_ref() else {
            self.mismatch(raw, path, "a text in quotes");
            return None;
        };
        let Some(environment) = self.environment else { return Some(text.clone().into_owned()) };
        match interpolate::complete(text, environment) {
            Ok(text) => Some(text),
            Err(error) => {
                let remedy = match &error {
                    interpolate::Error::Unset(name) => {
                        format!(
                            "set {name} where walhook starts, or write $${{{name}}} if the text means itself"
                        )
                    }
                    _ => "write ${NAME} for an environment variable, or $${ for ${ itself".to_owned(),
                };
                self.refuse(raw.span(), path, error.to_string(), remedy);
                None
            }
        }
    }

    fn whole(&mut self, raw: &Raw<'_>, path: &str, min: u64, max: u64) -> Option<Value> {
        let DeValue::Integer(number) = raw.get_ref() else {
            return self.mismatch(raw, path, "a whole number");
        };
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
        match number.filter(|number| (min..=max).contains(number)) {
            Some(number) => Some(Value::Whole(number)),
            None => {
                self.refuse(raw.span(), path, format!("{path} must be from {min} to {max}"), None);
                None
            }
        }
    }

    fn duration(&mut self, raw: &Raw<'_>, path: &str) -> Option<Value> {
        const REMEDY: &str = "write a number and a unit (ms, s, m, h, d, w): \"30s\", \"2m30s\", \"7d\"";
        if !raw.get_ref().is_str() {
            let found = raw.get_ref().type_str();
            let message = format!("{path} must be a span of time in quotes, not a TOML {found}");
            self.refuse(raw.span(), path, message, REMEDY.to_owned());
            return None;
        }
        match units::duration(&self.text(raw, path)?) {
            Ok(duration) => Some(Value::Duration(duration)),
            Err(error) => {
                let message = format!("{path} is not a span of time: {error}");
                self.refuse(raw.span(), path, message, REMEDY.to_owned());
                None
            }
        }
    }

    fn size(&mut self, raw: &Raw<'_>, path: &str) -> Option<Value> {
        let remedy =
            "write a number and a unit (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB): \"10GiB\", \"500MB\"";
        if let DeValue::Integer(_) = raw.get_ref() {
            let bytes = self.whole(raw, path, 0, i64::MAX as u64)?;
            return Some(match bytes {
                Value::Whole(bytes) => Value::Size(bytes),
                other => other,
            });
        }
        match units::size(&self.text(raw, path)?) {
            Ok(bytes) => Some(Value::Size(bytes)),
            Err(error) => {
                self.refuse(raw.span(), path, format!("{path} is not a size: {error}"), remedy.to_owned());
                None
            }
        }
    }

    fn word(&mut self, raw: &Raw<'_>, path: &str, words: Words) -> Option<Value> {
        let text = self.text(raw, path)?;
        let known = (words.known)();
        if let Some(word) = known.iter().find(|word| word.eq_ignore_ascii_case(&text)) {
            return Some(Value::Word(word));
        }
        if words.later.contains(&text.as_str()) {
            let listed = known.join(", ");
            let remedy = format!("today there is: {listed}");
            self.refuse(raw.span(), path, format!("{text:?} is not yet supported in {path}"), remedy);
            return None;
        }
        let remedy = suggest::remedy(&text, known.iter().copied());
        self.refuse(raw.span(), path, format!("{path} does not know {text:?}"), remedy);
        None
    }

    fn list(&mut self, list: &[Raw<'_>], inner: Kind, path: &str) -> Vec<(Range<usize>, Option<Value>)> {
        let numbered = |number: usize| format!("{path}[{}]", number + 1);
        list.iter()
            .enumerate()
            .map(|(number, raw)| (raw.span(), self.value(raw, inner, &numbered(number))))
            .collect()
    }

    fn map(&mut self, raw: &DeTable<'_>, span: Range<usize>, inner: Kind, path: &str) -> Table {
        let mut entries = BTreeMap::new();
        for (name, value) in raw {
            let value_span = value.span();
            let name_span = name.span();
            let read = self.value(value, inner, &join(path, name.get_ref()));
            let entry = Entry { name_span, span: value_span, given: true, value: read };
            entries.insert(name.get_ref().to_string(), entry);
        }
        Table { span, path: path.to_owned(), entries }
    }

    /// A scheme's settings: `type` is a word, everything else is secret, one table deep.
    fn scheme(&mut self, raw: &DeTable<'_>, span: Range<usize>, path: &str) -> Table {
        let mut entries = BTreeMap::new();
        for (name, value) in raw {
            let path = join(path, name.get_ref());
            let (name_span, value_span) = (name.span(), value.span());
            let read = match value.get_ref() {
                _ if name.get_ref() == "type" => self.value(value, Kind::Text, &path),
                DeValue::Table(_) => {
                    self.hide(value);
                    self.value(value, Kind::Map(&Kind::Secret), &path)
                }
                _ => self.value(value, Kind::Secret, &path),
            };
            let entry = Entry { name_span, span: value_span, given: true, value: read };
            entries.insert(name.get_ref().to_string(), entry);
        }
        if !entries.contains_key("type") {
            let remedy = "add `type = \"BASIC\"` or another scheme".to_owned();
            self.refuse(span.clone(), &join(path, "type"), "\"type\" is missing", remedy);
        }
        Table { span, path: path.to_owned(), entries }
    }

    fn json(&mut self, raw: &Raw<'_>, path: &str) -> Option<Value> {
        let json = match raw.get_ref() {
            DeValue::Table(_) => self.json_value(raw, path)?,
            DeValue::String(_) => {
                let text = self.text(raw, path)?;
                match serde_json::from_str(&text) {
                    // the operator's own text is kept, so that numbers keep every digit
                    Ok(serde_json::Value::Object(_)) => return Some(Value::Json(text.trim().to_owned())),
                    Ok(other) => other,
                    Err(error) => {
                        let place = format!("line {}, column {}", error.line(), error.column());
                        self.refuse(raw.span(), path, format!("{path} is not JSON, at {place}"), None);
                        return None;
                    }
                }
            }
            _ => return self.mismatch(raw, path, "a table, or the text of a JSON object"),
        };
        if !json.is_object() {
            self.refuse(raw.span(), path, format!("{path} must be a JSON object"), None);
            return None;
        }
        Some(Value::Json(json.to_string()))
    }

    fn json_value(&mut self, raw: &Raw<'_>, path: &str) -> Option<serde_json::Value> {
        let json = match raw.get_ref() {
            DeValue::String(_) => serde_json::Value::from(self.text(raw, path)?),
            DeValue::Boolean(flag) => serde_json::Value::from(*flag),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok()?.into(),
            DeValue::Float(number) => {
                let json = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
                let Some(json) = json else {
                    self.refuse(raw.span(), path, "JSON has no such number", None);
                    return None;
                };
                serde_json::Value::Number(json)
            }
            DeValue::Datetime(time) => serde_json::Value::from(time.to_string()),
            DeValue::Array(list) => {
                list.iter().map(|raw| self.json_value(raw, path)).collect::<Option<Vec<_>>>()?.into()
            }
            DeValue::Table(table) => {
                let mut object = serde_json::Map::new();
                for (name, value) in table {
                    object.insert(name.get_ref().to_string(), self.json_value(value, path)?);
                }
                serde_json::Value::Object(object)
            }
        };
        Some(json)
    }
}

/// A key's path.
pub(super) fn join(path: &str, name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && !name.is_empty();
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}
