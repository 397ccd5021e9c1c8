//! Files of entries: as parts of messages, checked with parsers that others wrote, and as links.

use crate::python;
use crate::receiver::{Receiver, Reply, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::{Running, Site};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use walhook::attachment::hex;

const SCHEMA: &str = "
    create table incident (id text primary key, title text, file bytea, file_name text, file_type text,
        scan oid, scan_size int);
    alter table incident replica identity full;
    create table t123 (c1 text primary key, c8 text);
    alter table t123 replica identity full;
    create table b123 (c1 text primary key, c536870920 text, co536870920 int, cc536870920 int);
    alter table b123 replica identity full;
    create table b123c536870920 (entryid text primary key, blob bytea);
";

const FORMS: &str = r#"
[dispatch]
schedule = ["100ms", "100ms"]
[capture]
attachments_bytes_max = "3000B"
[[forms]]
name = "HPD:Help Desk"
table = "incident"
[forms.fields]
"Short Description" = "title"
"Attachment1" = "file"
"Scan \"A\"" = "scan"
[forms.attachments]
"Attachment1" = { name = "file_name", type = "file_type", bytes_max = "2000B" }
"Scan \"A\"" = { size = "scan_size", bytes_max = "200KiB" }
[[forms]]
name = "User"
table = "t123"
[[forms.extensions]]
table = "b123"
parent = "c1"
[forms.extensions.fields]
"Photo" = "c536870920"
"Photo Size" = "co536870920"
[forms.attachments]
"Photo" = { table = "b123c536870920", key = "entryid", column = "blob", size = "Photo Size" }
"#;

const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";

struct Play {
    site: Site,
    walhook: Running,
    receiver: Receiver,
}

impl Play {
    async fn start(form: &str, webhook: &str) -> Self {
        let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
        site.configure(&format!(
            "{FORMS}\n[[webhooks]]\nname = \"files\"\nid = 1\nform = {}\nevents = [\"create\", \"update\", \"delete\"]\n\
             format = \"arsys\"\n{webhook}\ncallback.url = \"{}\"\n",
            json!(form),
            receiver.url()
        ));
        let walhook = site.start().await;
        Self { site, walhook, receiver }
    }

    async fn run(&self, statements: &[&str]) {
        one_by_one(&self.site.session().await, statements).await;
    }

    /// The messages that were taken, in order, once there are so many.
    async fn taken(&self, count: usize) -> Vec<Request> {
        arrived(&self.receiver, count).await;
        let mut requests: Vec<Request> =
            self.receiver.requests().into_iter().filter(Request::was_taken).collect();
        requests.sort_by_key(Request::sequence);
        requests
    }
}

/// A part of a message: its headers, and what is in it.
type Part = (String, Vec<u8>);

/// The parts of a message, cut by the boundary alone.
fn parts(request: &Request) -> Vec<Part> {
    let content_type = request.header("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").expect(content_type);
    let begin = format!("--{boundary}\r\n").into_bytes();
    let rest = request.body.strip_prefix(&begin[..]).unwrap();
    let rest = rest.strip_suffix(format!("\r\n--{boundary}--\r\n").as_bytes()).unwrap();
    let separator = format!("\r\n--{boundary}\r\n").into_bytes();
    split(rest, &separator)
        .into_iter()
        .map(|part| {
            let head = part.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            (String::from_utf8(part[..head].to_vec()).unwrap(), part[head + 4..].to_vec())
        })
        .collect()
}

fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(separator.len()).position(|part| part == separator) {
        pieces.push(&rest[..at]);
        rest = &rest[at + separator.len()..];
    }
    pieces.push(rest);
    pieces
}

fn entry(request: &Request) -> Value {
    serde_json::from_slice(&parts(request)[0].1).unwrap()
}

fn is_json(request: &Request) -> bool {
    request.header("content-type") == Some("application/json")
}

fn all_bytes() -> Vec<u8> {
    // with what looks like an end of the part
    [(0..=255).collect::<Vec<u8>>(), b"\r\n--\r\n\r\n".to_vec(), (0..=255).rev().collect()].concat()
}

fn bytea(bytes: &[u8]) -> String {
    format!("'\\x{}'::bytea", hex(bytes))
}

// R-AR-71 R-AR-72 R-AR-73 R-AR-74 R-AR-75 R-AR-76 R-AR-77
#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_a_column_is_a_part_of_the_message() {
    let play =
        Play::start("HPD:Help Desk", "payload_fields = [\"Short Description\", \"Attachment1\"]").await;
    // every message is refused once
    play.receiver.script(|request| if request.attempt() == 1 { Reply::status(503) } else { Reply::ok() });
    let file = bytea(&all_bytes());
    play.run(&[
        &format!("insert into incident values ('1', 'ä', {file}, 'Größe \"1\".png', 'image/png')"),
        "insert into incident values ('2', 'without')",
        "update incident set title = 'b' where id = '1'",
        "update incident set file = '\\x' where id = '1'",
        "update incident set file_name = null, file_type = E'x/y\\r\\nz: 1' where id = '1'",
        "update incident set file = null where id = '1'",
        "delete from incident where id = '1'",
    ])
    .await;
    let taken = play.taken(14).await;
    assert_eq!(taken.len(), 7);

    let boundary = taken[0].header("content-type").unwrap().rsplit_once('=').unwrap().1.to_owned();
    let json = r#"{"webhook_id":"WBH000000000001","entry_event":"create","form_name":"HPD:Help Desk","entry_id":"1","entry_details":{"Short Description":"ä"}}"#;
    let begin = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"entry\"\r\n\
         Content-Type: application/json; charset=UTF-8\r\n\r\n{json}\r\n--{boundary}\r\n\
         Content-Disposition: form-data; name=\"attach-Attachment1\"; filename=\"Größe %221%22.png\"\r\n\
         Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    );
    let expected = [begin.into_bytes(), all_bytes(), format!("\r\n--{boundary}--\r\n").into_bytes()].concat();
    assert!(taken[0].body == expected, "{}", String::from_utf8_lossy(&taken[0].body));

    // without a file, or where it has not changed, there is nothing but the JSON
    for (number, details) in [
        (1, json!({ "Short Description": "without", "Attachment1": null })),
        (2, json!({ "Short Description": "b" })),
        (5, json!({ "Attachment1": null })),
    ] {
        assert!(is_json(&taken[number]), "{number}: {:?}", taken[number].headers);
        assert_eq!(taken[number].json()["entry_details"], details);
    }
    assert_eq!(entry(&taken[3])["entry_details"], json!({}));
    assert_eq!(parts(&taken[3])[1].1, b"", "an empty file is a file");
    // another name is another file, and what is no type is none
    let (head, _) = &parts(&taken[4])[1];
    assert!(
        head.contains("filename=\"Attachment1\"\r\nContent-Type: application/octet-stream\r\n"),
        "{head}"
    );
    assert!(is_json(&taken[6]) && taken[6].json().get("entry_details").is_none());

    // what is tried again is the same to the byte
    for request in play.receiver.requests() {
        let again = taken.iter().find(|one| one.id() == request.id()).unwrap();
        assert!(request.body == again.body && request.header("content-type") == again.header("content-type"));
    }

    let messages: Vec<Value> = [0, 3, 4]
        .map(|number| json!({ "type": taken[number].headers["content-type"], "body": STANDARD.encode(&taken[number].body) }))
        .to_vec();
    let Some(read) = python::play("multipart", "attachments/parts.py", &[], &json!(messages).to_string())
    else {
        return;
    };
    let part = |name: &str, file: Value, kind: &str, encoding: Value, bytes: &[u8]| {
        json!([name, file, kind, encoding, STANDARD.encode(bytes)])
    };
    let first = json!([
        part("entry", Value::Null, "application/json", Value::Null, json.as_bytes()),
        part("attach-Attachment1", json!("Größe \"1\".png"), "image/png", json!("binary"), &all_bytes()),
    ]);
    assert_eq!(read[0], first);
    assert_eq!(read[1][1][4], "");
    assert_eq!(read[2][1][1], "Attachment1");
}

// R-AR-71 R-AR-72 R-AR-75
#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_is_read_as_it_is_and_told_of_if_it_is_another() {
    let play = Play::start("HPD:Help Desk", "").await;
    let session = play.site.session().await;
    let object = async |bytes: &[u8]| -> u32 {
        session.query_one(&format!("select lo_from_bytea(0, {})", bytea(bytes)), &[]).await.unwrap().get(0)
    };
    let whole = object(&all_bytes()).await;
    play.run(&[
        &format!("insert into incident values ('1', 'a', null, null, null, {whole}, {})", all_bytes().len()),
        // it has another size by the time it is read
        &format!("insert into incident values ('2', 'b', null, null, null, {whole}, 7)"),
        // there is no such object
        "insert into incident values ('3', 'c', null, null, null, 77, null)",
        "insert into incident values ('4', 'd', null, null, null, 0, null)",
    ])
    .await;
    let taken = play.taken(4).await;
    let files = parts(&taken[0]);
    assert!(files[1].0.contains("name=\"attach-Scan %22A%22\"; filename=\"Scan %22A%22\""), "{}", files[1].0);
    assert!(files[1].1 == all_bytes());
    let missing = |request: &Request| {
        let body = request.json();
        assert_eq!(body["entry_details"]["Scan \"A\""], Value::Null);
        body["attachments_missing"]["Scan \"A\""].as_str().unwrap().to_owned()
    };
    let length = all_bytes().len();
    assert_eq!(missing(&taken[1]), format!("it has changed since: it had 7 bytes, and has {length} now"));
    assert_eq!(missing(&taken[2]), "it cannot be read: large object 77 does not exist");
    assert_eq!(taken[3].json()["entry_details"]["Scan \"A\""], Value::Null);
    assert_eq!(taken[3].json().get("attachments_missing"), None);
    play.walhook.wait_until_logged("an attachment could not be sent with its event").await;
}

/// A commit is in the log before sessions see it. A file that was read in between was the one from before the event, and went
/// out as that of the event where nothing told of its size. Here the server waits for a standby that never comes.
// R-AR-71
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_not_read_before_its_transaction_is_seen() {
    let play = Play::start("HPD:Help Desk", "").await;
    let writer = play.site.session().await;
    let released = play.site.hold_commits().await;
    let written = async {
        writer
            .batch_execute(
                "insert into incident values ('1', 'a', null, null, null, lo_from_bytea(0, 'seen'))",
            )
            .await
    };
    let (written, ()) = tokio::join!(written, released);
    written.unwrap();
    assert_eq!(parts(&play.taken(1).await[0])[1].1, b"seen");
}

// R-AR-71
#[tokio::test(flavor = "multi_thread")]
async fn files_of_ar_systems_tables_are_read_where_they_are() {
    let play = Play::start("User", "").await;
    let plain: Vec<u8> = (0..1500_u32).map(|number| (number / 9) as u8).collect();
    let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&plain, 9);
    let with_file = |id: &str, stored: &[u8], size: usize| {
        format!(
            "begin; insert into t123 values ('{id}', 'x');
             insert into b123 values ('{id}', 'C:\\Users\\x\\me.png', {size}, {});
             insert into b123c536870920 values ('{id}', {}); commit",
            stored.len(),
            bytea(stored)
        )
    };
    play.run(&[
        &with_file("1", &plain, plain.len()),
        &with_file("2", &zlib, plain.len()),
        &with_file("3", &zlib, 1499),
        "begin; insert into t123 values ('4', 'x'); insert into b123 values ('4', 'gone.png', 5, 5); commit",
    ])
    .await;
    // what is read is as it is then
    play.taken(4).await;
    play.run(&[
        // another file of the same name
        &format!(
            "begin; update b123 set co536870920 = 3 where c1 = '1';
             update b123c536870920 set blob = {} where entryid = '1'; commit",
            bytea(b"new")
        ),
        "update t123 set c8 = 'y' where c1 = '1'",
        "delete from b123 where c1 = '2'",
    ])
    .await;
    let taken = play.taken(7).await;
    for (number, bytes) in [(0, &plain[..]), (1, &plain), (4, b"new")] {
        let files = parts(&taken[number]);
        assert!(files[1].0.contains("name=\"attach-Photo\"; filename=\"me.png\""), "{}", files[1].0);
        assert!(files[1].1 == bytes, "{number}");
    }
    let missing = |number: usize| taken[number].json()["attachments_missing"]["Photo"].clone();
    assert_eq!(missing(2), format!("it has changed since: it had 1499 bytes, and has {} now", zlib.len()));
    assert_eq!(missing(3), "it is gone");
    assert_eq!(taken[5].json()["entry_details"], json!({ "c8": "y" }));
    assert_eq!(taken[6].json()["entry_details"], json!({ "Photo": null, "Photo Size": null }));
}

// R-AR-71 R-AR-72
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_said() {
    let play = Play::start("HPD:Help Desk", "").await;
    let session = play.site.session().await;
    let row = session.query_one("select lo_from_bytea(0, repeat('x', 2001)::bytea)", &[]).await.unwrap();
    let object: u32 = row.get(0);
    play.run(&[
        &format!("insert into incident values ('1', 'a', {}, 'a.png')", bytea(&[7; 2001])),
        // each fits, and both together do not
        &format!("insert into incident values ('2', 'b', {}, 'b.png', null, {object})", bytea(&[7; 1000])),
    ])
    .await;
    let taken = play.taken(2).await;
    let missing = json!({ "Attachment1": "it has more than 2000 bytes (bytes_max)" });
    assert_eq!(taken[0].json()["attachments_missing"], missing);
    assert_eq!(parts(&taken[1]).len(), 2);
    let told =
        "with its 2001 bytes the message would have more than 3000 of attachments (attachments_bytes_max)";
    assert_eq!(entry(&taken[1])["attachments_missing"], json!({ "Scan \"A\"": told }));
    assert_eq!(entry(&taken[1])["entry_details"]["Scan \"A\""], Value::Null);
}

// R-AR-76
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_arrives_whole_and_one_that_may_not_be_read_is_said() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    let session = site.session().await;
    session.batch_execute("create role reader login replication").await.unwrap();
    site.configure(&format!(
        "{}\n[[webhooks]]\nname = \"files\"\nforms = [\"HPD:Help Desk\"]\nevents = [\"create\"]\nformat = \"arsys\"\n\
         callback.url = \"{}\"\n",
        FORMS.replace("3000B", "16MiB").replace("2000B", "8MiB"),
        receiver.url()
    ));
    assert_eq!(site.run(&["setup", "--apply"]).0, 0);
    // from now on as somebody who may read the log and nothing else
    let text = std::fs::read_to_string(site.config()).unwrap();
    let url = site.cluster.url("postgres");
    std::fs::write(site.config(), text.replace(&url, &url.replace("postgres@", "reader@"))).unwrap();
    let _walhook = site.start_again(&[]).await;
    let row = session.query_one("select lo_from_bytea(0, 'secret')", &[]).await.unwrap();
    let file: Vec<u8> = (0..5_000_000_u32).map(|number| (number.wrapping_mul(number) >> 7) as u8).collect();
    let insert =
        format!("insert into incident values ('1', 'a', $1, 'a.bin', null, {})", row.get::<_, u32>(0));
    session.execute(&insert, &[&file]).await.unwrap();
    arrived(&receiver, 1).await;
    let request = &receiver.requests()[0];
    assert!(parts(request)[1].1 == file);
    let row = row.get::<_, u32>(0);
    let refused = format!("it cannot be read: permission denied for large object {row}");
    assert_eq!(entry(request)["attachments_missing"], json!({ "Scan \"A\"": refused }));
}

/// Files of a transaction that do not fit into memory together go to the queue in parts, and count when all are there.
#[tokio::test(flavor = "multi_thread")]
async fn many_files_of_one_transaction_arrive_once_each() {
    let play = Play::start("HPD:Help Desk", "body.attachments_as_references = true").await;
    play.run(&["insert into incident select number::text, 'x', null, null, null,
        lo_from_bytea(0, convert_to(repeat(number::text, 40000), 'UTF8')), null from generate_series(10, 60) number"])
        .await;
    let taken = play.taken(51).await;
    let ids: Vec<String> =
        taken.iter().map(|one| one.json()["entry_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, (10..=60).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    assert_eq!(taken[50].json()["entry_details"]["Scan \"A\""]["sizeBytes"], 80_000);
    play.run(&["insert into incident values ('61')"]).await;
    assert_eq!(play.taken(52).await.last().unwrap().sequence(), 52);
}

/// The answer of a link: status, type, name and bytes.
async fn fetch(href: &str) -> (u16, String, String, Vec<u8>) {
    let answer = reqwest::get(href).await.unwrap();
    let header = |name: &str| {
        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let (kind, name, status) =
        (header("content-type"), header("content-disposition"), answer.status().as_u16());
    (status, kind, name, answer.bytes().await.unwrap().to_vec())
}

async fn refused(href: &str) -> (u16, String) {
    let (status, kind, _, body) = fetch(href).await;
    assert_eq!(kind, "application/problem+json");
    (status, serde_json::from_slice::<Value>(&body).unwrap()["detail"].as_str().unwrap().to_owned())
}

// R-AR-77 R-AR-78
#[tokio::test(flavor = "multi_thread")]
async fn a_link_gives_the_bytes_of_the_event_or_none() {
    let play = Play::start("HPD:Help Desk", "body.attachments_as_references = true").await;
    let session = play.site.session().await;
    let row = session.query_one("select lo_from_bytea(0, 'scanned')", &[]).await.unwrap();
    let object: u32 = row.get(0);
    play.run(&[&format!(
        "insert into incident values ('1|&', 'a', {}, 'ä.png', 'image/png', {object}, 7)",
        bytea(&all_bytes())
    )])
    .await;
    let taken = play.taken(1).await;
    assert!(is_json(&taken[0]));
    let details = taken[0].json()["entry_details"].clone();
    let reference = |field: &str| details[field].as_object().unwrap().clone();
    let file = reference("Attachment1");
    assert_eq!(file.keys().collect::<Vec<_>>(), ["href", "name", "sizeBytes"]);
    assert_eq!((&file["name"], &file["sizeBytes"]), (&json!("ä.png"), &json!(all_bytes().len())));
    let href = file["href"].as_str().unwrap();
    assert!(href.starts_with(&format!("{}/attachments?", play.site.base())), "{href}");
    let (status, kind, name, bytes) = fetch(href).await;
    assert_eq!((status, &*kind), (200, "image/png"));
    assert_eq!(name, "attachment; filename=\"_.png\"; filename*=UTF-8''%C3%A4.png");
    assert!(bytes == all_bytes());
    let scan = reference("Scan \"A\"")["href"].as_str().unwrap().to_owned();
    assert_eq!(fetch(&scan).await.3, b"scanned");

    // of another field or entry, for longer, or without signature: nobody has signed that
    let forged = (403, "the link is not as walhook has signed it".to_owned());
    for (from, to) in [("Attachment1", "title"), ("entry_id=1", "entry_id=2"), ("expires=1", "expires=2")] {
        assert!(href.contains(from), "{href}");
        assert_eq!(refused(&href.replace(from, to)).await, forged);
    }
    assert_eq!(refused(href.split("&signature").next().unwrap()).await, forged);

    // another entry has the same bytes, and this one others
    play.run(&["update incident set file = '\\x00' where id = '1|&'"]).await;
    let changed = (410, "it has changed since the event".to_owned());
    assert_eq!(refused(href).await, changed);
    play.run(&[&format!("update incident set file = {} where id = '1|&'", bytea(&all_bytes()))]).await;
    assert_eq!(fetch(href).await.0, 200, "the bytes of the event are those of the event");
    play.run(&[&format!("select lo_put({object}, 0, 'S')")]).await;
    assert_eq!(refused(&scan).await, changed);
    play.run(&[&format!("select lo_unlink({object})")]).await;
    let (status, why) = refused(&scan).await;
    assert_eq!((status, why.contains("does not exist")), (410, true), "{why}");
    play.run(&["delete from incident"]).await;
    assert_eq!(refused(href).await, (410, "it was removed since the event".to_owned()));
}

/// Whoever checks signatures by a library that takes bodies for text does so of the JSON, and of the files by what it says.
// R-AR-73 R-AR-76
#[tokio::test(flavor = "multi_thread")]
async fn the_json_of_a_message_with_files_has_a_signature_of_its_own() {
    let play =
        Play::start("HPD:Help Desk", &format!("custom_json = {{ a = 1 }}\nsignature.secret = \"{SECRET}\""))
            .await;
    play.run(&[
        &format!("insert into incident values ('1', 'a', {}, 'a.bin')", bytea(&all_bytes())),
        "insert into incident values ('2', 'b')",
    ])
    .await;
    let taken = play.taken(2).await;
    let parts = parts(&taken[0]);
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    let verify = |body: &[u8], header: &str| {
        let mut headers = http::HeaderMap::new();
        for (name, of) in [
            ("webhook-id", "webhook-id"),
            ("webhook-timestamp", "webhook-timestamp"),
            ("webhook-signature", header),
        ] {
            headers.insert(name, taken[0].header(of).unwrap().parse().unwrap());
        }
        library.verify(body, &headers)
    };
    verify(&parts[0].1, "webhook-signature-entry").unwrap();
    assert!(verify(&parts[0].1, "webhook-signature").is_err());
    assert!(
        verify(&taken[0].body, "webhook-signature").is_err(),
        "if it can read bytes, docs/attachments.md may say so"
    );
    let told = json!({ "name": "a.bin", "sizeBytes": all_bytes().len(),
        "sha256": hex(&walhook::attachment::hash(&all_bytes())) });
    assert_eq!(entry(&taken[0])["attachments"], json!({ "Attachment1": told }));

    // the whole is signed as well, for those who can check bytes
    let key = hmac_key();
    let request = &taken[0];
    let intro = format!("{}.{}.", request.id(), request.header("webhook-timestamp").unwrap());
    let signed = aws_lc_rs::hmac::sign(&key, &[intro.as_bytes(), &request.body].concat());
    let expected = format!("v1,{}", STANDARD.encode(signed.as_ref()));
    assert_eq!(request.header("webhook-signature"), Some(&*expected));
    assert_eq!(taken[1].header("webhook-signature-entry"), None, "JSON alone has one signature");
}

fn hmac_key() -> aws_lc_rs::hmac::Key {
    let bytes = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &bytes)
}

// R-AR-71
#[tokio::test(flavor = "multi_thread")]
async fn setup_lets_the_role_read_tables_of_files_and_teardown_takes_that_back() {
    let site = Site::new(SCHEMA).await;
    site.session().await.batch_execute("create role reader login replication").await.unwrap();
    let url = site.cluster.url("postgres");
    site.configure_source(&url.replace("postgres@", "reader@"), FORMS);
    let (_, said) = site.run(&["check"]);
    assert!(
        said.contains("may not read public.b123c536870920: the bytes of attachments are there"),
        "{said}"
    );
    let as_administrator = |command| site.run(&[command, "--apply", "--database-url", &url]);
    let readable = async || {
        let all = "select relname::text from pg_class where relname like '%123%' and relkind = 'r'
            and has_table_privilege('reader', oid, 'select') order by 1";
        let rows = site.session().await.query(all, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let (code, said) = as_administrator("setup");
    assert_eq!(
        (code, readable().await),
        (0, ["b123", "b123c536870920", "t123"].map(Into::into).into()),
        "{said}"
    );
    let (code, said) = as_administrator("teardown");
    assert_eq!((code, readable().await), (0, vec![]), "{said}");
    site.configure(&FORMS.replace("table = \"b123c", "table = \"no"));
    let (_, said) = site.run(&["check"]);
    assert!(
        said.contains("the table with the bytes of attachment \"Photo\": there is no such table"),
        "{said}"
    );
}

// R-AR-71
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_file_is_refused_at_the_start() {
    let site = Site::new(SCHEMA).await;
    let check = async |attachment: &str, wanted: &str| {
        site.configure(&format!(
            "[[forms]]\ntable = \"incident\"\nhidden = [\"file_type\"]\n[[forms.extensions]]\ntable = \"b123\"\nparent = \"c1\"\n\
             fields = {{ Photo = \"c536870920\" }}\n[forms.attachments]\n{attachment}\n"
        ));
        let (code, said) = site.run(&["check"]);
        assert!(code != 0 && said.contains(wanted), "{attachment}: {said}");
    };
    check("title = {}", "attachment \"title\": its column is neither bytea nor oid").await;
    check("Photo = {}", "attachment \"Photo\": it is a field from another table").await;
    check("fyle = {}", "there is no field or column \"fyle\"").await;
    check("file = \"nam\"", "there is no field or column \"nam\"").await;
    check("file = { type = \"file_type\" }", "column \"file_type\" is hidden").await;
    check("file = { table = \"b\" }", "`table` stands without `key`").await;
}
