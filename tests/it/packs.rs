//! The mappings in `packs`, each on tables of the application's shape: what `walhook init --preset` writes is enough, and what
//! the application does arrives as what its users would say.

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use serde_json::Value;
use std::fs;

/// What is told of what an application does: the event, the entry, and facts of the body.
type Told<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// Takes a preset into service on a schema, lets the application work and compares what arrives.
async fn play(preset: &str, schema: &str, statements: &[&str], expected: &[Told<'_>]) {
    let (site, receiver) = (Site::new(schema).await, Receiver::start().await);
    let url = site.cluster.url("postgres");
    let init = ["init", "--database-url", &url, "--preset", preset, "--yes", "--webhook", &receiver.url()];
    let (code, said) = site.run(&init);
    assert_eq!(code, 0, "{said}");
    let file = fs::read_to_string(site.config()).unwrap();
    let (code, printed) = site.run(&["init", "--database-url", &url, "--preset", preset, "--stdout"]);
    assert!(code == 0 && printed.contains("\n#[[webhooks]]\n"), "{printed}");
    let (code, said) = site.run(&[&init[..], &["--force", "--json"]].concat());
    let described: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &described["forms"][0]["name"]), (0, &"Ticket".into()), "{said}");
    assert!(file.contains(described["forms"][0]["events"][0].as_str().unwrap()), "{said}");
    let listen = site.base().replace("http://", "");
    fs::write(site.config(), format!("{file}\n[admin]\nlisten = \"{listen}\"\n")).unwrap();
    // as the mapping's own comment says
    let setup = file.lines().find_map(|line| line.strip_prefix("#   walhook setup --")).unwrap();
    let setup: Vec<&str> = setup.split(' ').collect();
    let (code, said) = site.run(&[&["setup", &format!("--{}", setup[0])], &setup[1..]].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) = site.run(&["check"]);
    assert_eq!(code, 0, "{said}");
    let walhook = site.start().await;
    one_by_one(&site.session().await, statements).await;
    arrived(&receiver, expected.len()).await;
    assert_eq!(walhook.stop(), 0);
    let mut bodies: Vec<Value> = receiver.requests().iter().map(Request::json).collect();
    bodies.sort_by_key(|body| body["sequence"].as_u64());
    let heads: Vec<(String, &str)> = bodies
        .iter()
        .map(|body| {
            let event = format!("{}.{}", body["noun"].as_str().unwrap(), body["event"].as_str().unwrap());
            (event, body["entry_id"].as_str().unwrap())
        })
        .collect();
    let expected_heads: Vec<(String, &str)> =
        expected.iter().map(|(event, entry, _)| ((*event).to_owned(), *entry)).collect();
    assert_eq!(heads, expected_heads);
    for (body, (event, _, facts)) in bodies.iter().zip(expected) {
        for (path, value) in *facts {
            let found = path.split('.').fold(body, |value, key| &value[key]);
            let value: Value = serde_json::from_str(value).unwrap();
            assert_eq!(*found, value, "{event}: {path}: {body:#}");
        }
        assert!(!body.to_string().contains("hush"), "{body:#}");
    }
    let (_, quarantine) = site.run(&["--json", "queue", "quarantine"]);
    assert_eq!(quarantine.trim(), "[]");
}

const ZAMMAD: &str = r"
    create table users (id serial primary key, organization_id int, login varchar(255) not null, firstname varchar(100),
        password varchar(120), preferences text, last_login timestamp(3), login_failed int not null default 0,
        updated_by_id int not null, created_by_id int not null, created_at timestamp(3) not null default now(),
        updated_at timestamp(3) not null default now());
    create table organizations (id serial primary key, name varchar(100) not null, updated_by_id int not null,
        created_by_id int not null, updated_at timestamp(3) not null default now());
    create table tickets (id serial primary key, group_id int not null, priority_id int not null, state_id int not null,
        organization_id int, number varchar(60) not null unique, title varchar(250) not null, owner_id int not null,
        customer_id int not null, note varchar(250), first_response_at timestamp(3), first_response_escalation_at timestamp(3),
        first_response_in_min int, first_response_diff_in_min int, close_at timestamp(3), close_escalation_at timestamp(3),
        close_in_min int, close_diff_in_min int, update_escalation_at timestamp(3), update_in_min int,
        update_diff_in_min int, last_contact_at timestamp(3), last_contact_agent_at timestamp(3),
        last_contact_customer_at timestamp(3), article_count int, escalation_at timestamp(3), pending_time timestamp(3),
        preferences text, updated_by_id int not null, created_by_id int not null,
        created_at timestamp(3) not null default now(), updated_at timestamp(3) not null default now());
    create table ticket_articles (id serial primary key, ticket_id int not null references tickets, type_id int not null,
        sender_id int not null, subject varchar(3000), message_id_md5 varchar(32), body text not null,
        internal boolean not null default false, preferences text, updated_by_id int not null, created_by_id int not null);
    create table ticket_time_accountings (id serial primary key, ticket_id int not null references tickets,
        ticket_article_id int, time_unit decimal(6, 2) not null, created_by_id int not null);
    alter sequence tickets_id_seq restart 40;
";

#[tokio::test(flavor = "multi_thread")]
async fn zammad() {
    let statements = [
        "insert into users (login, firstname, password, updated_by_id, created_by_id) values ('jane', 'Jane', 'hush', 1, 1)",
        "update users set last_login = now(), login_failed = 0, updated_at = now()",
        // what one request does is one transaction
        "begin;
            insert into tickets (group_id, priority_id, state_id, number, title, owner_id, customer_id, updated_by_id,
                created_by_id) values (1, 2, 1, '67001', 'printer', 1, 1, 1, 1);
            insert into ticket_articles (ticket_id, type_id, sender_id, subject, message_id_md5, body, updated_by_id,
                created_by_id) values (40, 1, 2, 'printer', 'hush', 'is on fire', 1, 1);
            update tickets set article_count = 1, last_contact_at = now(), last_contact_customer_at = now(),
                updated_at = now();
        commit",
        "update tickets set escalation_at = now(), first_response_escalation_at = now(), updated_at = now()",
        "begin;
            update tickets set state_id = 2, owner_id = 4, updated_by_id = 4, updated_at = now();
            insert into ticket_articles (ticket_id, type_id, sender_id, body, internal, updated_by_id, created_by_id)
                values (40, 10, 1, 'look at it', true, 4, 4);
            insert into ticket_time_accountings (ticket_id, ticket_article_id, time_unit, created_by_id)
                values (40, 2, 15, 4);
            update tickets set article_count = 2, last_contact_at = now(), last_contact_agent_at = now();
        commit",
        "update tickets set state_id = 4, close_at = now(), updated_by_id = 4, updated_at = now()",
        "update tickets set state_id = 5, updated_by_id = 4, updated_at = now()",
    ];
    let expected: [Told<'_>; 14] = [
        ("user.create", "1", &[("entry.firstname", r#""Jane""#)]),
        ("ticket.create", "40", &[("entry.state", "1"), ("entry.title", r#""printer""#)]),
        ("ticket.article-added", "40", &[("child.fields.body", r#""is on fire""#), ("actor", r#""1""#)]),
        ("ticket.update", "40", &[("changed.state.old", "1"), ("changed.state.new", "2")]),
        ("ticket.status-changed", "40", &[]),
        ("ticket.owner-changed", "40", &[("changed.owner_id.new", "4"), ("actor", r#""4""#)]),
        ("ticket.article-added", "40", &[("child.fields.internal", "true")]),
        ("ticket.time-added", "40", &[("child.fields.time_unit", "15.0")]),
        ("ticket.update", "40", &[]),
        ("ticket.status-changed", "40", &[]),
        ("ticket.closed", "40", &[]),
        ("ticket.update", "40", &[]),
        ("ticket.status-changed", "40", &[("changed.state.new", "5")]),
        ("ticket.merged", "40", &[]),
    ];
    play("zammad", ZAMMAD, &statements, &expected).await;
}

const ZNUNY: &str = r"
    create table ticket (id bigserial primary key, tn varchar(50) not null unique, title varchar(255), queue_id int not null,
        ticket_lock_id smallint not null, type_id smallint, service_id int, sla_id int, user_id int not null,
        responsible_user_id int not null, ticket_priority_id smallint not null, ticket_state_id smallint not null,
        customer_id varchar(150), customer_user_id varchar(250), timeout int not null, until_time int not null,
        escalation_time int not null, escalation_update_time int not null, escalation_response_time int not null,
        escalation_solution_time int not null, archive_flag smallint not null default 0, create_time timestamp(0) not null,
        create_by int not null, change_time timestamp(0) not null, change_by int not null);
    create table article (id bigserial primary key, ticket_id bigint not null, article_sender_type_id smallint not null,
        communication_channel_id bigint not null, is_visible_for_customer smallint not null,
        search_index_needs_rebuild smallint not null default 1, insert_fingerprint varchar(64),
        create_time timestamp(0) not null, create_by int not null, change_time timestamp(0) not null, change_by int not null);
    create table article_data_mime (id bigserial primary key, article_id bigint not null, a_from varchar, a_to varchar,
        a_subject varchar(3800), a_message_id_md5 varchar(32), a_body varchar, incoming_time int not null,
        content_path varchar(250), create_time timestamp(0) not null, create_by int not null,
        change_time timestamp(0) not null, change_by int not null);
    create table article_data_mime_attachment (id bigserial primary key, article_id bigint not null, filename varchar(250),
        content_size varchar(30), content_type varchar(450), content text, create_time timestamp(0) not null,
        create_by int not null, change_time timestamp(0) not null, change_by int not null);
    create table time_accounting (id bigserial primary key, ticket_id bigint not null, article_id bigint,
        time_unit decimal(10, 2) not null, create_time timestamp(0) not null, create_by int not null,
        change_time timestamp(0) not null, change_by int not null);
    create table dynamic_field_value (id serial primary key, field_id int not null, object_id bigint not null,
        value_text varchar(3800), value_date timestamp(0), value_int bigint);
    alter sequence ticket_id_seq restart 40;
    alter sequence article_id_seq restart 90;
";

#[tokio::test(flavor = "multi_thread")]
async fn znuny() {
    // it commits each statement by itself
    let statements = [
        "insert into ticket values (default, '2026112410000017', 'printer', 1, 1, 1, null, null, 1, 1, 3, 1, 'acme', 'jane',
            0, 0, 0, 0, 0, 0, 0, now(), 1, now(), 1)",
        "insert into article values (default, 40, 3, 1, 1, 1, 'x', now(), 1, now(), 1)",
        "insert into article_data_mime values (default, 90, 'jane', 'desk', 'printer', 'hush', 'is on fire', 1, null, now(), 1,
            now(), 1)",
        "insert into article_data_mime_attachment values (default, 90, 'fire.jpg', '4', 'image/jpeg', 'hush', now(), 1, now(), 1)",
        "update article set search_index_needs_rebuild = 0",
        "update ticket set escalation_time = 5, escalation_response_time = 5, change_time = now(), change_by = 1",
        "update ticket set user_id = 7, timeout = 9, change_time = now(), change_by = 7",
        "update ticket set queue_id = 2, change_time = now(), change_by = 7",
        "insert into time_accounting values (default, 40, 90, 10, now(), 7, now(), 7)",
        "update ticket set ticket_state_id = 3, change_time = now(), change_by = 7",
        "update ticket set ticket_state_id = 9, change_time = now(), change_by = 7",
    ];
    let expected: [Told<'_>; 14] = [
        ("ticket.create", "40", &[("entry.TicketNumber", r#""2026112410000017""#), ("entry.State", "1")]),
        ("ticket.article-added", "40", &[("child.fields.a_body", r#""is on fire""#), ("actor", r#""1""#)]),
        ("ticket.attachment-added", "40", &[("child.fields.filename", r#""fire.jpg""#)]),
        ("ticket.update", "40", &[]),
        ("ticket.owner-changed", "40", &[("changed.user_id.new", "7"), ("actor", r#""7""#)]),
        ("ticket.update", "40", &[]),
        ("ticket.queue-changed", "40", &[]),
        ("ticket.time-added", "40", &[("actor", r#""7""#)]),
        ("ticket.update", "40", &[]),
        ("ticket.status-changed", "40", &[("changed.State.old", "1"), ("changed.State.new", "3")]),
        ("ticket.closed", "40", &[]),
        ("ticket.update", "40", &[]),
        ("ticket.status-changed", "40", &[]),
        ("ticket.merged", "40", &[]),
    ];
    play("znuny", ZNUNY, &statements, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_told_what_it_lacks() {
    let site =
        Site::new("create table tickets (id int primary key); create table users (id int primary key)").await;
    let url = site.cluster.url("postgres");
    let (code, said) = site.run(&["init", "--database-url", &url, "--preset", "zammad", "--yes"]);
    assert_eq!(code, 1, "{said}");
    let lacks = "has no organizations, ticket_articles, ticket_time_accountings, as Zammad would";
    assert!(said.contains(lacks) && said.contains("--database-url"), "{said}");
    assert!(!site.config().exists());
    let (code, said) = site.run(&["init", "--database-url", &url, "--preset", "otrs"]);
    assert!(code != 0 && said.contains("zammad, znuny"), "{said}");
}
