//! What nobody should send, and lists of what nobody has: each gets a clear answer, and nothing breaks.

use super::Caller;
use crate::queue::make::{Feed, dead, delivered, register};
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use walhook::admin::{Admin, Shown, Trials};
use walhook::catalog::Latest;
use walhook::observe::Observers;
use walhook::queue::Queue;
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::report::health::Health;
use walhook::report::metrics::Metrics;

/// The surface on a queue of its own, without a database.
struct Surface {
    api: Caller,
    queue: Arc<SqliteQueue>,
    _folder: TempDir,
    _server: JoinSet<Result<(), walhook::admin::Error>>,
}

async fn surface() -> Surface {
    let folder = tempfile::tempdir().unwrap();
    let queue = SqliteQueue::open(&folder.path().join("queue.db"), Options::default()).unwrap();
    let shown = Shown {
        health: Arc::new(Health::new()),
        metrics: Arc::new(Metrics::new()),
        queue: Arc::clone(&queue) as Arc<dyn Queue>,
        webhooks: tokio::sync::watch::channel(Arc::default()).1,
        registrar: crate::registration::registrar_of_nobody(),
        tester: Arc::new(|_, _| Box::pin(std::future::pending())),
        forms: Latest::default(),
        trials: Trials::default(),
        settings: tokio::sync::watch::channel(Arc::default()).1,
    };
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let api = Caller::new(&format!("http://{}", admin.local_addr()));
    let mut server = JoinSet::new();
    let access = tokio::sync::watch::channel(Arc::default()).1;
    server.spawn(admin.serve(shown, access, Observers::default(), CancellationToken::new()));
    Surface { api, queue, _folder: folder, _server: server }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_by_place() {
    let Surface { api, queue, _folder, _server } = surface().await;
    register(&*queue, &[7]).await;
    let check = async |method: &str, path: &str, kind: &str, body: &str, status: u16, said: &[&str]| {
        let mut request = api.request(method, path).body(body.to_owned());
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let answer = api.send(request).await;
        assert_eq!(answer.status, status, "{method} {path} {body:.100}: {}", answer.json);
        for said in said {
            assert!(answer.json.to_string().contains(said), "{said:?} is not in {}", answer.json);
        }
        answer
    };
    const JSON: &str = "application/json";
    // paths and methods
    check("GET", "/nowhere", "", "", 404, &["/api/v1/nowhere", "openapi.json"]).await;
    check("GET", "", "", "", 404, &[]).await;
    check("GET", "/deliveries/", "", "", 404, &[]).await;
    let answer = check("DELETE", "/deliveries", "", "", 405, &["DELETE"]).await;
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    let answer = check("GET", "/deliveries/replay", "", "", 405, &[]).await;
    assert_eq!(answer.headers["allow"], "POST");
    let answer = check("PUT", "/conditions/preview", JSON, "{}", 405, &[]).await;
    assert_eq!(answer.headers["allow"], "POST");
    // names in the path
    for path in ["/deliveries/7/1", "/deliveries/9/1", "/deliveries/7/x", "/deliveries/7/-1"] {
        check("GET", path, "", "", 404, &["no such delivery"]).await;
    }
    check("GET", "/deliveries/msg_00", "", "", 404, &["msg_00"]).await;
    check("GET", "/deliveries/msg_000102030405060708090a0b0c0d0e0f", "", "", 404, &["no such delivery"])
        .await;
    check("GET", "/deliveries/7/99999999999999999999999", "", "", 404, &[]).await;
    check("GET", "/deliveries/%FF%FE/1", "", "", 404, &[]).await;
    check("GET", "/deliveries/a%2Fb%00/1", "", "", 404, &[]).await;
    check("POST", "/deliveries/7/1/replay", "", "", 404, &["no such delivery"]).await;
    check("POST", "/deliveries/7/18446744073709551615/drop", "", "", 404, &[]).await;
    check("GET", "/forms", "", "", 503, &["not known yet"]).await;
    // parameters
    for (query, said) in [
        ("limit=0", "\"limit\""),
        ("limit=1001", "1 to 1000"),
        ("limit=many", "\"limit\""),
        ("limit=-1", "\"limit\""),
        ("cursor=", "\"cursor\""),
        ("cursor=%2B%2B%2B", "\"cursor\""),
        ("cursor=AQAAAAAAAA", "next"),
        ("state=deaf", "waiting, ready, retrying, blocking, dead, delivered, dropped"),
        ("since=yesterday", "\"since\""),
        ("until=2026-11-22T05%3A00%3A00", "offset"),
        ("webhook=nobody", "there is no webhook"),
        ("sates=dead", "sates"),
        ("limit=1&limit=2", "limit"),
    ] {
        check("GET", &format!("/deliveries?{query}"), "", "", 400, &[said, "errors"]).await;
    }
    // bodies
    let bulk = "/deliveries/replay";
    check("POST", bulk, "text/plain", "{}", 415, &["application/json"]).await;
    check("POST", bulk, "", "{}", 415, &[]).await;
    check("POST", bulk, JSON, "", 400, &["line 1, column 0"]).await;
    check("POST", bulk, JSON, "{\"webhook\": \"7\"", 400, &["line 1, column 15"]).await;
    check("POST", bulk, JSON, "{\"webhook\": 7}", 422, &["\"/webhook\"", "invalid type"]).await;
    check("POST", bulk, JSON, "{\"webhok\": \"7\"}", 422, &["\"/webhok\"", "unknown field"]).await;
    check("POST", bulk, JSON, "{\"states\": [\"dead\", 1]}", 422, &["\"/states/1\""]).await;
    check("POST", bulk, JSON, "{\"states\": [\"deaf\"]}", 422, &["\"/states\"", "deaf"]).await;
    check("POST", bulk, JSON, "{\"states\": [\"delivered\"]}", 422, &["only dead letters"]).await;
    check("POST", bulk, JSON, "{}", 422, &["\"/all\"", "nothing says which"]).await;
    check("POST", bulk, JSON, "{\"all\": true, \"form\": \"x\"}", 422, &["\"/all\""]).await;
    check("POST", bulk, JSON, "[]", 422, &[]).await;
    check("POST", bulk, JSON, "null", 422, &[]).await;
    check("POST", "/deliveries/drop", JSON, "{\"states\": [\"delivered\"]}", 422, &["finished"]).await;
    check("POST", "/entries/purge", JSON, "{}", 422, &["entry_id"]).await;
    check("POST", "/entries/purge", JSON, &"[".repeat(50_000), 422, &[]).await;
    check("POST", bulk, JSON, &format!("\"{}\"", "x".repeat(2 << 20)), 413, &["1048576"]).await;
    check("POST", bulk, JSON, "{\"form\": \"\\ud800\"}", 400, &[]).await;
    assert_eq!(api.post(bulk, json!({ "all": true })).await.json, json!({ "replayed": 0 }));
    assert_eq!(api.well("/deliveries").await, json!({ "deliveries": [], "next": null }));
}

#[tokio::test]
async fn pages_follow_their_links() {
    let Surface { api, queue, _folder, _server } = surface().await;
    register(&*queue, &[7, 8]).await;
    let mut feed = Feed::new();
    for lane in 0..60 {
        queue.enqueue(feed.transaction(&[(lane, &[7, 8])])).await.unwrap();
    }
    let claims = queue.claim(20, &|_| 10).await.unwrap();
    let settled = claims.into_iter().enumerate();
    let settled = settled.map(|(number, claim)| if number % 4 < 2 { dead(claim) } else { delivered(claim) });
    queue.settle(settled.collect()).await.unwrap();

    let mut path = "/deliveries?limit=7&webhook=webhook%207".to_owned();
    let mut sequences = Vec::new();
    let last = loop {
        let answer = api.get(&path).await;
        let page = answer.json["deliveries"].as_array().unwrap().clone();
        sequences.extend(page.iter().map(|one| one["sequence"].as_u64().unwrap()));
        assert!(page.iter().all(|one| one["webhook"] == "webhook 7" && one["webhook_id"] == 7));
        // what comes is on no later page
        queue.enqueue(feed.transaction(&[(100, &[7])])).await.unwrap();
        let Some(link) = answer.headers.get("link") else { break answer };
        let link = link.to_str().unwrap();
        path = link.strip_prefix("</api/v1").unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        assert!(path.contains(answer.json["next"].as_str().unwrap()), "{path}");
    };
    assert_eq!(last.json["next"], Value::Null);
    assert_eq!(sequences, (1..=60).rev().collect::<Vec<_>>());

    let dead_ones = api.well("/deliveries?state=dead,blocking&limit=1000").await;
    assert_eq!(dead_ones["deliveries"].as_array().unwrap().len(), 10);
    let entry = api.well("/deliveries?entry=INC5&form=Incident").await;
    assert_eq!(entry["deliveries"].as_array().unwrap().len(), 2);
    let since = "2020-09-13T12:26:40.006001%2B00:00";
    let late = api.well(&format!("/deliveries?since={since}&webhook=8")).await;
    assert_eq!(late["deliveries"], json!([]));
    let early = api.well(&format!("/deliveries?until={since}&webhook=8")).await;
    assert_eq!(early["deliveries"].as_array().unwrap().len(), 60);

    let replayed = api.post("/deliveries/replay", json!({ "webhook": "7" })).await;
    assert_eq!((replayed.status, &replayed.json), (200, &json!({ "replayed": 5 })));
    let dropped = api.post("/deliveries/drop", json!({ "webhook": "8", "states": ["dead"] })).await;
    assert_eq!((dropped.status, &dropped.json), (200, &json!({ "dropped": 5 })));
    let dropped = api.post("/deliveries/drop", json!({ "all": true })).await;
    assert_eq!(dropped.json["dropped"].as_u64().unwrap() + 10 + 5, feed.sequence(7) + feed.sequence(8));
}
