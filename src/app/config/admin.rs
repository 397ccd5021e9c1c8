//! `[admin]`: the listener and who may ask there.

use super::reader::{Reader, join};
use super::table::Table;
use super::{Admin, name_fits};
use crate::admin::accounts::{Access, Accounts, Role, Token, User};
use crate::admin::hashes::{PasswordHash, TokenHash};
use crate::admin::{ItrpSettings, Settings};
use crate::tls::server::Files;
use http::StatusCode;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use url::Url;

/// Reads the table. Relative paths start at the folder; times are told in that zone where a product wants one.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table, folder: &Path, time_zone: TimeZone) -> Admin {
    let mut names = BTreeMap::new();
    let users: Vec<_> =
        table.tables("users").into_iter().map(|table| user(reader, table, &mut names)).collect();
    let tokens: Vec<_> =
        table.tables("tokens").into_iter().map(|table| token(reader, table, &mut names)).collect();
    let tls = table.table("tls").and_then(|table| {
        let file = |name: &str| table.text(name).map(|path| folder.join(path));
        Some(Files { certificate: file("certificate")?, key: file("key")? })
    });
    let listen = listen(reader, table);
    let allow_insecure = table.flag("allow_insecure").copied().unwrap_or_default();
    let is_exposed = listen.is_some_and(|listen| !listen.ip().is_loopback());
    if is_exposed && !allow_insecure {
        refuse_insecure(reader, table, table.says("tls"), !(users.is_empty() && tokens.is_empty()));
    }
    let url = site_url(reader, table);
    let mut itrp = itrp(reader, &table.table("itrp").cloned().unwrap_or_default(), time_zone);
    itrp.url = itrp.url.or_else(|| url.clone());
    let accounts = Accounts {
        users: users.into_iter().flatten().collect(),
        tokens: tokens.into_iter().flatten().collect(),
    };
    let listen = listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let site = match url.as_ref().or(itrp.url.as_ref()) {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("{scheme}://{listen}"),
    };
    Admin {
        listen,
        allow_insecure,
        access: Arc::new(Access { accounts, tls }),
        settings: Arc::new(Settings { site, url, itrp }),
    }
}

fn itrp(reader: &mut Reader<'_>, table: &Table, time_zone: TimeZone) -> ItrpSettings {
    let status = table.whole("create_status").and_then(|status| u16::try_from(*status).ok());
    let url = site_url(reader, table);
    ItrpSettings {
        account: table.text("account").cloned(),
        create_status: status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::OK),
        url,
        verification: table.flag("verification") == Some(&true),
        time_zone,
    }
}

/// `url`: how others reach this site.
fn site_url(reader: &mut Reader<'_>, table: &Table) -> Option<Url> {
    let url = table.text("url").and_then(|text| Url::parse(text).ok());
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    if url.is_none() && table.says("url") {
        let remedy = "write it as \"https://desk.example:8640\"".to_owned();
        let message = "this is no address of a site";
        reader.refuse(table.place("url"), &join(&table.path, "url"), message, remedy);
    }
    url
}

fn refuse_insecure(reader: &mut Reader<'_>, table: &Table, has_tls: bool, has_accounts: bool) {
    let (lacks, remedy) = match (has_tls, has_accounts) {
        (true, true) => return,
        (true, false) => ("no account", "add [[admin.users]] or [[admin.tokens]]"),
        (false, true) => ("no TLS", "add `tls = { certificate = …, key = … }`"),
        (false, false) => {
            ("neither TLS nor an account", "add `tls = { certificate = …, key = … }` and [[admin.users]]")
        }
    };
    let message = format!("others can reach this address, and there is {lacks}");
    let remedy = format!(
        "{remedy}; or listen on 127.0.0.1; or, where something else protects it, say `allow_insecure = true`"
    );
    reader.refuse(table.place("listen"), &join(&table.path, "listen"), message, remedy);
}

fn listen(reader: &mut Reader<'_>, table: &Table) -> Option<SocketAddr> {
    let listen = table.text("listen")?.parse().ok();
    if listen.is_none() {
        let remedy = "write an IP address and a port: \"127.0.0.1:8640\", \"[::1]:8640\"".to_owned();
        let message = "this is no address to listen on";
        reader.refuse(table.place("listen"), &join(&table.path, "listen"), message, remedy);
    }
    listen
}

/// Where each name stands that was read.
type Names = BTreeMap<String, Range<usize>>;

/// A name that no other user or token has, for both stand in logs.
fn name(reader: &mut Reader<'_>, table: &Table, names: &mut Names) -> Option<String> {
    let name = table.text("name")?;
    name_fits(reader, table, name);
    if let Some(first) = names.insert(name.clone(), table.place("name")) {
        let message = format!("{name:?} is the name of another user or token");
        let remedy = "give each its own name".to_owned();
        reader.refuse(table.place("name"), &join(&table.path, "name"), message, remedy);
        reader.point_back(first, "the first one");
    }
    Some(name.clone())
}

fn role(table: &Table) -> Option<Role> {
    let word = *table.word("role")?;
    Role::ALL.into_iter().find(|role| role.as_str() == word)
}

fn user(reader: &mut Reader<'_>, table: &Table, names: &mut Names) -> Option<User> {
    let name = name(reader, table, names);
    if name.as_ref().is_some_and(|name| name.contains(':')) {
        let message = "a user's name has no colon: HTTP separates the password with one";
        reader.refuse(table.place("name"), &join(&table.path, "name"), message, None);
    }
    let password = PasswordHash::parse(table.secret("password")?);
    if let Err(message) = password {
        let remedy = "`walhook password` asks for a password and makes its hash".to_owned();
        reader.refuse(table.place("password"), &join(&table.path, "password"), message, remedy);
    }
    Some(User { name: name?, password: password.ok()?, role: role(table)? })
}

fn token(reader: &mut Reader<'_>, table: &Table, names: &mut Names) -> Option<Token> {
    let name = name(reader, table, names);
    let hash = TokenHash::parse(table.secret("token")?);
    if hash.is_none() {
        let message = "this is no hash of a token, which is sha256: and 64 hexadecimal digits";
        let remedy = "`walhook token` makes a token and its hash; only the hash stands here".to_owned();
        reader.refuse(table.place("token"), &join(&table.path, "token"), message, remedy);
    }
    Some(Token { name: name?, hash: hash?, role: role(table)? })
}
