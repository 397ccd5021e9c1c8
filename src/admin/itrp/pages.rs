//! Collections, page by page: filters, order and fields by the query, pagination in headers ("Pagination", "Filtering",
//! "Ordering" and "Field selection" of the product's documentation).

use super::trouble::Trouble;
use axum::Json;
use axum::http::header::{CACHE_CONTROL, LINK};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::cmp::Ordering;
use url::form_urlencoded::{Serializer, parse};

const PER_PAGE: HeaderName = HeaderName::from_static("x-pagination-per-page");
const CURRENT_PAGE: HeaderName = HeaderName::from_static("x-pagination-current-page");
const TOTAL_PAGES: HeaderName = HeaderName::from_static("x-pagination-total-pages");
const TOTAL_ENTRIES: HeaderName = HeaderName::from_static("x-pagination-total-entries");

const PER_PAGE_DEFAULT: usize = 20;
const PER_PAGE_MAX: usize = 100;

/// A resource, by its fields.
pub(super) type Resource = Map<String, Value>;

/// What is known of a collection.
pub(super) struct Collection {
    /// The fields that are told unless others are asked for.
    pub(super) fields: &'static [&'static str],
    /// Those that it can be filtered and ordered by.
    pub(super) filters: &'static [&'static str],
}

/// What a query asks for.
struct Asked {
    page: usize,
    per_page: usize,
    fields: Option<Vec<String>>,
    order: Vec<(String, bool)>,
    conditions: Vec<Condition>,
}

/// A field and what it is compared with.
struct Condition {
    field: String,
    is: Comparison,
}

enum Comparison {
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
    /// Greater, or less; or the same where `true`.
    Beyond(Ordering, bool, String),
}

impl Collection {
    /// Answers with a page of all, which come in the collection's own order. `url` is where the collection is.
    pub(super) fn answer(
        &self,
        url: &str,
        query: Option<&str>,
        mut all: Vec<Resource>,
    ) -> Result<Response, Trouble> {
        let query = query.unwrap_or_default();
        let asked = self.read(query)?;
        all.retain(|one| asked.conditions.iter().all(|condition| condition.holds(one)));
        for (field, descending) in asked.order.iter().rev() {
            all.sort_by(|one, other| {
                let order = compared(&text_of(one.get(field)), &text_of(other.get(field)));
                if *descending { order.reverse() } else { order }
            });
        }
        let entries = all.len();
        let pages = entries.div_ceil(asked.per_page).max(1);
        let fields: Vec<&str> = match &asked.fields {
            Some(fields) => fields.iter().map(String::as_str).collect(),
            None => self.fields.to_vec(),
        };
        let from = (asked.page - 1).saturating_mul(asked.per_page);
        let told = all.into_iter().skip(from).take(asked.per_page).map(|mut one| {
            one.retain(|field, _| fields.contains(&field.as_str()));
            one
        });
        let mut response = Json(told.collect::<Vec<_>>()).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let counts = [
            (PER_PAGE, asked.per_page),
            (CURRENT_PAGE, asked.page),
            (TOTAL_PAGES, pages),
            (TOTAL_ENTRIES, entries),
        ];
        headers.extend(counts.map(|(name, count)| (name, HeaderValue::from(count))));
        if let Ok(links) = HeaderValue::try_from(links(url, query, asked.page, pages, asked.per_page)) {
            headers.extend((!links.is_empty()).then_some((LINK, links)));
        }
        Ok(response)
    }

    fn read(&self, query: &str) -> Result<Asked, Trouble> {
        let mut asked = Asked {
            page: 1,
            per_page: PER_PAGE_DEFAULT,
            fields: None,
            order: Vec::new(),
            conditions: Vec::new(),
        };
        let list = |text: &str| text.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>();
        for (name, value) in parse(query.as_bytes()) {
            match &*name {
                "page" => asked.page = counted(&name, &value)?,
                "per_page" => asked.per_page = counted(&name, &value)?.min(PER_PAGE_MAX),
                "fields" => asked.fields = Some(list(&value)),
                "sort" => {
                    for field in list(&value) {
                        let plain = field.trim_start_matches(['-', '+']);
                        self.knows(plain)?;
                        asked.order.push((plain.to_owned(), field.starts_with('-')));
                    }
                }
                name => {
                    let (field, is) = match name.strip_suffix('!') {
                        Some(field) => (field, Comparison::NoneOf(list(&value))),
                        None => (name, Comparison::of(&value, list)),
                    };
                    self.knows(field)?;
                    asked.conditions.push(Condition { field: field.to_owned(), is });
                }
            }
        }
        Ok(asked)
    }

    fn knows(&self, field: &str) -> Result<(), Trouble> {
        if self.filters.contains(&field) {
            return Ok(());
        }
        let known = self.filters.join(", ");
        let message = format!("Invalid parameter {field:?}: filters and sort know {known}");
        Err(Trouble::new(StatusCode::BAD_REQUEST, message))
    }
}

impl Comparison {
    fn of(value: &str, list: impl Fn(&str) -> Vec<String>) -> Self {
        let beyond = |rest: &str, order| match rest.strip_prefix('=') {
            Some(rest) => Self::Beyond(order, true, rest.to_owned()),
            None => Self::Beyond(order, false, rest.to_owned()),
        };
        match (value.strip_prefix('>'), value.strip_prefix('<')) {
            (Some(rest), _) => beyond(rest, Ordering::Greater),
            (None, Some(rest)) => beyond(rest, Ordering::Less),
            (None, None) => Self::OneOf(list(value)),
        }
    }
}

impl Condition {
    fn holds(&self, resource: &Resource) -> bool {
        let text = text_of(resource.get(&self.field));
        // letter case means nothing here
        let is = |one: &String| one.to_lowercase() == text.to_lowercase();
        match &self.is {
            Comparison::OneOf(list) => list.iter().any(is),
            Comparison::NoneOf(list) => !list.iter().any(is),
            Comparison::Beyond(order, or_equal, value) => {
                let found = compared(&text, value);
                found == *order || *or_equal && found == Ordering::Equal
            }
        }
    }
}

fn counted(name: &str, value: &str) -> Result<usize, Trouble> {
    let count = value.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| Trouble::new(StatusCode::BAD_REQUEST, format!("{name} must be a number from 1")))
}

/// A field's value as a query names it; what is left out is false, or empty.
fn text_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// Numbers and times by what they mean, everything else by its letters.
fn compared(one: &str, other: &str) -> Ordering {
    if let (Ok(one), Ok(other)) = (one.parse::<u64>(), other.parse::<u64>()) {
        return one.cmp(&other);
    }
    match (one.parse::<Timestamp>(), other.parse::<Timestamp>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        _ => one.cmp(other),
    }
}

/// Where the other pages are: the first and the one before unless this is the first, the next and the last unless this is
/// the last.
fn links(url: &str, query: &str, page: usize, pages: usize, per_page: usize) -> String {
    let link = |page: usize, relation: &str| {
        let mut further = Serializer::new(String::new());
        further.extend_pairs(
            parse(query.as_bytes()).filter(|(name, _)| !matches!(&**name, "page" | "per_page")),
        );
        further.append_pair("page", &page.to_string()).append_pair("per_page", &per_page.to_string());
        format!("<{url}?{}>; rel=\"{relation}\"", further.finish())
    };
    let back = (page > 1).then(|| [link(1, "first"), link((page - 1).min(pages), "prev")]);
    let on = (page < pages).then(|| [link(page + 1, "next"), link(pages, "last")]);
    back.into_iter().chain(on).flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLACES: Collection =
        Collection { fields: &["id", "name"], filters: &["id", "name", "made", "open"] };

    fn places() -> Vec<Resource> {
        let place = |id: u64| {
            let made = format!("2026-11-{:02}T12:00:00+01:00", id % 28 + 1);
            let mut place = json!({ "id": id, "name": format!("place {}", id % 5), "made": made });
            if id.is_multiple_of(2) {
                place["open"] = true.into();
            }
            place.as_object().unwrap().clone()
        };
        (1..=45).map(place).collect()
    }

    /// The ids on a page, and the links to others.
    fn page(query: &str) -> (Vec<u64>, String) {
        let response = PLACES.answer("http://h/places", Some(query), places()).unwrap();
        let links = response.headers().get(LINK).map_or("", |links| links.to_str().unwrap()).to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(axum::body::to_bytes(response.into_body(), usize::MAX)).unwrap();
        let all: Vec<Value> = serde_json::from_slice(&body).unwrap();
        (all.iter().map(|one| one["id"].as_u64().unwrap_or(0)).collect(), links)
    }

    #[test]
    fn pages_link_to_each_other() {
        let (ids, links) = page("");
        assert_eq!((ids.len(), ids[0]), (20, 1));
        let next = "<http://h/places?page=2&per_page=20>; rel=\"next\", <http://h/places?page=3&per_page=20>; rel=\"last\"";
        assert_eq!(links, next);
        let (ids, links) = page("page=3&name%21=place+0");
        assert_eq!(ids.len(), 0, "36 are on two pages");
        assert!(
            links.starts_with("<http://h/places?name%21=place+0&page=1&per_page=20>; rel=\"first\", "),
            "{links}"
        );
        assert!(!links.contains("next"), "{links}");
        assert_eq!(page("per_page=500").0.len(), 45);
    }

    #[test]
    fn a_query_filters_and_orders() {
        for (query, expected) in [
            ("id=3,7", vec![3, 7]),
            ("id=>43", vec![44, 45]),
            ("id=<=2", vec![1, 2]),
            ("sort=-id&per_page=2", vec![45, 44]),
            ("name=PLACE 1&open=true&sort=name,-id", vec![36, 26, 16, 6]),
            ("made=>2026-11-28T10:00:00Z", vec![27]),
            ("open=true&id=<4", vec![2]),
            ("open!=true&id=<4", vec![1, 3]),
        ] {
            assert_eq!(page(query).0, expected, "{query}");
        }
        assert_eq!(page("fields=name&id=1").0, [0], "the id was not asked for");
        for wrong in ["page=0", "per_page=x", "colour=red", "sort=colour"] {
            assert!(PLACES.answer("http://h/places", Some(wrong), places()).is_err(), "{wrong}");
        }
    }
}
