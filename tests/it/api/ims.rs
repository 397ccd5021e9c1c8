//! Deliveries that authenticate by BMC's IMS, with one of the test's own.

use super::arsys::{ArSystem, WEBHOOKS};
use crate::receiver::{Receiver, Reply, Request};
use crate::registration::{arrived, one_by_one};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the fake does.
#[derive(Default)]
struct Ims {
    /// How many tokens it has granted.
    granted: u64,
    /// How long they are good, in seconds.
    lifetime: u64,
    /// Tokens that the endpoint does not take (any more).
    revoked: Vec<u64>,
    is_down: bool,
}

impl Ims {
    fn answer(&mut self, request: &Request) -> Reply {
        let taken = |number: u64| {
            request.header("authorization").is_some_and(|header| {
                header.starts_with("IMS-JWT ") && header.ends_with(&format!(".signature-{number}"))
            })
        };
        match &*request.path {
            "/hook" if (1..=self.granted).any(|one| taken(one) && !self.revoked.contains(&one)) => {
                Reply::ok()
            }
            "/hook" => Reply::status(401),
            _ if self.is_down => Reply::status(503).body("geheim-4711"),
            path => {
                let body: Value = request.json();
                let knows = match path {
                    "/ims/api/v1/access_keys/login" => {
                        body == json!({ "access_key": "SCLTZ1UG33RA9LTXLGVMR0SWBQI0VY", "access_secret_key": "geheim-4711", "tenant_id": "1697761359" })
                    }
                    "/ims/api/v1/auth/tokens" => {
                        body == json!({ "token": format!("token-{}", self.granted) })
                    }
                    _ => false,
                };
                if !knows {
                    return Reply::status(400);
                }
                self.granted += 1;
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
                let claims = URL_SAFE_NO_PAD.encode(json!({ "exp": now + self.lifetime }).to_string());
                let granted = json!({
                    "token": format!("token-{}", self.granted),
                    "json_web_token": format!("header.{claims}.signature-{}", self.granted),
                    "user_id": "7",
                });
                Reply::ok().body(granted.to_string())
            }
        }
    }
}

async fn start(lifetime: u64) -> (Receiver, Arc<Mutex<Ims>>) {
    let receiver = Receiver::start().await;
    let ims = Arc::new(Mutex::new(Ims { lifetime, ..Ims::default() }));
    let asked = Arc::clone(&ims);
    receiver.script(move |request| asked.lock().unwrap().answer(request));
    (receiver, ims)
}

/// The documentation's sample for an IMS and an endpoint of the test's own.
fn sample(receiver: &Receiver) -> Value {
    json!({
        "description": "Test Webhook For IMS",
        "form_name": "User",
        "entry_events": ["create", "update", "merge", "delete"],
        "callback": {
            "url": receiver.url(),
            "authentication": {
                "type": "IMS",
                "accessKey": "SCLTZ1UG33RA9LTXLGVMR0SWBQI0VY",
                "accessSecretKey": "geheim-4711",
                "tenantId": "1697761359",
                "authBaseUrl": receiver.url().trim_end_matches("/hook"),
                "authAccessTokenPath": "/ims/api/v1/access_keys/login",
                "authRefreshTokenPath": "/ims/api/v1/auth/tokens",
                "authHeaderTokenName": "IMS-JWT",
            },
        },
    })
}

fn paths(receiver: &Receiver) -> Vec<String> {
    receiver.requests().iter().map(|one| one.path.rsplit('/').next().unwrap().to_owned()).collect()
}

// R-AR-27 R-AR-28 R-AR-43 R-AR-44 R-AR-45 R-AR-46 R-AR-47 R-AR-48 R-AR-49 R-AR-35
#[tokio::test]
async fn a_token_is_asked_for_once_shared_and_exchanged_when_it_is_refused() {
    let arsys = ArSystem::start().await;
    let (session, (receiver, ims)) = (arsys.site.session().await, start(3600).await);
    let id = arsys.register(&sample(&receiver)).await;
    let shown = arsys.show(&id).await;
    let mut expected = sample(&receiver)["callback"]["authentication"].clone();
    expected["accessSecretKey"] = json!("********");
    assert_eq!(shown["callback"]["authentication"], expected);

    // several at once: one login
    session.batch_execute("insert into person select n, 'Ann' from generate_series(1, 5) n").await.unwrap();
    arrived(&receiver, 6).await;
    let mut asked = paths(&receiver);
    asked.sort_unstable();
    assert_eq!(asked, ["hook", "hook", "hook", "hook", "hook", "login"]);

    // revoked before its time: exchanged, and the same attempt goes on
    ims.lock().unwrap().revoked.push(1);
    session.batch_execute("insert into person values (6, 'Bob')").await.unwrap();
    arrived(&receiver, 9).await;
    assert_eq!(paths(&receiver)[6..], ["hook", "tokens", "hook"]);
    let last = receiver.requests().pop().unwrap();
    assert_eq!((last.attempt(), last.was_taken()), (1, true));

    // what it is exchanged for is no good either: asked for from the beginning
    ims.lock().unwrap().revoked.extend([2, 3]);
    session.batch_execute("insert into person values (7, 'Eve')").await.unwrap();
    arrived(&receiver, 14).await;
    assert_eq!(paths(&receiver)[9..], ["hook", "tokens", "hook", "login", "hook"]);
    assert!(receiver.requests().pop().unwrap().was_taken());

    // the document that was shown keeps the secret
    let path = format!("{WEBHOOKS}/{id}");
    assert_eq!(arsys.ask(Method::PUT, &path, Some(&shown)).await.0, 204);
    session.batch_execute("insert into person values (8, 'Dan')").await.unwrap();
    arrived(&receiver, 15).await;
    assert!(!arsys.walhook.log().contains("geheim"), "{}", arsys.walhook.log());
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-AR-28
#[tokio::test]
async fn a_token_is_exchanged_before_it_expires() {
    let arsys = ArSystem::start().await;
    // a minute before the end is the end
    let (session, (receiver, _)) = (arsys.site.session().await, start(62).await);
    arsys.register(&sample(&receiver)).await;
    session.batch_execute("insert into person values (1, 'Ann')").await.unwrap();
    arrived(&receiver, 2).await;
    // the token's own clock has seconds
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    session.batch_execute("insert into person values (2, 'Bob')").await.unwrap();
    arrived(&receiver, 4).await;
    assert_eq!(paths(&receiver), ["login", "hook", "tokens", "hook"]);
    assert_eq!(arsys.walhook.stop(), 0);
}

#[tokio::test]
async fn an_ims_that_is_away_is_tried_again_and_nothing_is_lost() {
    let arsys = ArSystem::start().await;
    let (session, (receiver, ims)) = (arsys.site.session().await, start(3600).await);
    ims.lock().unwrap().is_down = true;
    arsys.register(&sample(&receiver)).await;
    one_by_one(&session, &["insert into person values (1, 'Ann')"]).await;
    arrived(&receiver, 2).await;
    let (_, said) = arsys.site.run(&["webhooks", "show", "1"]);
    let reason = "503 Service Unavailable";
    assert!(said.contains("could not authenticate with http://") && said.contains(reason), "{said}");
    assert!(!said.contains("geheim"), "{said}");
    ims.lock().unwrap().is_down = false;
    receiver
        .wait_until("the delivery", |all| all.iter().any(|one| one.path == "/hook" && one.was_taken()))
        .await;
    assert_eq!(arsys.walhook.stop(), 0);
}
