//! Accounts and TLS of the HTTP surface, on the real program: who is let in, who is slowed down, what a certificate's
//! files do. The database is away in these tests: the surface does not need it.

mod client;
mod house;

use crate::terminal;
use client::{Answer, basic, bearer};
use house::House;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PASSWORD: &str = "correct horse";

/// A user with a role, its password hashed by the program itself.
fn user(house: &House, name: &str, role: &str) -> String {
    let made = house.run_with(&["password"], PASSWORD.to_owned() + "\n");
    assert_eq!(made.0, 0, "{}", made.1);
    let hash = made.1.lines().find(|line| line.starts_with("password = ")).unwrap().to_owned();
    format!("[[admin.users]]\nname = {name:?}\nrole = {role:?}\n{hash}\n")
}

/// A token and the lines for it.
fn token(house: &House, name: &str, role: &str) -> (String, String) {
    let (code, text) = house.run_with(&["token", "--json"], String::new());
    assert_eq!(code, 0, "{text}");
    let made: serde_json::Value = serde_json::from_str(&text).unwrap();
    let lines = format!("[[admin.tokens]]\nname = {name:?}\nrole = {role:?}\ntoken = {}\n", made["hash"]);
    (made["token"].as_str().unwrap().to_owned(), lines)
}

#[tokio::test]
async fn who_has_an_account_sees_the_metrics_and_who_has_not_sees_health_alone() {
    let house = House::new();
    let (token, lines) = token(&house, "prometheus", "viewer");
    house.configure("", &format!("{}{lines}", user(&house, "ann", "admin")));
    let running = house.start().await;
    assert_eq!(house.ask("/healthz", "").await.status, 200);
    assert_eq!(house.ask("/readyz", "").await.status, 503, "there is no database");
    let Answer { status, head, body } = house.ask("/metrics", "").await;
    assert_eq!(status, 401);
    assert!(head.contains("www-authenticate: Basic realm=\"walhook\", charset=\"UTF-8\""), "{head}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert!(body.contains("\"title\":\"this needs an account\""), "{body}");
    assert_eq!(house.ask("/metrics", &basic("ann", PASSWORD)).await.status, 200);
    assert_eq!(house.ask("/metrics", &bearer(&token)).await.status, 200);
    assert_eq!(house.ask("/metrics", &basic("ann", "hunter2")).await.status, 401);
    assert_eq!(house.ask("/metrics", &basic("nobody", PASSWORD)).await.status, 401);
    assert_eq!(house.ask("/metrics", &bearer("wht_wrong")).await.status, 401);
    let metrics = house.ask("/metrics", &bearer(&token)).await.body;
    assert!(metrics.contains("walhook_logins_refused_total 3\n"), "{metrics}");
    running.wait_until_logged("a login to the admin interface was refused").await;
    let log = running.log();
    for secret in [PASSWORD, "hunter2", "nobody", "wht_", "argon2", "sha256"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

const CHANGE: &str = "POST /api/v1/deliveries/drop";

#[tokio::test]
async fn a_viewer_looks_and_an_administrator_changes() {
    let house = House::new();
    let (looks, viewer) = token(&house, "looks", "viewer");
    let (changes, admin) = token(&house, "changes", "admin");
    house.configure("", &format!("{viewer}{admin}"));
    let _running = house.start().await;
    let status = async |request: &str, headers: String| house.ask(request, &headers).await.status;
    for request in ["/api/v1/status", "/api/v1/deliveries", "/api/v1/openapi.json", CHANGE] {
        assert_eq!(status(request, String::new()).await, 401, "{request}");
        assert_eq!(status(request, bearer("wht_wrong")).await, 401, "{request}");
    }
    assert_eq!(status("/api/v1/deliveries", bearer(&looks)).await, 200);
    let refused = house.ask(CHANGE, &bearer(&looks)).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("has the role viewer, and this needs the role admin"), "{}", refused.body);
    assert_eq!(status("/api/v1/deliveries", bearer(&changes)).await, 200);
    let changed = house.ask(CHANGE, &bearer(&changes)).await;
    assert!(![401, 403].contains(&changed.status), "{changed:?}");
    let foreign = bearer(&changes) + "Origin: https://evil.example\r\n";
    assert_eq!(status(CHANGE, foreign).await, 403);
}

#[tokio::test]
async fn without_accounts_a_page_of_another_site_cannot_reach_the_loopback() {
    let house = House::new();
    let _running = house.start().await;
    let status = async |headers: &str| house.ask("/api/v1/deliveries", headers).await.status;
    assert_eq!(status("").await, 200);
    assert_eq!(status("Host: 127.0.0.1\r\n").await, 200);
    assert_eq!(status("Host: evil.example\r\n").await, 421);
    assert_eq!(status("Sec-Fetch-Site: cross-site\r\n").await, 403);
    assert_eq!(status("Origin: http://localhost:3000\r\n").await, 403);
}

#[tokio::test]
async fn wrong_passwords_are_slowed_down_and_right_ones_that_are_known_are_not() {
    let house = House::new();
    house.configure("", &format!("{}{}", user(&house, "ann", "admin"), user(&house, "bob", "viewer")));
    let _running = house.start().await;
    assert_eq!(house.ask("/metrics", &basic("bob", PASSWORD)).await.status, 200);
    let mut slowed = None;
    for number in 0..30 {
        let answer = house.ask("/metrics", &basic("ann", &format!("wrong {number}"))).await;
        if answer.status == 429 {
            slowed = Some((number, answer));
            break;
        }
        assert_eq!(answer.status, 401);
    }
    let (number, answer) = slowed.expect("it never waits");
    assert_eq!(number, 4);
    assert!(answer.head.contains("retry-after: 1\r\n"), "{}", answer.head);
    assert!(answer.body.contains("too many wrong logins"), "{}", answer.body);
    // even the right password is not looked at before the time has come
    let mut hit = house.ask("/metrics", &basic("ann", PASSWORD)).await.status;
    assert_eq!(hit, 429);
    assert_eq!(house.ask("/metrics", &basic("bob", PASSWORD)).await.status, 200, "known already");
    assert_eq!(house.ask("/healthz", "").await.status, 200);
    for _ in 0..100 {
        if hit == 200 {
            break;
        }
        // the clock of another process: there is nothing to wait on
        tokio::time::sleep(Duration::from_millis(50)).await;
        hit = house.ask("/metrics", &basic("ann", PASSWORD)).await.status;
    }
    assert_eq!(hit, 200);
}

#[tokio::test]
async fn accounts_are_taken_over_at_once() {
    let house = House::new();
    let (old, old_lines) = token(&house, "old", "viewer");
    let (new, new_lines) = token(&house, "new", "viewer");
    house.configure("", "");
    let running = house.start().await;
    assert_eq!(house.ask("/metrics", "").await.status, 200, "nothing is configured");
    house.configure("", &old_lines);
    running.signal("HUP");
    house.wait_for_status("/metrics", "", 401).await;
    assert_eq!(house.ask("/metrics", &bearer(&old)).await.status, 200);
    house.configure("", &new_lines);
    running.signal("HUP");
    house.wait_for_status("/metrics", &bearer(&old), 401).await;
    assert_eq!(house.ask("/metrics", &bearer(&new)).await.status, 200);
    // a file that is refused changes nothing
    house.configure("", "[[admin.users]]\nname = \"eve\"\nrole = \"admin\"\npassword = \"hunter2\"\n");
    running.signal("HUP");
    running.wait_until_logged("the configuration was refused").await;
    assert_eq!(house.ask("/metrics", &bearer(&new)).await.status, 200);
    assert!(!running.log().contains("hunter2"), "{}", running.log());
}

#[tokio::test]
async fn bytes_that_are_no_request_or_no_login_harm_nobody() {
    let house = House::new();
    house.configure("", &user(&house, "ann", "admin"));
    let _running = house.start().await;
    for wrong in [
        "Authorization: Basic !!!\r\n".to_owned(),
        "Authorization: Basic\r\n".to_owned(),
        "Authorization: Basic YW5u\r\n".to_owned(),
        "Authorization: Basic /////w==\r\n".to_owned(),
        "Authorization: \u{7f}\r\n".to_owned(),
        format!("Authorization: Bearer {}\r\n", "x".repeat(100_000)),
        format!("Authorization: Basic {}\r\n", "A".repeat(100_000)),
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n".to_owned(),
    ] {
        let status = house.ask("/metrics", &wrong).await.status;
        assert!([400, 401].contains(&status), "{status} for {}", &wrong[..40.min(wrong.len())]);
    }
    let many = "X-Many: y\r\n".repeat(10_000);
    let endless = format!("X-Endless: {}\r\n", "y".repeat(4 << 20));
    for huge in [many, endless] {
        // the answer may be lost where the connection ends with bytes unread
        let status = house.try_to_ask("/metrics", &huge).await.map(|answer| answer.status);
        assert!(matches!(status, None | Some(400 | 431)), "{status:?}");
    }
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = house.connect().await;
        stream.write_all(garbage).await.unwrap();
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
            .await
            .expect("it hangs");
    }
    assert_eq!(house.ask("/metrics", &basic("ann", PASSWORD)).await.status, 200);
}

/// A certificate of the listener's own, good from a year until another; returns it.
fn certificate(folder: &Path, from: i32, until: i32) -> rustls::pki_types::CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (parameters.not_before, parameters.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let certificate = parameters.self_signed(&key).unwrap();
    let write = |name: &str, text: String| {
        let new = folder.join("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, folder.join(name)).unwrap();
    };
    write("us.pem", certificate.pem());
    write("us.key", key.serialize_pem());
    certificate.der().clone()
}

const TLS: &str = "tls = { certificate = \"us.pem\", key = \"us.key\" }";

#[tokio::test]
async fn a_certificate_is_served_and_renewed_and_a_bad_one_does_not_replace_it() {
    let house = House::new();
    let (token, lines) = token(&house, "ci", "viewer");
    house.configure(TLS, &lines);
    let first = certificate(house.folder(), 2020, 2090);
    let running = house.start_with(&first).await;
    assert_eq!(house.ask_tls(&first, "/metrics", &bearer(&token)).await.unwrap().status, 200);
    assert_eq!(house.ask_tls(&first, "/metrics", "").await.unwrap().status, 401);
    assert!(house.try_to_ask("/healthz", "").await.is_none(), "without TLS");
    // renewed: new connections see it, without a signal
    let second = certificate(house.folder(), 2021, 2091);
    house.wait_until_served(&second).await;
    assert!(house.ask_tls(&first, "/healthz", "").await.is_none(), "the first one is gone");
    // a key that is another's
    let keep = fs::read(house.folder().join("us.pem")).unwrap();
    certificate(house.folder(), 2022, 2092);
    fs::write(house.folder().join("us.pem"), &keep).unwrap();
    running.wait_until_logged("the one before it stays").await;
    assert!(running.log().contains("cannot be used together"), "{}", running.log());
    assert_eq!(house.ask_tls(&second, "/healthz", "").await.unwrap().status, 200);
    // and at SIGHUP it is read whatever the files look like
    let third = certificate(house.folder(), 2023, 2093);
    running.signal("HUP");
    house.wait_until_served(&third).await;
}

#[tokio::test]
async fn slow_handshakes_do_not_stop_others() {
    let house = House::new();
    let (token, lines) = token(&house, "ci", "viewer");
    house.configure(TLS, &lines);
    let trusted = certificate(house.folder(), 2020, 2090);
    let _running = house.start_with(&trusted).await;
    let mut slow = Vec::new();
    let login = bearer(&token);
    for number in 0..400 {
        let mut stream = house.connect().await;
        if number % 2 == 0 {
            // the beginning of a client's hello
            stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
        }
        slow.push(stream);
        if number % 100 == 99 {
            let asked = house.ask_tls(&trusted, "/metrics", &login);
            let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.expect("it is slow");
            assert_eq!(answer.unwrap().status, 200, "beside {number}");
        }
    }
}

#[tokio::test]
async fn an_address_for_others_without_protection_is_refused_at_the_start() {
    let house = House::new();
    house.configure_on("0.0.0.0", "", "");
    let (code, text) = house.run_with(&["run"], String::new());
    assert_eq!(code, 64, "{text}");
    assert!(
        text.contains("others can reach this address, and there is neither TLS nor an account"),
        "{text}"
    );
    assert!(text.contains("allow_insecure = true"), "{text}");
    house.configure_on("0.0.0.0", "allow_insecure = true", "");
    let _running = house.start().await;
    assert_eq!(house.ask("/metrics", "").await.status, 200);
    let (_, text) = house.run_with(&["check"], String::new());
    assert!(text.contains("can be reached from other machines, without an account"), "{text}");
}

#[tokio::test]
async fn without_a_certificate_that_can_be_used_it_does_not_listen_until_there_is_one() {
    let house = House::new();
    house.configure(TLS, "");
    let running = house.spawn();
    running.wait_until_logged("the admin interface has no certificate that it could use").await;
    assert!(house.try_to_ask("/healthz", "").await.is_none());
    let trusted = certificate(house.folder(), 2020, 2090);
    running.signal("HUP");
    house.wait_until_served(&trusted).await;
}

#[test]
fn check_judges_the_certificate() {
    let house = House::new();
    house.configure(TLS, "");
    let check = |wanted: &str| {
        let (_, text) = house.run_with(&["check"], String::new());
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    };
    check("us.pem cannot be read");
    certificate(house.folder(), 2020, 2090);
    check("the certificate is good until 2090-01-01");
    certificate(house.folder(), 2020, 2021);
    check("the certificate has been over since 2021-01-01");
    fs::write(house.folder().join("us.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    check("cannot be used together");
    fs::set_permissions(house.folder().join("us.key"), fs::Permissions::from_mode(0o644)).unwrap();
    check("can be read by others");
}

#[test]
fn a_password_comes_by_standard_input_and_never_by_argument() {
    let house = House::new();
    for (input, code, wanted) in [
        ("short\n", 64, "a password has at least 8 characters"),
        ("", 64, "a password has at least 8 characters"),
        (&*("x".repeat(1025) + "\n"), 64, "more than 1024 bytes"),
        ("correct horse", 0, "password = \"$argon2id$v=19$m=19456,t=2,p=1$"),
        ("correct horse\r\nanother line\n", 0, "password = \"$argon2id$v=19$m=19456,t=2,p=1$"),
    ] {
        let (found, text) = house.run_with(&["password"], input.to_owned());
        assert_eq!(found, code, "{text}");
        assert!(text.contains(wanted) && !text.contains("correct"), "{text}");
    }
    assert_eq!(house.run_with(&["password", PASSWORD], String::new()).0, 64);
    assert_eq!(house.run_with(&["token", "wht_x"], String::new()).0, 64);
    let (_, text) = house.run_with(&["token"], String::new());
    assert!(text.lines().any(|line| line.starts_with("wht_")), "{text}");
    assert!(text.contains("token = \"sha256:"), "{text}");
}

fn typed_password(lines: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
    command.arg("password");
    terminal::type_into(command, lines)
}

#[test]
fn a_password_that_is_typed_is_asked_for_twice_and_not_shown() {
    let (code, text) = typed_password(&["correct horse\n", "correct horse\n"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("password = \"$argon2id$") && !text.contains("correct"), "{text}");
    let (code, text) = typed_password(&["correct horse\n", "correct house\n"]);
    assert_eq!(code, 64, "{text}");
    assert!(text.contains("these are two different passwords") && !text.contains("correct"), "{text}");
}
