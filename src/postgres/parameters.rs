//! The parameters of an address: reading them from a URL or a `keyword=value` string, completing them from the
//! environment, and making an [`Address`] of them.

use super::Error;
use super::address::{
    Address, CONNECT_TIMEOUT_DEFAULT, ChannelBinding, Host, PORT_DEFAULT, Place, SslMode, TargetSession,
    TlsSettings,
};
use super::environment::Environment;
use crate::secret::Secret;
use crate::tls::Roots;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What we understand, and the variable that stands in for it.
const KNOWN: &[(&str, Option<&str>)] = &[
    ("application_name", Some("PGAPPNAME")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("client_encoding", None),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("dbname", Some("PGDATABASE")),
    ("fallback_application_name", None),
    ("gssencmode", Some("PGGSSENCMODE")),
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("keepalives", None),
    ("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    ("options", Some("PGOPTIONS")),
    ("passfile", Some("PGPASSFILE")),
    ("password", Some("PGPASSWORD")),
    ("port", Some("PGPORT")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslnegotiation", Some("PGSSLNEGOTIATION")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("user", Some("PGUSER")),
];

/// What libpq knows and we do not: said so, rather than called unknown.
const UNSUPPORTED: &[&str] = &[
    "gssdelegation",
    "gsslib",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslpassword",
    "sslsni",
    "tcp_user_timeout",
];

/// Parameters by name.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<&'static str, String>);

fn wrong<T>(what: String) -> Result<T, Error> {
    Err(Error::Address(what))
}

/// Reads either spelling.
pub(super) fn read(text: &str) -> Result<Parameters, Error> {
    let text = text.trim();
    for scheme in ["postgres://", "postgresql://"] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return read_url(rest);
        }
    }
    if text.contains("://") {
        return wrong("a URL must begin with postgres:// or postgresql://".to_owned());
    }
    read_conninfo(text)
}

/// `[user[:password]@][host[:port][,...]][/database][?name=value[&...]]`, every part percent-encoded.
fn read_url(rest: &str) -> Result<Parameters, Error> {
    let mut given = Parameters::default();
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    // a socket's folder may stand unencoded behind the @, but a slash of it would end the hosts: as in libpq,
    // it must be written %2F
    let (authority, database) =
        rest.split_once('/').map_or((rest, None), |(authority, database)| (authority, Some(database)));
    let (login, hosts) =
        authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
    if let Some(login) = login {
        let (user, password) =
            login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        given.put_unless_empty("user", decode_percent(user)?)?;
        given.put_unless_empty("password", decode_percent(password.unwrap_or_default())?)?;
    }
    if !hosts.is_empty() {
        let mut names = Vec::new();
        let mut ports = Vec::new();
        for host in hosts.split(',') {
            let (name, port) = split_host(host)?;
            if !port.bytes().all(|byte| byte.is_ascii_digit()) {
                // what seems to be the port may be the beginning of a password: it is not repeated
                return wrong(
                    "the port of a URL is not a number (in a password, write / as %2F, ? as %3F, @ as %40)"
                        .to_owned(),
                );
            }
            names.push(decode_percent(name)?);
            ports.push(port.to_owned());
        }
        given.put("host", names.join(","))?;
        if ports.iter().any(|port| !port.is_empty()) {
            given.put("port", ports.join(","))?;
        }
    }
    given.put_unless_empty("dbname", decode_percent(database.unwrap_or_default())?)?;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return wrong(format!("parameter {pair:?} has no value"));
        };
        match (decode_percent(name)?.as_str(), decode_percent(value)?) {
            ("ssl", value) if value == "true" => given.put("sslmode", "require".to_owned())?,
            (name, value) => given.put(name, value)?,
        }
    }
    Ok(given)
}

fn split_host(host: &str) -> Result<(&str, &str), Error> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some(parts) => parts,
            None => return wrong(format!("host {host:?} lacks its closing bracket")),
        },
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    match rest.strip_prefix(':') {
        Some(port) => Ok((name, port)),
        None if rest.is_empty() => Ok((name, "")),
        None => wrong(format!("host {host:?} has text behind its bracket")),
    }
}

fn decode_percent(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |index: usize| tail.get(index).and_then(|digit| char::from(*digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return wrong("a percent sign in a URL must be followed by two hexadecimal digits".to_owned());
        };
        if high == 0 && low == 0 {
            return wrong("%00 is not allowed in a URL".to_owned());
        }
        bytes.push((high * 16 + low) as u8);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).or_else(|_| wrong("the percent-encoded bytes of a URL are not UTF-8".to_owned()))
}

/// `name = value` pairs; values with spaces in single quotes, `\` escapes.
fn read_conninfo(text: &str) -> Result<Parameters, Error> {
    let mut given = Parameters::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let Some(behind) = behind.trim_start().strip_prefix('=') else {
            // the text may be a mistyped password: it is not repeated
            return wrong("a database must be named by a postgres:// URL or by name=value pairs".to_owned());
        };
        let (value, behind) = read_value(name, behind.trim_start())?;
        given.put(name, value)?;
        rest = behind.trim_start();
    }
    Ok(given)
}

fn read_value<'a>(name: &str, text: &'a str) -> Result<(String, &'a str), Error> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[index + 1..])),
            space if !quoted && space.is_whitespace() => return Ok((value, &text[index..])),
            other => value.push(other),
        }
    }
    if quoted {
        return wrong(format!("the value of {name} lacks its closing quote"));
    }
    Ok((value, ""))
}

impl Parameters {
    fn put(&mut self, name: &str, value: String) -> Result<(), Error> {
        match KNOWN.iter().find(|(known, _)| *known == name) {
            Some((known, _)) => {
                self.0.insert(known, value);
                Ok(())
            }
            None if UNSUPPORTED.contains(&name) => wrong(format!("parameter {name:?} is not supported")),
            None if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                wrong(format!("unknown parameter {name:?}"))
            }
            // it may be half of an address, with the password
            None => wrong("what stands before a = is no name of a parameter".into()),
        }
    }

    fn put_unless_empty(&mut self, name: &str, value: String) -> Result<(), Error> {
        if value.is_empty() { Ok(()) } else { self.put(name, value) }
    }

    /// Takes what is not there from the variables.
    pub(super) fn complete(&mut self, environment: &Environment) -> Result<(), Error> {
        if !self.0.contains_key("host") && environment.variable("PGSERVICE").is_some() {
            return wrong("service files (PGSERVICE) are not supported".to_owned());
        }
        for (name, variable) in KNOWN {
            let value = variable.and_then(|variable| environment.variable(variable));
            if let (false, Some(value)) = (self.0.contains_key(name), value) {
                self.0.insert(name, value.to_owned());
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    fn choose<T: Copy + Default>(&mut self, name: &str, choices: &[(&str, T)]) -> Result<T, Error> {
        let Some(value) = self.take(name) else { return Ok(T::default()) };
        match choices.iter().find(|(word, _)| *word == value) {
            Some((_, choice)) => Ok(*choice),
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                wrong(format!("{name} is {value:?}, but must be one of {}", words.join(", ")))
            }
        }
    }

    /// Checks the values and fills in libpq's defaults.
    pub(super) fn build(mut self, environment: &Environment) -> Result<Address, Error> {
        let Some(user) = self.take("user").or_else(|| environment.user.clone()) else {
            return wrong("no user is named".to_owned());
        };
        if let Some(encoding) = self.take("client_encoding")
            && !["utf8", "utf-8", "auto"].contains(&encoding.to_lowercase().as_str())
        {
            return wrong(format!("client_encoding is {encoding:?}, but only UTF8 is supported"));
        }
        // GSS encryption and direct negotiation are never used; only who insists on them is refused
        self.choose("gssencmode", &[("prefer", ()), ("disable", ())])?;
        self.choose("sslnegotiation", &[("postgres", ())])?;
        Ok(Address {
            hosts: self.hosts(environment)?,
            database: self.take("dbname").unwrap_or_else(|| user.clone()),
            user,
            password: self.take("password").map(Secret::from),
            passfile: self.take("passfile").map(PathBuf::from).or_else(|| environment.in_home(".pgpass")),
            application_name: self
                .take("application_name")
                .or_else(|| self.take("fallback_application_name")),
            options: self.take("options"),
            connect_timeout: self.connect_timeout()?,
            keepalives: !self.choose("keepalives", &[("1", false), ("0", true)])?,
            tls: self.tls(environment)?,
            channel_binding: self.choose(
                "channel_binding",
                &[
                    ("disable", ChannelBinding::Disable),
                    ("prefer", ChannelBinding::Prefer),
                    ("require", ChannelBinding::Require),
                ],
            )?,
            target: self.choose(
                "target_session_attrs",
                &[
                    ("any", TargetSession::Any),
                    ("read-write", TargetSession::ReadWrite),
                    ("read-only", TargetSession::ReadOnly),
                    ("primary", TargetSession::Primary),
                    ("standby", TargetSession::Standby),
                    ("prefer-standby", TargetSession::PreferStandby),
                ],
            )?,
            shuffle_hosts: self.choose("load_balance_hosts", &[("disable", false), ("random", true)])?,
        })
    }

    fn connect_timeout(&mut self) -> Result<Option<Duration>, Error> {
        let Some(text) = self.take("connect_timeout") else { return Ok(Some(CONNECT_TIMEOUT_DEFAULT)) };
        match text.trim().parse::<i32>() {
            Ok(seconds) if seconds <= 0 => Ok(None),
            Ok(seconds) => Ok(Some(Duration::from_secs(seconds as u64))),
            Err(_) => wrong(format!("connect_timeout is {text:?}, but must be a number of seconds")),
        }
    }

    fn hosts(&mut self, environment: &Environment) -> Result<Vec<Host>, Error> {
        let split = |text: Option<String>| -> Vec<String> {
            text.map(|text| text.split(',').map(|part| part.trim().to_owned()).collect()).unwrap_or_default()
        };
        let names = split(self.take("host"));
        let addresses = split(self.take("hostaddr"));
        let ports = split(self.take("port"));
        let count = names.len().max(addresses.len()).max(1);
        for (name, list) in [("host", &names), ("hostaddr", &addresses)] {
            if !list.is_empty() && list.len() != count {
                return wrong(format!("{name} names {} hosts where there are {count}", list.len()));
            }
        }
        if ports.len() > 1 && ports.len() != count {
            return wrong(format!("there are {} ports for {count} hosts", ports.len()));
        }
        let nth = |list: &[String], index: usize| -> Option<String> {
            list.get(index).filter(|part| !part.is_empty()).cloned()
        };
        let mut hosts = Vec::with_capacity(count);
        for index in 0..count {
            let port = match nth(&ports, if ports.len() == 1 { 0 } else { index }) {
                None => PORT_DEFAULT,
                Some(text) => match text.parse() {
                    Ok(port) if port > 0 => port,
                    _ => return wrong(format!("port {text:?} is not a number from 1 to 65535")),
                },
            };
            let hostaddr: Option<std::net::IpAddr> = match nth(&addresses, index) {
                None => None,
                Some(text) => match text.parse() {
                    Ok(address) => Some(address),
                    Err(_) => return wrong(format!("hostaddr {text:?} is not an IP address")),
                },
            };
            let place = match (nth(&names, index), hostaddr) {
                (Some(name), _) if name.starts_with('@') => {
                    return wrong(format!("abstract Unix socket {name:?} is not supported"));
                }
                (Some(name), _) if name.starts_with('/') => Place::Unix(PathBuf::from(name)),
                (Some(name), _) => Place::Tcp(name),
                (None, Some(address)) => Place::Tcp(address.to_string()),
                (None, None) => environment
                    .socket_folder
                    .clone()
                    .map_or_else(|| Place::Tcp("localhost".to_owned()), Place::Unix),
            };
            hosts.push(Host { place, port, hostaddr });
        }
        Ok(hosts)
    }

    fn tls(&mut self, environment: &Environment) -> Result<TlsSettings, Error> {
        let roots = match self.take("sslrootcert") {
            Some(word) if word == "system" => Some(Roots::System),
            Some(path) => Some(Roots::File(path.into())),
            None => environment.in_home(".postgresql/root.crt").filter(|path| path.exists()).map(Roots::File),
        };
        let mode_given = self.0.contains_key("sslmode");
        let mut mode = self.choose(
            "sslmode",
            &[
                ("disable", SslMode::Disable),
                ("allow", SslMode::Allow),
                ("prefer", SslMode::Prefer),
                ("require", SslMode::Require),
                ("verify-ca", SslMode::VerifyCa),
                ("verify-full", SslMode::VerifyFull),
            ],
        )?;
        if roots == Some(Roots::System) && mode != SslMode::VerifyFull {
            // every public authority is trusted: without the name, that would mean nothing (as libpq decides)
            if mode_given {
                return wrong("sslrootcert=system needs sslmode=verify-full".to_owned());
            }
            mode = SslMode::VerifyFull;
        }
        if mode >= SslMode::VerifyCa && roots.is_none() {
            return wrong(
                "sslmode=verify-ca and verify-full need the trusted authorities: \
                 sslrootcert=FILE, or sslrootcert=system for those of the operating system"
                    .to_owned(),
            );
        }
        let in_home = |name: &str| environment.in_home(name).filter(|path| path.exists());
        let certificate =
            self.take("sslcert").map(PathBuf::from).or_else(|| in_home(".postgresql/postgresql.crt"));
        let key = self.take("sslkey").map(PathBuf::from).or_else(|| in_home(".postgresql/postgresql.key"));
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => return wrong("sslcert is given without sslkey".to_owned()),
            (None, _) => None,
        };
        Ok(TlsSettings { mode, roots, client })
    }
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
