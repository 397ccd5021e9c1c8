use super::*;
use crate::postgres::Address;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment { variables, user: Some("me".to_owned()), ..Environment::default() }
}

fn parse(text: &str) -> Address {
    Address::parse_with(text, &environment(&[])).unwrap()
}

fn check_address(text: &str, expected: &str) {
    assert_eq!(parse(text).to_string(), expected, "{text}");
}

fn check_error(text: &str, expected: &str) {
    let error = Address::parse_with(text, &environment(&[])).unwrap_err();
    assert_eq!(error.to_string(), format!("the address of the database is wrong: {expected}"), "{text}");
}

#[test]
fn urls_are_read_as_libpq_reads_them() {
    check_address("postgres://", "postgres://me@localhost:5432/me");
    check_address("postgresql://walhook@db/helpdesk", "postgres://walhook@db:5432/helpdesk");
    check_address("postgres://walhook:secret@db:5433/helpdesk", "postgres://walhook@db:5433/helpdesk");
    check_address("postgres://u@a:1,b,c:3/d", "postgres://u@a:1,b:5432,c:3/d");
    check_address("postgres://u@[::1]:5433/d", "postgres://u@[::1]:5433/d");
    check_address("postgres://u@%2Frun%2Fpostgresql/d", "postgres://u@/run/postgresql:5432/d");
    check_address("postgres:///d?host=/run/pg&port=99&user=u", "postgres://u@/run/pg:99/d");
    check_address("postgres://us%40er@db/my%20db", "postgres://us@er@db:5432/my db");
    let address = parse("postgres://u:p%40ss%3Aw%2Ford@db/d?sslmode=disable");
    assert_eq!(address.password, Some(Secret::from("p@ss:w/ord")));
    assert_eq!(address.tls.mode, SslMode::Disable);
    let address = parse("postgres://u:a@b@db/d");
    assert_eq!((address.password, address.hosts.len()), (Some(Secret::from("a@b")), 1));
}

#[test]
fn name_and_value_pairs_are_read_as_libpq_reads_them() {
    check_address("", "postgres://me@localhost:5432/me");
    check_address("host=db user=u dbname=d port=5433", "postgres://u@db:5433/d");
    check_address("host = db  dbname = 'my db' user='it\\'s'", "postgres://it's@db:5432/my db");
    check_address("host=a,b port=1,2 user=u dbname=d", "postgres://u@a:1,b:2/d");
    check_address("host=a,b port=9 user=u dbname=d", "postgres://u@a:9,b:9/d");
    check_address("hostaddr=127.0.0.1 user=u dbname=d", "postgres://u@127.0.0.1:5432/d");
    let address = parse(r"password='with \' and \\' user=u");
    assert_eq!(address.password, Some(Secret::from(r"with ' and \")));
}

#[test]
fn what_is_wrong_is_named() {
    check_error("postgres://db/d?colour=red", "unknown parameter \"colour\"");
    check_error("host=db replication=database", "parameter \"replication\" is not supported");
    check_error("postgres//u:secret@db/d?a=1", "what stands before a = is no name of a parameter");
    check_error("mysql://db", "a URL must begin with postgres:// or postgresql://");
    check_error("secret", "a database must be named by a postgres:// URL or by name=value pairs");
    check_error("password='secret", "the value of password lacks its closing quote");
    let port = "the port of a URL is not a number (in a password, write / as %2F, ? as %3F, @ as %40)";
    check_error("postgres://db:x/d", port);
    check_error("postgres://walhook:se/cret@db/d", port);
    check_error("postgres://walhook:se?cret@db/d", port);
    check_error("host=db port=x", "port \"x\" is not a number from 1 to 65535");
    check_error("postgres://db:0/d", "port \"0\" is not a number from 1 to 65535");
    check_error("postgres://a,b/d?port=1,2,3", "there are 3 ports for 2 hosts");
    check_error("postgres://d%4/x", "a percent sign in a URL must be followed by two hexadecimal digits");
    check_error("postgres://[::1/x", "host \"[::1\" lacks its closing bracket");
    check_error(
        "host=db connect_timeout=soon",
        "connect_timeout is \"soon\", but must be a number of seconds",
    );
    check_error("sslmode=verify-full sslcert=a sslrootcert=b", "sslcert is given without sslkey");
    check_error(
        "target_session_attrs=fast",
        "target_session_attrs is \"fast\", but must be one of \
         any, read-write, read-only, primary, standby, prefer-standby",
    );
    check_error("sslmode=require sslrootcert=system", "sslrootcert=system needs sslmode=verify-full");
    check_error(
        "sslmode=verify-full",
        "sslmode=verify-ca and verify-full need the trusted authorities: \
         sslrootcert=FILE, or sslrootcert=system for those of the operating system",
    );
}

#[test]
fn variables_complete_an_address_and_do_not_overrule_it() {
    let variables = environment(&[
        ("PGHOST", "envhost"),
        ("PGPORT", "6000"),
        ("PGUSER", "envuser"),
        ("PGPASSWORD", "envpass"),
        ("PGDATABASE", "envdb"),
        ("PGSSLMODE", "verify-ca"),
        ("PGSSLROOTCERT", "/ca.pem"),
        ("PGAPPNAME", "envapp"),
        ("PGCONNECT_TIMEOUT", "3"),
        ("PGTARGETSESSIONATTRS", "read-write"),
        ("PGPASSFILE", "/pass"),
        ("PGOPTIONS", "-c geqo=off"),
        ("PGDATESTYLE", ""),
    ]);
    let address = Address::parse_with("", &variables).unwrap();
    assert_eq!(address.to_string(), "postgres://envuser@envhost:6000/envdb");
    assert_eq!(address.password, Some(Secret::from("envpass")));
    assert_eq!(address.tls.mode, SslMode::VerifyCa);
    assert_eq!(address.tls.roots, Some(Roots::File("/ca.pem".into())));
    assert_eq!(address.application_name.as_deref(), Some("envapp"));
    assert_eq!(address.connect_timeout, Some(Duration::from_secs(3)));
    assert_eq!(address.target, TargetSession::ReadWrite);
    assert_eq!(address.passfile, Some("/pass".into()));
    assert_eq!(address.options.as_deref(), Some("-c geqo=off"));
    let address = Address::parse_with("postgres://u:p@db:1/d?sslmode=disable", &variables).unwrap();
    assert_eq!(address.to_string(), "postgres://u@db:1/d");
    assert_eq!(address.password, Some(Secret::from("p")));
    assert_eq!(address.tls.mode, SslMode::Disable);
}

#[test]
fn limits_and_modes_have_libpqs_meaning() {
    assert_eq!(parse("connect_timeout=0").connect_timeout, None);
    assert_eq!(parse("").connect_timeout, Some(CONNECT_TIMEOUT_DEFAULT));
    assert!(parse("").keepalives);
    assert!(!parse("keepalives=0").keepalives);
    let system = parse("sslrootcert=system");
    assert_eq!((system.tls.mode, system.tls.roots), (SslMode::VerifyFull, Some(Roots::System)));
}

#[test]
fn the_password_is_not_shown() {
    let address = parse("postgres://u:topsecret@db/d");
    assert!(!format!("{address} {address:?}").contains("topsecret"));
}
