//! `[mail]`.

use super::reader::{Reader, join};
use super::table::{Table, Value};
use crate::report::mail::{Privacy, Settings};
use lettre::message::Mailbox;
use std::ops::Range;

/// Reads the table.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table) -> Option<Settings> {
    let privacy = match table.word("tls").copied() {
        Some("tls") => Privacy::Tls,
        Some("none") => Privacy::None,
        _ => Privacy::StartTls,
    };
    let relay = relay(reader, table, privacy);
    let from = table
        .text("from")
        .and_then(|text| mailbox(reader, table.place("from"), &join(&table.path, "from"), text));
    let mut to = Vec::new();
    let path = join(&table.path, "to");
    for (span, value) in table.list("to").into_iter().flatten() {
        if let Some(Value::Text(text)) = value {
            to.extend(mailbox(reader, span.clone(), &path, text));
        }
    }
    if table.list("to").is_some_and(Vec::is_empty) {
        reader.refuse(table.place("to"), &path, "there is nobody who gets the mails", None);
    }
    if table.says("username") != table.says("password") {
        let message = "a login has a `username` and a `password`";
        reader.refuse(table.span.clone(), &table.path, message, None);
    }
    let login = table.text("username").cloned().zip(table.secret("password").cloned());
    // a password is sent to nobody who merely sits in between
    if login.is_some() && privacy == Privacy::None {
        let remedy = "use \"starttls\" or \"tls\", or a relay without login".to_owned();
        let message = "a password is not sent over a connection that is not private";
        reader.refuse(table.place("tls"), &join(&table.path, "tls"), message, remedy);
    }
    let (host, port) = relay?;
    let every = table.duration("every").copied().unwrap_or_default();
    Some(Settings { host, port, privacy, login, from: from?, to, every })
}

fn relay(reader: &mut Reader<'_>, table: &Table, privacy: Privacy) -> Option<(String, u16)> {
    let text = table.text("relay")?;
    let default = match privacy {
        Privacy::StartTls => 587,
        Privacy::Tls => 465,
        Privacy::None => 25,
    };
    // an address of IPv6 stands in brackets, as in a URL
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (text.as_str(), Some(default)),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let sound = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c));
    match port.filter(|port| sound && *port != 0) {
        Some(port) => Some((host.to_owned(), port)),
        None => {
            let remedy = "write a host, and a port where it is another: \"smtp.example.org:587\"".to_owned();
            reader.refuse(table.place("relay"), &join(&table.path, "relay"), "this is no relay", remedy);
            None
        }
    }
}

/// Reads an address.
pub(super) fn mailbox(
    reader: &mut Reader<'_>,
    span: Range<usize>,
    path: &str,
    text: &str,
) -> Option<Mailbox> {
    let mailbox = text.parse().ok();
    if mailbox.is_none() {
        let remedy = "write \"ops@example.org\", or \"Operations <ops@example.org>\"".to_owned();
        reader.refuse(span, path, "this is no address of mail", remedy);
    }
    mailbox
}
