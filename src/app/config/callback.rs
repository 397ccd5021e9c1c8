//! `[webhooks.callback]`.

use super::authentication;
use super::reader::{Reader, join};
use super::table::{Table, Value};
use super::webhook::Defaults;
use crate::auth;
use crate::header;
use crate::proxy::{self, Proxy};
use crate::webhook::{Callback, CallbackTls, Origin, Pem};
use http::HeaderMap;
use std::collections::BTreeMap;
use std::path::Path;
use url::Url;

/// Reads where deliveries go.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table, defaults: &Defaults) -> Option<Callback> {
    let url = url(reader, table);
    let authentication = table.table("authentication").and_then(|table| authentication::read(reader, table));
    let taken = authentication.as_ref().map(auth::headers_of).unwrap_or_default();
    let headers = table.table("headers").map(|table| headers(reader, table, &taken)).unwrap_or_default();
    let tls = table.table("tls").map(|table| certificates(reader, table, &defaults.folder));
    let goes_directly = table.secret("proxy").is_some_and(|text| text.expose() == proxy::NONE);
    let proxy = match table.says("proxy") {
        false => defaults.proxy.clone(),
        true if goes_directly => None,
        true => proxy(reader, table, defaults.origin),
    };
    if table.says("proxy") && !defaults.may_name_proxy {
        let remedy =
            "leave it out; whether registered webhooks may choose is `own_proxies` in [dispatch]".to_owned();
        let message = "requests of registered webhooks go out by the proxy of [dispatch]";
        reader.refuse(table.place("proxy"), &join(&table.path, "proxy"), message, remedy);
    }
    if let Some(url) = url.as_ref().filter(|url| table.says("tls") && url.scheme() != "https") {
        let message = format!("`tls` is for https, and the URL says {}", url.scheme());
        let remedy = "write the URL with https, or remove `tls`".to_owned();
        reader.refuse(table.place("tls"), &join(&table.path, "tls"), message, remedy);
    }
    Some(Callback { url: url?, authentication: authentication?, headers, proxy, tls })
}

fn headers(reader: &mut Reader<'_>, table: &Table, taken: &HeaderMap) -> BTreeMap<String, String> {
    let given = table.entries.iter().filter_map(|(name, entry)| match &entry.value {
        Some(Value::Text(value)) => Some((name.clone(), value.clone())),
        _ => None,
    });
    let headers = given.collect();
    for error in header::read_all(&headers, taken).err().into_iter().flatten() {
        let place =
            error.name().map_or_else(|| table.span.clone(), |name| table.entries[name].name_span.clone());
        let path = error.name().map_or_else(|| table.path.clone(), |name| join(&table.path, name));
        reader.refuse(place, &path, error.to_string(), error.hint().to_owned());
    }
    headers
}

/// Reads the proxy of a table, if there is one.
pub(super) fn proxy(reader: &mut Reader<'_>, table: &Table, named_by: Origin) -> Option<Proxy> {
    let read = Proxy::parse(table.secret("proxy")?.expose(), named_by);
    read.map_err(|error| {
        let path = join(&table.path, "proxy");
        reader.refuse(table.place("proxy"), &path, error.to_string(), error.hint().to_owned());
    })
    .ok()
}

/// The files are read whenever a connection is made, and by `walhook check`.
fn certificates(reader: &mut Reader<'_>, table: &Table, folder: &Path) -> CallbackTls {
    let file = |name: &str| table.text(name).map(|path| Pem::File(folder.join(path)));
    let client = match (file("certificate"), file("key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (certificate, _) => {
            let (said, absent) =
                if certificate.is_some() { ("certificate", "key") } else { ("key", "certificate") };
            let remedy = format!("add `{absent}`, the PEM file of it");
            let message = format!("there is a {said} and no {absent}");
            reader.refuse(table.place(said), &join(&table.path, said), message, remedy);
            None
        }
    };
    CallbackTls { authorities: file("authorities"), client }
}

/// Credentials belong into `authentication`, where they are kept secret; in a URL they would be logged by every
/// proxy on the way, so they are refused there.
fn url(reader: &mut Reader<'_>, table: &Table) -> Option<Url> {
    let path = join(&table.path, "url");
    let place = table.place("url");
    let text = table.text("url")?;
    let example = "write an absolute URL such as \"https://receiver.example/hook\"".to_owned();
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            reader.refuse(place, &path, format!("this is no URL: {error}"), example);
            return None;
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        reader.refuse(
            place,
            &path,
            format!("deliveries go by http or https, not by {:?}", url.scheme()),
            example,
        );
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        let remedy =
            "write `authentication = { type = \"BASIC\", username = …, password = … }` instead".to_owned();
        reader.refuse(place, &path, "a callback's URL holds no credentials", remedy);
        return None;
    }
    if url.fragment().is_some() {
        let remedy = "remove # and what stands behind it".to_owned();
        reader.refuse(place, &path, "a fragment is never sent to a server", remedy);
    }
    Some(url)
}
