//! Messages signed by webhook policies, from the policy's registration to the receiver's verification.

use super::itrp::Itrp;
use crate::receiver::{Receiver, Reply, Request};
use crate::registration::{arrived, one_by_one};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, TokenData, Validation, decode, decode_header};
use reqwest::Method;
use serde_json::{Value, json};

const SITE: &str = "https://desk.example";

fn settings() -> String {
    format!("[admin.itrp]\nurl = \"{SITE}/\"\n")
}

/// What a receiver verifies with, out of the answer that made the policy.
fn verifying(policy: &Value) -> DecodingKey {
    match (policy["public_key_pem"].as_str(), policy["secret"].as_str()) {
        (None, Some(secret)) => DecodingKey::from_secret(&STANDARD.decode(secret).unwrap()),
        (Some(pem), None) if policy["jwt_alg"].as_str().unwrap().starts_with('r') => {
            DecodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
        }
        (Some(pem), None) => DecodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
        _ => panic!("{policy}"),
    }
}

fn token_of(request: &Request) -> String {
    let body = request.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["jwt"].as_str().unwrap().to_owned()
}

fn verified(token: &str, key: &DecodingKey, algorithm: &str, audience: &str) -> TokenData<Value> {
    let mut validation = Validation::new(algorithm.to_uppercase().parse().unwrap());
    validation.set_audience(&[audience]);
    validation.set_issuer(&[SITE]);
    validation.validate_nbf = true;
    decode(token, key, &validation).unwrap()
}

async fn make(itrp: &Itrp, policy: Value) -> Value {
    itrp.ask(Method::POST, "/webhook_policies", Some(policy)).await.expect(201)
}

// R-XU-22
#[tokio::test]
async fn messages_are_signed_by_every_algorithm_and_verified_by_their_receivers() {
    let mut itrp = Itrp::start(&settings()).await;
    let (session, receiver) = (itrp.site.session().await, Receiver::start().await);
    let algorithms = ["hs256", "hs384", "hs512", "rs256", "rs384", "rs512", "es256", "es384"];
    let mut policies = Vec::new();
    for algorithm in algorithms {
        let policy = json!({ "jwt_alg": algorithm, "jwt_audience": algorithm, "jwt_claim_expires_in": 5 });
        let policy = make(&itrp, policy).await;
        let webhook = json!({
            "name": algorithm, "event": "problem.create", "uri": receiver.url(), "webhook_policy_id": policy["id"],
        });
        let id = itrp.register(webhook).await;
        let shown = itrp.get(&format!("/webhooks/{id}")).await.expect(200);
        assert_eq!(shown["webhook_policy"], json!({ "id": policy["id"], "name": policy["name"] }));
        // what was shown changes nothing
        assert_eq!(itrp.ask(Method::PUT, &format!("/webhooks/{id}"), Some(shown)).await.status, 200);
        policies.push(policy);
    }
    let check = |requests: &[Request], entry: u64| {
        for policy in &policies {
            let algorithm = policy["jwt_alg"].as_str().unwrap();
            let of_policy = |request: &&Request| {
                decode_header(token_of(request)).unwrap().alg == algorithm.to_uppercase().parse().unwrap()
            };
            let request = requests.iter().find(of_policy).unwrap();
            let token = verified(&token_of(request), &verifying(policy), algorithm, algorithm);
            let claims = token.claims;
            assert_eq!(claims["data"]["event"], "problem.create", "{claims}");
            assert_eq!(
                (&claims["data"]["object_id"], &claims["data"]["name"]),
                (&json!(entry), &json!(algorithm))
            );
            assert_eq!(claims["jti"], request.id(), "{claims}");
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
            assert_eq!(request.header("content-type"), Some("application/json; charset=utf-8"));
        }
    };
    session.batch_execute("insert into problem values (7, 'a')").await.unwrap();
    arrived(&receiver, policies.len()).await;
    check(&receiver.requests(), 7);

    // the sealing key is changed: what was sealed by the old one is sealed by the new one, and signs on
    let key = itrp.site.folder.path().join("walhook.key");
    let old = std::fs::read_to_string(&key).unwrap();
    let (code, new) = itrp.site.run(&["key", "new"]);
    assert_eq!(code, 0, "{new}");
    let new = new.lines().find(|line| line.starts_with("whk_")).unwrap();
    std::fs::write(&key, format!("{new}\n{old}")).unwrap();
    let sealed = "select count(distinct split_part(key, ':', 3)), min(key) from walhook.policy";
    let before: String = session.query_one(sealed, &[]).await.unwrap().get(1);
    itrp.walhook.signal("HUP");
    let started = std::time::Instant::now();
    loop {
        let row = session.query_one(sealed, &[]).await.unwrap();
        let (keys, now): (i64, String) = (row.get(0), row.get(1));
        if keys == 1 && now.split(':').nth(2) != before.split(':').nth(2) {
            break;
        }
        assert!(started.elapsed() < crate::running::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    std::fs::write(&key, format!("{new}\n")).unwrap();
    drop(itrp.walhook);
    receiver.forget();
    itrp.walhook = itrp.site.start_again(&[]).await;
    session.batch_execute("insert into problem values (8, 'b')").await.unwrap();
    arrived(&receiver, policies.len()).await;
    check(&receiver.requests(), 8);
}

// R-XU-22
#[tokio::test]
async fn a_receiver_finds_the_key_of_a_policy_by_itself() {
    let itrp = Itrp::start(&settings()).await;
    let (session, receiver) = (itrp.site.session().await, Receiver::start().await);
    let policy = make(&itrp, json!({ "jwt_alg": "es256" })).await;
    let webhook = json!({
        "event": "problem.create", "uri": receiver.url(), "openid_connect_discovery": true,
        "webhook_policy": { "id": policy["id"], "name": "of no importance" },
    });
    itrp.register(webhook).await;
    session.batch_execute("insert into problem values (7, 'a')").await.unwrap();
    arrived(&receiver, 1).await;
    let token = token_of(&receiver.requests()[0]);

    let open = async |url: &str| {
        let path = url.strip_prefix(SITE).unwrap();
        let answer = itrp.ask_with(Method::GET, path, &[], None).await;
        assert_eq!(answer.header("cache-control"), "public, max-age=3600");
        answer.expect(200)
    };
    let issuer = format!("{SITE}/webhook_policies/{}", policy["name"].as_str().unwrap());
    let configuration = open(&format!("{issuer}/.well-known/openid-configuration")).await;
    assert_eq!(configuration["issuer"], issuer);
    let keys = open(configuration["jwks_uri"].as_str().unwrap()).await;
    let keys: JwkSet = serde_json::from_value(keys).unwrap();
    let header = decode_header(&token).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[issuer]);
    validation.required_spec_claims.clear();
    let claims = decode::<Value>(&token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims;
    assert_eq!((&claims["data"]["object_id"], claims.get("exp")), (&json!(7), None));

    // who shares a secret finds none
    let shared = make(&itrp, json!({ "jwt_alg": "hs256" })).await;
    let path = format!("/webhook_policies/{}/jwks", shared["name"].as_str().unwrap());
    assert_eq!(itrp.ask_with(Method::GET, &path, &[], None).await.status, 404);
    assert_eq!(itrp.ask_with(Method::GET, "/webhook_policies/none/jwks", &[], None).await.status, 404);
}

// R-XU-22 R-XU-23
#[tokio::test]
async fn policies_are_made_shown_changed_and_deleted() {
    let itrp = Itrp::start("").await;
    assert_eq!(itrp.get("/v1/webhook_policies").await.expect(200), json!([]));
    let first = make(&itrp, json!({ "jwt_alg": "RS256", "jwt_audience": "some audience" })).await;
    assert!(first["public_key_pem"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"), "{first}");
    assert_eq!((&first["jwt_alg"], first.get("secret")), (&json!("rs256"), None));
    let second = make(&itrp, json!({ "jwt_alg": "hs512", "disabled": true })).await;
    let path = |policy: &Value| format!("/v1/webhook_policies/{}", policy["id"]);
    let shown = itrp.get(&path(&first)).await.expect(200);
    let keys: Vec<&String> = shown.as_object().unwrap().keys().collect();
    let expected = [
        "created_at",
        "disabled",
        "id",
        "jwt_alg",
        "jwt_audience",
        "jwt_claim_expires_in",
        "name",
        "updated_at",
    ];
    assert_eq!(keys, expected);
    let list = itrp.get("/webhook_policies").await.expect(200);
    assert_eq!((&list[0]["id"], &list[1]["id"]), (&first["id"], &second["id"]));
    assert_eq!(list[0].as_object().unwrap().len(), 4, "{list}");
    assert_eq!(itrp.get("/webhook_policies/enabled").await.expect(200)[0]["id"], first["id"]);
    assert_eq!(itrp.get("/webhook_policies/disabled").await.expect(200)[0]["id"], second["id"]);

    for (policy, said) in [
        (json!({}), "jwt_alg can't be blank"),
        (json!({ "jwt_alg": "none" }), "jwt_alg would leave messages unsigned"),
        (json!({ "jwt_alg": "ps256" }), "jwt_alg is not included in the list"),
        (json!({ "jwt_alg": "es256", "jwt_claim_expires_in": 0 }), "jwt_claim_expires_in "),
        (json!({ "jwt_alg": "es256", "jwt_audience": "x".repeat(2049) }), "jwt_audience is too long"),
        (json!({ "jwt_alg": "es256", "disabled": 7 }), "disabled must be true or false"),
    ] {
        let refused = itrp.ask(Method::POST, "/webhook_policies", Some(policy)).await.expect(422);
        assert!(refused["errors"][0].as_str().unwrap().starts_with(said), "{refused}");
    }
    let patch =
        async |policy: &Value, patch: Value| itrp.ask(Method::PATCH, &path(policy), Some(patch)).await;
    let changed =
        patch(&first, json!({ "jwt_audience": null, "jwt_claim_expires_in": 12, "jwt_alg": "rs256" }));
    let changed = changed.await.expect(200);
    assert_eq!((&changed["jwt_claim_expires_in"], &changed["jwt_audience"]), (&json!(12), &Value::Null));
    patch(&first, json!({ "jwt_alg": "rs512" })).await.expect(422);
    itrp.get("/webhook_policies/99").await.expect(404);

    // one that is disabled is for no further webhook, and one that is in use stays
    let webhook = |policy: &Value| json!({ "event": "problem.create", "uri": "https://receiver.example/", "webhook_policy_id": policy["id"] });
    for (policy, said) in [(&second, "is disabled"), (&json!({ "id": 99 }), "webhook_policy ")] {
        let refused = itrp.ask(Method::POST, "/webhooks", Some(webhook(policy))).await.expect(422);
        assert!(refused["errors"][0].as_str().unwrap().contains(said), "{refused}");
    }
    let id = itrp.register(webhook(&first)).await;
    patch(&first, json!({ "disabled": true })).await.expect(200);
    let named = itrp.ask(Method::PATCH, &format!("/webhooks/{id}"), Some(json!({ "name": "kept" }))).await;
    assert_eq!(named.expect(200)["webhook_policy"]["id"], first["id"]);
    let kept = itrp.ask(Method::DELETE, &path(&first), None).await.expect(422);
    assert!(kept["errors"][0].as_str().unwrap().contains("is in use"), "{kept}");
    itrp.ask(Method::PATCH, &format!("/webhooks/{id}"), Some(json!({ "webhook_policy": null })))
        .await
        .expect(200);
    itrp.ask(Method::DELETE, &path(&first), None).await.expect(204);
    itrp.get(&path(&first)).await.expect(404);

    // keys are sealed in the table, and nobody is shown them
    let session = itrp.site.session().await;
    one_by_one(
        &session,
        &["insert into walhook.webhook (form, events, url, webhook_policy) select 'Problem', '{create}', \
        'https://receiver.example/', id from walhook.policy where not disabled"],
    )
    .await;
    let keys = session.query("select key from walhook.policy", &[]).await.unwrap();
    assert!(keys.iter().all(|row| row.get::<_, String>(0).starts_with("sealed:v1:")));
    patch(&second, json!({ "disabled": false })).await.expect(200);
    let id = itrp.register(webhook(&second)).await;
    let native = itrp.get(&format!("/api/v1/webhooks/{id}")).await.expect(200);
    assert_eq!((&native["webhook_policy"], &native["signing"]["key"]), (&second["id"], &json!("********")));
    assert!(!itrp.site.run(&["webhooks", "show", &id.to_string(), "--json"]).1.contains("sealed:"));
}

#[tokio::test]
async fn what_is_queued_is_signed_while_the_database_is_away() {
    let mut itrp = Itrp::start(&settings()).await;
    let (session, receiver) = (itrp.site.session().await, Receiver::start().await);
    receiver.reply(Reply::status(503));
    let policy =
        make(&itrp, json!({ "jwt_alg": "es384", "jwt_audience": "desk", "jwt_claim_expires_in": 5 })).await;
    let webhook =
        json!({ "event": "problem.create", "uri": receiver.url(), "webhook_policy_id": policy["id"] });
    let id = itrp.register(webhook).await;
    // as long as nobody says otherwise it is tried again soon
    let patient = json!({ "schedule": ["100ms", "100ms", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"] });
    itrp.ask(Method::PATCH, &format!("/api/v1/webhooks/{id}"), Some(patient)).await.expect(200);
    session.batch_execute("insert into problem values (7, 'a')").await.unwrap();
    arrived(&receiver, 1).await;
    drop(itrp.walhook);
    itrp.site.cluster.down("immediate").unwrap();
    receiver.forget();
    receiver.reply(Reply::ok());
    itrp.walhook = itrp.site.spawn(&[]);
    arrived(&receiver, 1).await;
    let token = token_of(&receiver.requests()[0]);
    let claims = verified(&token, &verifying(&policy), "es384", "desk").claims;
    assert_eq!(claims["data"]["object_id"], 7, "{claims}");
}
