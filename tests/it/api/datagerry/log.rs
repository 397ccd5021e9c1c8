//! The log of deliveries, as the page shows it.

use super::DataGerry;
use crate::receiver::{Receiver, Reply};
use crate::registration::one_by_one;
use crate::running::PATIENCE;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Instant;

// R-DG-08 R-DG-25
#[tokio::test]
async fn the_log_tells_what_became_of_deliveries() {
    let datagerry = DataGerry::start("").await;
    let (session, receiver) = (datagerry.site.session().await, Receiver::start().await);
    let id = datagerry.register("log", &receiver.url(), "['create', 'update']").await;
    one_by_one(&session, &["insert into ticket values (1, 'new')", "update ticket set state = 'old'"]).await;
    datagerry.events(2).await;
    receiver.reply(Reply::status(201));
    one_by_one(&session, &["insert into ticket values (2, 'created')"]).await;
    datagerry.events(3).await;
    receiver.reply(Reply::status(400).body("no"));
    one_by_one(&session, &["insert into ticket values (3, 'refused')"]).await;
    let events = datagerry.events(4).await;
    let bodies: Vec<Value> = receiver.requests().iter().map(crate::receiver::Request::json).collect();
    for ((event, body), (code, status)) in
        events.iter().zip(&bodies).zip([(200, true), (200, true), (201, false), (400, false)])
    {
        let mut expected = body.clone();
        expected["public_id"] = event["public_id"].clone();
        expected["webhook_id"] = json!(id);
        expected["response_code"] = json!(code);
        expected["status"] = json!(status);
        assert_eq!(*event, expected);
        assert_eq!(datagerry.get(&format!("/webhook_events/{}", event["public_id"])).await, expected);
    }
    let ids: Vec<u64> = events.iter().map(|event| event["public_id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    let found = async |query: &str| -> Vec<u64> {
        let listed = datagerry.get(&format!("/webhook_events/?{query}")).await;
        let results = listed["results"].as_array().unwrap();
        results.iter().map(|event| event["public_id"].as_u64().unwrap()).collect()
    };
    assert_eq!(found("order=-1&limit=2").await, [ids[3], ids[2]]);
    assert_eq!(found("filter=%7B%22status%22%3Afalse%7D&sort=response_code").await, [ids[2], ids[3]]);
    assert_eq!(found("filter=%7B%22operation%22%3A%22UPDATE%22%7D").await, [ids[1]]);
    assert_eq!(found(&format!("filter=%7B%22webhook_id%22%3A{id}%7D&limit=3&page=2")).await, [ids[3]]);
    assert!(found("filter=%7B%22webhook_id%22%3A99%7D").await.is_empty());
    let head = datagerry.send(Method::HEAD, "/webhook_events", None).await;
    assert_eq!((head.status().as_u16(), &head.headers()["x-total-count"]), (200, &"4".parse().unwrap()));

    // what is finished goes when somebody says so, and a dead letter does not
    let one = |id: u64| format!("/webhook_events/{id}/");
    assert_eq!(datagerry.ask(Method::DELETE, &one(ids[0]), None).await, (200, json!(true)));
    assert_eq!(datagerry.ask(Method::GET, &one(ids[0]), None).await.0, 404);
    assert_eq!(datagerry.ask(Method::DELETE, &one(ids[0]), None).await.0, 404);
    let (status, told) = datagerry.ask(Method::DELETE, &one(ids[3]), None).await;
    let message = told["message"].as_str().unwrap();
    let remedy = format!("walhook deliveries drop {id}/4");
    assert!(status == 400 && message.contains("dead") && message.contains(&remedy), "{told}");
    assert_eq!(found("").await, ids[1..]);

    // where no answer came there is no code
    receiver.reply(Reply::cut());
    one_by_one(&session, &["insert into ticket values (4, 'cut off')"]).await;
    let cut = &datagerry.events(4).await[3];
    assert_eq!((&cut["response_code"], &cut["status"]), (&Value::Null, &json!(false)), "{cut}");

    // of bodies in other formats it tells the rows as far as they stand there
    let native = format!(
        "insert into walhook.webhook (form, events, url) values ('ticket', '{{update}}', '{}')",
        receiver.url()
    );
    receiver.reply(Reply::ok());
    one_by_one(
        &session,
        &[
            &format!("delete from walhook.webhook where id = {id}"),
            &native,
            "update ticket set state = 'newer' where id = 2",
        ],
    )
    .await;
    let started = Instant::now();
    let event = loop {
        let listed = datagerry.get("/webhook_events/?order=-1&limit=1").await;
        let newest = listed["results"][0].clone();
        if newest["webhook_id"] == id + 1 && newest["status"] == true {
            break newest;
        }
        assert!(started.elapsed() < PATIENCE, "{listed}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let state = |text: &str| json!({ "public_id": 2, "fields": [{ "name": "id", "value": 2 }, { "name": "state", "value": text }] });
    assert_eq!(
        (&event["object_before"], &event["object_after"], &event["changes"], &event["operation"]),
        (&state("created"), &state("newer"), &Value::Null, &json!("UPDATE"))
    );
    assert_eq!(datagerry.walhook.stop(), 0);
}
