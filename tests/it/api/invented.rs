//! The API against requests that schemathesis invents by its OpenAPI document: every answer must be one that the document
//! tells of, and nothing may break.

use super::running::start;
use std::path::Path;
use std::process::Command;

/// How many requests are invented for each operation and phase; `make schemathesis` invents more.
fn examples() -> String {
    std::env::var("EXAMPLES").unwrap_or_else(|_| "15".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_the_document_tells_of() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/schemathesis/bin/schemathesis");
    if !tool.exists() {
        eprintln!("schemathesis is not there (scripts/schemathesis): the API is not tried by it");
        return;
    }
    let running = start().await;
    running.sql("insert into ticket values (1, 'first', 0, null), (2, 'second', 5, null)").await;
    running.wait_for("pager/2", "delivered").await;
    let run = Command::new(tool)
        .args(["run", &format!("{}/api/v1/openapi.json", running.site.base())])
        .args(["--max-examples", &examples(), "--seed", "7", "--no-color"])
        // what a filter or a condition must be is more than a schema can say
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .current_dir(running.site.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    running.wait_for("pager/2", "delivered").await;
    assert_eq!(running.walhook.stop(), 0);
}
