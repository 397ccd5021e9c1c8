//! Everything that walhook ever writes is searched for the secrets that it was given.

use crate::api::Caller;
use crate::receiver::{Receiver, Reply};
use crate::registration::{CONFIG, arrived, one_by_one};
use crate::running::{PATIENCE, Site};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A secret for each place where one is said.
const SECRETS: [&str; 12] = [
    "secret-of-the-source",
    "secret-of-the-file-webhook",
    "whsec_c2VjcmV0LW9mLXRoZS1zaWduYXR1cmUtMDAwMA==",
    "secret-of-the-proxy",
    "secret-of-the-mail-relay",
    "secret-of-the-user",
    "wht_c2VjcmV0LW9mLWEtcHJvZ3JhbS10aGF0LWFza3M",
    "secret-by-the-api",
    "secret-by-sql",
    "secret-by-a-patch",
    "secret-of-a-guess",
    "secret-of-the-headers",
];

fn configure(site: &Site, receiver: &Receiver) {
    let hash = |command: &str, secret: &str| {
        let mut child = site.command(&[command]);
        let mut child =
            child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), secret.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
    };
    let url = site.cluster.url("postgres");
    let with_password = url.replacen("postgres@", &format!("postgres:{}@", SECRETS[0]), 1);
    assert_ne!(url, with_password, "{url}");
    let token = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRETS[6].as_bytes());
    let token: String = token.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    site.configure_source(
        &with_password,
        &format!(
            "{}
[mail]
relay = \"127.0.0.1:9\"
username = \"walhook\"
password = \"{mail}\"
from = \"walhook@walhook.example\"
to = [\"desk@walhook.example\"]
tls = \"starttls\"
[[webhooks]]
name = \"of the file\"
form = \"ticket\"
events = [\"create\"]
signature.secret = \"{signature}\"
[webhooks.callback]
url = \"{endpoint}\"
authentication = {{ type = \"BASIC\", username = \"walhook\", password = \"{password}\" }}
[[webhooks]]
name = \"by a proxy\"
form = \"ticket\"
events = [\"create\"]
[webhooks.callback]
url = \"{endpoint}\"
proxy = \"http://walhook:{proxy}@127.0.0.1:9\"
authentication = {{ type = \"HEADERS\", headers = {{ X-Key = \"{header}\" }} }}
",
            CONFIG.replacen(
                "[dispatch]",
                &format!(
                    "[[admin.users]]\nname = \"ann\"\nrole = \"admin\"\n{}\n[[admin.tokens]]\nname = \"ci\"\nrole = \"admin\"\ntoken = \"sha256:{token}\"\n[dispatch]",
                    hash("password", SECRETS[5])
                ),
                1
            ),
            mail = SECRETS[4],
            signature = SECRETS[2],
            endpoint = receiver.url(),
            password = SECRETS[1],
            proxy = SECRETS[3],
            header = SECRETS[11],
        ),
    );
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Reads everything in the folder but the configuration, which is where they come from.
fn read_files(site: &Site, written: &mut String) {
    for file in files(site.folder.path()).into_iter().filter(|file| *file != site.config()) {
        written.push_str(&String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()));
    }
}

// R-NA-09
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_written_has_a_secret_in_it() {
    let receiver = Receiver::start().await;
    let site =
        Site::new("create table ticket (id bigint generated always as identity primary key, state text)")
            .await;
    configure(&site, &receiver);
    let mut written = String::new();
    let mut say = |arguments: &[&str]| {
        let (code, output) = site.run(arguments);
        written.push_str(&output);
        (code, output)
    };
    let (code, output) = say(&["setup", "--apply", "--registration"]);
    assert_eq!(code, 0, "{output}");
    let walhook = site.start_again(&[]).await;
    let session = site.session().await;
    let api = Caller::with_token(&site.base(), SECRETS[6]);
    let registered = json!({
        "form": "ticket",
        "events": ["create"],
        "callback": { "url": receiver.url(), "authentication": { "type": "BEARER", "token": SECRETS[7] } },
    });
    let made = api.post("/webhooks", registered).await;
    assert_eq!(made.status, 201, "{}", made.json);
    let by_sql = format!(
        "insert into walhook.webhook (form, events, url, authentication)
         values ('ticket', '{{create}}', '{}', '{{\"type\": \"BEARER\", \"token\": \"{}\"}}')",
        receiver.url(),
        SECRETS[8]
    );
    one_by_one(&session, &[&by_sql, "insert into ticket (state) values ('new')"]).await;
    // the one by the proxy arrives nowhere
    arrived(&receiver, 3).await;
    let sent: Vec<String> =
        receiver.requests().iter().filter_map(|one| one.header("authorization").map(str::to_owned)).collect();
    for secret in [SECRETS[7], SECRETS[8]] {
        assert!(sent.contains(&format!("Bearer {secret}")), "{sent:?}");
    }
    // what goes wrong is told without them, too
    receiver.reply(Reply::status(401).body("no"));
    one_by_one(&session, &["insert into ticket (state) values ('newer')"]).await;
    let patch = json!({ "callback": { "authentication": { "type": "BASIC", "token": SECRETS[9] } } });
    let request = api.request("PATCH", "/webhooks/1").header("content-type", "application/json");
    let refused = api.send(request.body(patch.to_string())).await;
    assert_eq!(refused.status, 422, "{}", refused.json);
    let mut answers = vec![made.json, refused.json];
    let guess = Caller::with_token(&site.base(), SECRETS[10]).get("/webhooks").await;
    assert_eq!(guess.status, 401);
    answers.push(guess.json);
    let started = Instant::now();
    loop {
        let row =
            session.query_one("select string_agg(to_jsonb(w)::text, ' ') from walhook.webhook w", &[]).await;
        let rows: String = row.unwrap().get(0);
        if !rows.contains(SECRETS[8]) {
            break written.push_str(&rows);
        }
        assert!(started.elapsed() < PATIENCE, "plain text is not sealed: {rows}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for path in
        ["/webhooks", "/webhooks/1", "/deliveries", "/deliveries/1/1", "/deliveries/2/1", "/status", "/forms"]
    {
        answers.push(api.well(path).await);
    }
    written.extend(answers.iter().map(ToString::to_string));
    for arguments in [
        vec!["config", "show"],
        vec!["check"],
        vec!["webhooks", "list", "--json"],
        vec!["webhooks", "show", "of the file"],
        vec!["webhooks", "test", "1", "--json"],
        vec!["deliveries", "list", "--json"],
        vec!["deliveries", "show", "1/1"],
        vec!["webhooks", "edit", "1", "/nowhere"],
    ] {
        let (code, output) = site.run(&arguments);
        assert_ne!(code, 70, "{arguments:?}: {output}");
        written.push_str(&output);
    }
    let metrics = api.absolute(&site.base(), "/metrics").await;
    assert!(metrics.contains("walhook_"), "{metrics}");
    written.push_str(&metrics);
    // while it runs, the queue's log has what was overwritten since
    read_files(&site, &mut written);
    assert_eq!(walhook.stop(), 0);
    read_files(&site, &mut written);
    let found: Vec<&str> = SECRETS.into_iter().filter(|secret| written.contains(secret)).collect();
    assert_eq!(found, [] as [&str; 0], "secrets were written");
    let base64 =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("walhook:{}", SECRETS[1]));
    assert!(!written.contains(&base64), "a login was written");
    // and the search finds what is there
    assert!(written.contains("of the file") && written.contains("sealed:v1:"));
}
