//! Lists as DataGerry answers them: which part of a collection is asked for, in which order, and with what around it.

use super::trouble::{Answer, Trouble};
use crate::admin::api::time;
use crate::admin::gate::Base;
use axum::Json;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many documents a page has unless it is said; 0 means all.
const LIMIT_DEFAULT: usize = 10;

/// A document of the product.
pub(super) type Document = Map<String, Value>;

/// What is asked of a collection.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) limit: usize,
    page: usize,
    sort: String,
    /// 1 is upwards, -1 downwards.
    order: i8,
    /// Values that fields must have. The product takes any query of MongoDB's; here it is equality alone.
    pub(super) filter: Document,
    projection: Option<Projection>,
    /// Parameters that mean nothing here, told back as the product does.
    optional: Document,
}

/// Which fields are answered.
#[derive(Debug)]
struct Projection {
    given: Value,
    includes: Vec<String>,
    excludes: Vec<String>,
}

impl Listing {
    /// Reads the query of a collection whose documents can be looked for by these fields. What cannot be understood is
    /// refused: a list that is not the one asked for looks like one that is.
    pub(super) fn read(query: &str, fields: &[&str]) -> Answer<Self> {
        let mut listing = Self {
            limit: LIMIT_DEFAULT,
            page: 1,
            sort: "public_id".into(),
            order: 1,
            filter: Document::new(),
            projection: None,
            optional: Document::new(),
        };
        let is_known = |field: &str| {
            let said =
                || format!("documents cannot be looked for by {field:?}, only by {}", fields.join(", "));
            if fields.contains(&field) { Ok(()) } else { Err(Trouble::wrong(said())) }
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "limit" => listing.limit = whole(&name, &value, 0)?,
                "page" => listing.page = whole(&name, &value, 1)?,
                "order" => {
                    listing.order = value
                        .parse()
                        .ok()
                        .filter(|order| matches!(order, 1 | -1))
                        .ok_or_else(|| Trouble::wrong(format!("order is 1 or -1, not {value:?}")))?;
                }
                "sort" => {
                    is_known(&value)?;
                    listing.sort = value.into_owned();
                }
                "filter" => {
                    listing.filter = filter(&value)?;
                    listing.filter.keys().try_for_each(|field| is_known(field))?;
                }
                "projection" => listing.projection = Projection::read(&value)?,
                _ => drop(listing.optional.insert(name.into_owned(), value.into())),
            }
        }
        Ok(listing)
    }

    /// The documents of the page, and how many there are on all pages.
    pub(super) fn pick(&self, documents: Vec<Document>) -> (Vec<Document>, usize) {
        let value = |document: &Document, field: &str| document.get(field).cloned().unwrap_or_default();
        let fits = |document: &Document| {
            self.filter.iter().all(|(field, wanted)| match value(document, field) {
                Value::Array(list) => list.contains(wanted),
                found => found == *wanted,
            })
        };
        let mut found: Vec<Document> = documents.into_iter().filter(fits).collect();
        found.sort_by(|one, other| compare(&value(one, &self.sort), &value(other, &self.sort)));
        if self.order < 0 {
            found.reverse();
        }
        let total = found.len();
        let size = if self.limit == 0 { usize::MAX } else { self.limit };
        let before = (self.page - 1).saturating_mul(size);
        (found.into_iter().skip(before).take(size).collect(), total)
    }

    /// Whether a field is answered.
    pub(super) fn tells(&self, field: &str) -> bool {
        self.projection.as_ref().is_none_or(|projection| projection.tells(field))
    }

    /// The answer with the documents of the page.
    pub(super) fn answer(
        &self,
        mut results: Vec<Document>,
        total: usize,
        base: &Base,
        uri: &Uri,
    ) -> Response {
        for document in &mut results {
            document.retain(|field, _| self.tells(field));
        }
        let pages = if self.limit == 0 { 1 } else { total.div_ceil(self.limit) };
        let mut parameters = json!({
            "limit": self.limit, "sort": self.sort, "order": self.order, "page": self.page,
            "filter": self.filter, "optional": self.optional,
        });
        if let Some(projection) = &self.projection {
            parameters["projection"] = projection.given.clone();
        }
        let at = |page: usize| page_of(base, uri, page);
        let body = json!({
            "results": results,
            "count": results.len(),
            "total": total,
            "parameters": parameters,
            "pager": { "page": self.page, "page_size": self.limit, "total_pages": pages },
            "pagination": {
                "current": format!("{}{uri}", base.0),
                "first": at(1),
                "prev": at(self.page.saturating_sub(1).max(1)),
                "next": at(self.page.saturating_add(1).min(pages.max(1))),
                "last": at(pages),
            },
            "response_type": "GET",
            "time": now(),
        });
        const TOTAL: HeaderName = HeaderName::from_static("x-total-count");
        ([(TOTAL, total.to_string()), (CACHE_CONTROL, "no-store".to_owned())], Json(body)).into_response()
    }
}

impl Projection {
    /// A list of names, or an object that says 1 or 0 of each.
    fn read(text: &str) -> Answer<Option<Self>> {
        let wrong =
            || Trouble::wrong("projection is a JSON list of fields, or an object that says 1 or 0 of each");
        let given: Value = serde_json::from_str(text).map_err(|_| wrong())?;
        let (mut includes, mut excludes) = (Vec::new(), Vec::new());
        match &given {
            Value::Array(names) => {
                for name in names {
                    includes.push(name.as_str().ok_or_else(wrong)?.to_owned());
                }
            }
            Value::Object(names) => {
                for (name, value) in names {
                    match (value.as_bool(), value.as_i64()) {
                        (Some(true), _) | (_, Some(1)) => includes.push(name.clone()),
                        (Some(false), _) | (_, Some(0)) => excludes.push(name.clone()),
                        _ => return Err(wrong()),
                    }
                }
            }
            _ => return Err(wrong()),
        }
        let is_none = includes.is_empty() && excludes.is_empty();
        Ok((!is_none).then_some(Self { given, includes, excludes }))
    }

    fn tells(&self, field: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|name| name == field);
        (self.includes.is_empty() || is_in(&self.includes)) && !is_in(&self.excludes)
    }
}

/// Equalities: `{"active": true, "name": "CMDB"}`.
fn filter(text: &str) -> Answer<Document> {
    let wrong = |message: &str| Trouble::wrong(format!("filter {message}; write {{\"name\": \"value\"}}"));
    match serde_json::from_str(text) {
        Ok(Value::Object(filter)) => {
            match filter.iter().find(|(_, value)| value.is_object() || value.is_array()) {
                None => Ok(filter),
                Some((field, _)) => Err(wrong(&format!(
                    "asks more of {field:?} than equality, which is all that is known here"
                ))),
            }
        }
        Ok(Value::Array(stages)) if stages.is_empty() => Ok(Document::new()),
        Ok(_) => Err(wrong("is no JSON object; aggregations are not known here")),
        Err(error) => Err(wrong(&format!("is no JSON: {error}"))),
    }
}

fn whole(name: &str, text: &str, least: usize) -> Answer<usize> {
    let number = text.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| Trouble::wrong(format!("{name} is a whole number of {least} or more, not {text:?}")))
}

/// As MongoDB sorts what is of different kinds: nothing, numbers, texts, the rest.
fn compare(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Object(_) => 3,
        Value::Array(_) => 4,
        Value::Bool(_) => 5,
    };
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => one.as_f64().partial_cmp(&other.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Array(one), Value::Array(other)) => {
            let different = one.iter().zip(other).map(|(one, other)| compare(one, other));
            different.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| one.len().cmp(&other.len()))
        }
        _ => rank(one).cmp(&rank(other)),
    }
}

/// The address of a page.
fn page_of(base: &Base, uri: &Uri, page: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let given = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(given.filter(|(name, _)| name != "page")).append_pair("page", &page.to_string());
    format!("{}{}?{}", base.0, uri.path(), query.finish())
}

/// When an answer was made.
pub(super) fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time::write(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &["public_id", "name", "active", "event_types"];

    fn documents() -> Vec<Document> {
        let all = json!([
            { "public_id": 10, "name": "b", "active": true, "event_types": ["CREATE"] },
            { "public_id": 2, "name": "a", "active": false, "event_types": ["CREATE", "UPDATE"] },
            { "public_id": 3, "name": null, "active": true, "event_types": ["DELETE"] },
        ]);
        all.as_array().unwrap().iter().map(|one| one.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn documents_are_found_sorted_and_paged() {
        let check = |query: &str, expected: &[u64], total: usize| {
            let listing = Listing::read(query, FIELDS).unwrap();
            let (found, of) = listing.pick(documents());
            let found: Vec<u64> = found.iter().map(|one| one["public_id"].as_u64().unwrap()).collect();
            assert_eq!((&found[..], of), (expected, total), "{query}");
        };
        check("", &[2, 3, 10], 3);
        check("order=-1&limit=0", &[10, 3, 2], 3);
        check("limit=2", &[2, 3], 3);
        check("limit=2&page=2", &[10], 3);
        check("limit=2&page=9", &[], 3);
        check("limit=18446744073709551615&page=18446744073709551615", &[], 3);
        check("sort=name", &[3, 2, 10], 3);
        check("sort=active&order=1", &[2, 10, 3], 3);
        check("sort=event_types", &[10, 2, 3], 3);
        check("filter=%7B%22active%22%3A%20true%7D", &[3, 10], 2);
        check("filter={\"event_types\":\"CREATE\",\"name\":\"a\"}", &[2], 1);
        check("filter={\"name\":null}&limit=1", &[3], 1);
        check("filter=[]&further=1", &[2, 3, 10], 3);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (query, says) in [
            ("limit=-1", "limit"),
            ("limit=x", "limit"),
            ("page=0", "page"),
            ("order=2", "order"),
            ("sort=colour", "colour"),
            ("filter={", "no JSON"),
            ("filter=[{\"$match\":{}}]", "aggregations"),
            ("filter={\"name\":{\"$regex\":\"a\"}}", "equality"),
            ("filter={\"colour\":1}", "colour"),
            ("projection=7", "projection"),
            ("projection=[7]", "projection"),
            ("projection={\"name\":2}", "projection"),
        ] {
            let said = format!("{:?}", Listing::read(query, FIELDS).unwrap_err());
            assert!(said.contains(says), "{query}: {said}");
        }
    }

    #[test]
    fn a_projection_says_what_is_told() {
        let check = |query: &str, name: bool, active: bool| {
            let listing = Listing::read(query, FIELDS).unwrap();
            assert_eq!((listing.tells("name"), listing.tells("active")), (name, active), "{query}");
        };
        check("projection=[]", true, true);
        check("projection=[\"name\"]", true, false);
        check("projection={\"name\":1}", true, false);
        check("projection={\"name\":0}", false, true);
        check("projection={\"name\":true,\"active\":false}", true, false);
    }

    #[test]
    fn pages_are_named_by_their_addresses() {
        let uri: Uri = "/rest/webhooks/?limit=2&page=3&sort=name".parse().unwrap();
        let address = page_of(&Base("http://a.example".into()), &uri, 2);
        assert_eq!(address, "http://a.example/rest/webhooks/?limit=2&sort=name&page=2");
    }
}
