//! The password file, `.pgpass`: `host:port:database:user:password` in lines, `*` fits everything, `\` escapes
//! (source: PostgreSQL's documentation, "The Password File").

use super::Error;
use super::address::{Host, Place};
use crate::secret::Secret;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The first password that fits; none if there is no such file. A file that others may read is an error, for
/// libpq ignores it, and a missing password is then hard to explain.
pub(super) fn find(path: &Path, host: &Host, database: &str, user: &str) -> Result<Option<Secret>, Error> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(None) };
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Error::Address(format!(
            "password file {} can be read by others; make it private with: chmod 0600 {}",
            path.display(),
            path.display()
        )));
    }
    let text = std::fs::read(path).map_err(|error| {
        Error::Address(format!("password file {} cannot be read: {error}", path.display()))
    })?;
    Ok(look_up(&String::from_utf8_lossy(&text), host, database, user))
}

fn look_up(text: &str, host: &Host, database: &str, user: &str) -> Option<Secret> {
    let port = host.port.to_string();
    let names: Vec<String> = match &host.place {
        Place::Tcp(name) => vec![name.clone()],
        // a socket in the standard folder goes by the name localhost, too
        Place::Unix(folder) => vec!["localhost".to_owned(), folder.display().to_string()],
    };
    for line in text.lines() {
        if line.starts_with('#') {
            continue;
        }
        let Some(fields) = split(line) else { continue };
        let fits = |field: &Field, value: &str| field.any || field.text == value;
        let host_fits = names.iter().any(|name| fits(&fields[0], name));
        if host_fits && fits(&fields[1], &port) && fits(&fields[2], database) && fits(&fields[3], user) {
            return Some(Secret::from(fields[4].text.as_str()));
        }
    }
    None
}

struct Field {
    text: String,
    /// An unescaped `*` alone.
    any: bool,
}

/// The five fields of a line; the password runs to the end of the line, an unescaped colon ends it.
fn split(line: &str) -> Option<[Field; 5]> {
    let mut fields = Vec::with_capacity(5);
    let mut text = String::new();
    let mut raw = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        raw.push(character);
        match character {
            '\\' => text.push(characters.next()?),
            ':' => {
                raw.pop();
                fields.push(Field { any: raw == "*", text: std::mem::take(&mut text) });
                raw.clear();
                if fields.len() == 5 {
                    break;
                }
            }
            other => text.push(other),
        }
    }
    if fields.len() == 4 {
        fields.push(Field { any: false, text });
    }
    fields.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, host: &str, expected: Option<&str>) {
        let place = if host.starts_with('/') { Place::Unix(host.into()) } else { Place::Tcp(host.into()) };
        let host = Host { place, port: 5432, hostaddr: None };
        let found = look_up(file, &host, "helpdesk", "walhook");
        assert_eq!(found.as_ref().map(Secret::expose), expected, "{file:?}");
    }

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        check("db:5432:helpdesk:walhook:secret", "db", Some("secret"));
        check("db:5432:helpdesk:walhook:secret", "other", None);
        check("db:5433:*:*:no\ndb:5432:*:*:yes", "db", Some("yes"));
        check("# db:*:*:*:comment\n*:*:*:*:any", "db", Some("any"));
        check("*:*:*:*:with\\:colon\\\\and", "db", Some("with:colon\\and"));
        check("\\*:*:*:*:literal star", "db", None);
        check("fe80\\:\\:1:*:*:*:six", "fe80::1", Some("six"));
        check("localhost:*:*:*:socket", "/run/postgresql", Some("socket"));
        check("/run/postgresql:*:*:*:socket", "/run/postgresql", Some("socket"));
        check("too:few:fields", "db", None);
        check("", "db", None);
        check("db:*:*:*:ends with backslash\\", "db", None);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pass");
        std::fs::write(&path, "*:*:*:*:secret\n").unwrap();
        let host = Host { place: Place::Tcp("db".into()), port: 5432, hostaddr: None };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = find(&path, &host, "helpdesk", "walhook").unwrap_err().to_string();
        assert!(error.contains("chmod 0600"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(find(&path, &host, "helpdesk", "walhook").unwrap(), Some(Secret::from("secret")));
        assert_eq!(find(&folder.path().join("none"), &host, "a", "b").unwrap(), None);
    }
}
