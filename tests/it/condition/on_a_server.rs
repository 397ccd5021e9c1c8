//! Conditions of a configuration, with the types that a real server has, and events that were really captured.

use crate::running::Site;
use serde_json::Value;
use std::time::Instant;

const SCHEMA: &str = "
    create type priority as enum ('low', 'medium', 'high');
    create table ticket (id integer primary key, status integer, prio priority, title text, open boolean);
    create table note (id integer primary key, body text);
    alter table ticket replica identity full;
";

const FORMS: &str = r#"
[[forms]]
name = "Ticket"
table = "ticket"
[forms.fields]
"Status" = { column = "status", id = 7, labels = ["New", "Assigned", "Closed"] }
[[forms]]
name = "Note"
table = "note"
"#;

/// A webhook of that name for a form, with further lines.
fn webhook(name: &str, form: &str, lines: &str) -> String {
    format!(
        "[[webhooks]]\nname = \"{name}\"\nform = \"{form}\"\nevents = [\"create\", \"update\", \"delete\"]\n\
         callback.url = \"http://127.0.0.1:9/\"\n{lines}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn types_come_from_the_database() {
    let site = Site::new(SCHEMA).await;
    let pager = webhook(
        "pager",
        "Ticket",
        "condition = \"'Status' = \\\"Assigned\\\" AND 'prio' >= \\\"medium\\\"\"",
    );
    site.configure(&format!("{FORMS}{pager}{}", webhook("all", "Ticket", "")));
    let judge = |arguments: &[&str]| site.run(&[&["condition"], arguments].concat());
    let high = "{\"Status\": 1, \"prio\": \"high\", \"open\": true}";
    assert_eq!(judge(&["--webhook", "pager", "--new", high]), (0, "true\n".into()));
    assert_eq!(
        judge(&["--webhook", "pager", "--new", "{\"7\": 1, \"prio\": \"low\"}"]),
        (1, "false\n".into())
    );
    assert_eq!(
        judge(&[
            "'open' = \"true\" AND 'DB.Status' = 0",
            "--form",
            "Ticket",
            "--new",
            high,
            "--old",
            "{\"Status\": 0}"
        ]),
        (0, "true\n".into())
    );

    let (code, text) = judge(&["'prio' = \"urgent\"", "--form", "Ticket"]);
    assert!(code == 64 && text.contains("urgent"), "{code} {text}");
    let (code, text) = judge(&["'DB.body' = \"x\"", "--form", "Note"]);
    assert!(
        code == 64 && text.contains("alter table \"public\".\"note\" replica identity full;"),
        "{code} {text}"
    );
    let (code, text) = judge(&["1 = 1", "--form", "Tickte"]);
    assert!(code == 64 && text.contains("did you mean \"Ticket\"?"), "{code} {text}");
    let (code, text) = judge(&["--webhook", "pagre"]);
    assert!(code == 64 && text.contains("did you mean \"pager\"?"), "{code} {text}");
    let (code, text) = judge(&["--webhook", "all"]);
    assert!(code == 64 && text.contains("webhook \"all\" has no condition"), "{code} {text}");

    site.session().await.batch_execute("drop table note").await.unwrap();
    let (code, text) = judge(&["1 = 1", "--form", "Note"]);
    assert!(code == 64 && text.contains("`walhook check` tells more"), "{code} {text}");
    site.cluster.down("fast").unwrap();
    let (code, text) = site.run(&["condition", "1 = 1", "--form", "Ticket"]);
    assert!(
        code == 69 && text.contains("--columns 'name:type,…' tries a condition without a database"),
        "{code} {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_what_does_not_fit_the_tables() {
    let site = Site::new(SCHEMA).await;
    let conditions = [
        webhook("fits", "Ticket", "condition = \"'Status' = 1\""),
        webhook("wrong", "Ticket", "condition = \"'Stauts' = 1 AND\\n 'prio' = \\\"urgent\\\"\""),
        webhook("blind", "Note", "condition = \"'DB.body' = \\\"x\\\"\""),
        webhook("client", "Ticket", "condition = \"$BROWSER$ = $NULL$\""),
    ];
    site.configure(&format!("{FORMS}{}", conditions.concat()));
    assert_eq!(site.run(&["setup", "--apply"]).0, 0);
    let check = || {
        let (code, text) = site.run(&["--json", "check"]);
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        (code, json["findings"].as_array().unwrap().clone())
    };
    let find = |findings: &[Value], object: &str, what: &str| -> Value {
        let is_it = |finding: &&Value| {
            finding["object"] == object && finding["what"].as_str().unwrap().contains(what)
        };
        findings
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{object}: {what} is not in {findings:#?}"))
            .clone()
    };
    let (code, findings) = check();
    assert_eq!(code, 1);
    assert_eq!(find(&findings, "webhook \"fits\"", "condition fits form \"Ticket\"")["severity"], "ok");
    let slip = find(&findings, "webhook \"wrong\"", "1 | 'Stauts' = 1 AND\n  | ^^^^^^^^");
    assert_eq!(slip["severity"], "error");
    assert_eq!(slip["remedy"]["key"], "[[webhooks]] condition: did you mean 'Status'?");
    find(&findings, "webhook \"wrong\"", "line 2, column 11");
    let warning = find(&findings, "webhook \"client\"", "$BROWSER$");
    assert_eq!(warning["severity"], "warning");
    let blind = find(&findings, "webhook \"blind\"", "'DB.body'");
    let sql = blind["remedy"]["sql"].as_str().unwrap();
    site.session().await.batch_execute(sql).await.unwrap();
    let (_, findings) = check();
    find(&findings, "webhook \"blind\"", "condition fits form \"Note\"");

    // for people, the drawing stands below the finding
    let (_, text) = site.run(&["check"]);
    assert!(text.contains("\n         1 | 'Stauts' = 1 AND\n           | ^^^^^^^^\n"), "{text}");

    let forms = FORMS
        .replace("table = \"note\"", "table = \"note\"\nwhere = \"'bdy' = 1\"\nparts.\"A.TYPE\" = \"nope\"");
    site.configure(&format!("{forms}{}", webhook("w", "Note", "")));
    let (code, findings) = check();
    assert_eq!(code, 1);
    find(&findings, "form \"Note\"", "'bdy'");
    find(&findings, "form \"Note\"", "no column \"nope\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_captured_last_is_judged_by_a_sample() {
    let site = Site::new(SCHEMA).await;
    let all = webhook("all", "Ticket", "payload_fields = [\"Status\", \"prio\"]");
    let titles = webhook("titles", "Ticket", "payload_fields = [\"title\"]");
    let arsys = webhook("arsys", "Ticket", "format = \"arsys\"");
    site.configure(&format!("{FORMS}{all}{titles}"));
    let running = site.start().await;
    let session = site.session().await;
    for statement in [
        "insert into ticket values (1, 0, 'high', 'printer', true), (2, 1, 'low', null, true)",
        "update ticket set status = 1 where id = 1",
        "update ticket set open = false where id = 2",
        "delete from ticket where id = 1",
    ] {
        session.batch_execute(statement).await.unwrap();
    }
    let started = Instant::now();
    let judge = |arguments: &[&str]| -> (i32, Value) {
        let (code, text) = site.run(&[&["--json", "condition", "--form", "Ticket"], arguments].concat());
        (code, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
    };
    // captured beside us, by the process that runs
    while judge(&["--sample", "10", "1 = 1"]).1["matching"] != 5 {
        assert!(started.elapsed() < crate::running::PATIENCE, "{:?}", judge(&["--sample", "10", "1 = 1"]));
    }
    let table = |arguments: &[&str]| -> Vec<String> {
        let (code, json) = judge(arguments);
        assert_eq!(code, 0, "{json}");
        let line = |event: &Value| {
            let word = |key: &str| event[key].as_str().unwrap_or("error").to_owned();
            [word("event"), word("entry_id"), word("verdict"), word("why")].join(" ").trim_end().to_owned()
        };
        json["events"].as_array().unwrap().iter().map(line).collect()
    };
    assert_eq!(
        table(&["--sample", "10", "'Status' = \"Assigned\" AND 'title' LIKE \"p%\""]),
        [
            "delete 1 true",
            "update 2 unknown 'title' LIKE \"p%\"",
            "update 1 true",
            "create 2 unknown 'title' LIKE \"p%\"",
            "create 1 false 'Status' = \"Assigned\"",
        ]
    );
    assert_eq!(
        table(&["--sample", "1", "--event", "update", "CHANGED('Status')"]),
        ["update 2 false CHANGED('Status')"]
    );
    assert_eq!(table(&["--sample", "9", "--event", "update", "'DB.Status' = 0"])[1], "update 1 true");
    // `open` is in no body
    let (_, json) = judge(&["--sample", "1", "'open' = \"true\""]);
    assert_eq!(
        (&json["events"][0]["verdict"], &json["events"][0]["lacks_values"]),
        (&Value::Null, &true.into())
    );
    let (code, text) =
        site.run(&["condition", "--form", "Ticket", "--sample", "2", "'open' = \"true\" OR 'Status' = 1"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("2 of 2 would be delivered"), "{text}");
    let (code, text) = site.run(&["condition", "--form", "Note", "--sample", "2", "1 = 1"]);
    assert!(code == 0 && text.contains("the queue has no such event"), "{code} {text}");
    let (code, text) = site.run(&["condition", "--form", "Ticket", "--sample", "2", "'stat' = 1"]);
    assert!(code == 64 && text.contains("has no field 'stat'"), "{code} {text}");
    assert_eq!(running.stop(), 0);

    // with the bodies of another format, too
    site.configure(&format!("{FORMS}{all}{titles}{arsys}"));
    let running = site.start_again(&[]).await;
    session.batch_execute("update ticket set open = true where id = 2").await.unwrap();
    let sample = ["--sample", "1", "'open' = \"true\" AND 'DB.Status' = 1"];
    while table(&sample) != ["update 2 true"] {
        assert!(started.elapsed() < crate::running::PATIENCE, "{:?}", table(&sample));
    }
    assert_eq!(running.stop(), 0);
}
