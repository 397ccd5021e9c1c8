//! The role that walhook connects as loses what it needs, or its password.

use crate::network::{wait_for_readyz, walsender};
use crate::proof::stage::Stage;
use crate::proof::trial::{Trial, content};
use crate::proof::world::HOOKS;
use std::fs;
use std::time::{Duration, Instant};

/// walhook as a role of its own with a password, and with no privilege on any table.
async fn begin_as_role(name: &str, password_in: impl FnOnce(&Stage) -> String) -> Trial {
    let mut stage = Stage::prepare(name, &HOOKS, content()).await;
    stage
        .client
        .batch_execute(
            "set password_encryption = 'scram-sha-256'; create role hook login replication password 'old';
             revoke all on schema public from public",
        )
        .await
        .unwrap();
    let hba = stage.cluster.folder().join("data/pg_hba.conf");
    let lines = fs::read_to_string(&hba).unwrap();
    fs::write(&hba, format!("host all hook 127.0.0.1/32 scram-sha-256\n{lines}")).unwrap();
    stage.client.batch_execute("select pg_reload_conf()").await.unwrap();
    let url = password_in(&stage);
    stage.walhook.configure(&stage.configuration(&url));
    stage.start().await;
    let trial = Trial::on(stage, 1);
    // a password that is changed before the stream is opened is another fault
    trial.wait_for_log(0, "the stream runs").await;
    trial
}

fn url(stage: &Stage, password: &str) -> String {
    stage.cluster.url("postgres").replace("postgres@", &format!("hook:{password}@"))
}

async fn end_the_session(trial: &Trial) {
    let process = walsender(&trial.stage).await.expect("it streams");
    trial.stage.client.execute("select pg_terminate_backend($1)", &[&process]).await.unwrap();
}

/// What the running stream does not feel, the next connection does.
async fn change_unfelt(trial: &mut Trial, sql: &str) {
    trial.work(50).await;
    trial.stage.client.batch_execute(sql).await.unwrap();
    trial.work(50).await;
    trial.hear(20).await;
    end_the_session(trial).await;
    trial.let_work(50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_changed_in_the_configuration_later() {
    let mut trial = begin_as_role("fault-password", |stage| url(stage, "old")).await;
    change_unfelt(&mut trial, "alter role hook password 'new'").await;
    trial.wait_for_log(0, "a task failed and needs somebody to act").await;
    wait_for_readyz(&trial.stage, "refused the login as \"hook\"").await;
    wait_for_readyz(&trial.stage, "check the password: in the address, in PGPASSWORD, or in ~/.pgpass").await;
    trial.stage.walhook.configure(&trial.stage.configuration(&url(&trial.stage, "new")));
    trial.stage.walhook.signal("-HUP");
    let log = trial.wait_for_log(0, "the configuration was taken over").await;
    let taken_over = Instant::now();
    trial.wait_for_log(log, "the stream runs").await;
    assert!(taken_over.elapsed() < Duration::from_secs(10), "it waited for its pause of 15 s");
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}

/// The file is read for every connection; SIGHUP only ends the pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_changed_in_the_password_file_later() {
    let mut trial = begin_as_role("fault-passfile", |stage| {
        write_passfile(stage, "old");
        let path = stage.folder.join("pgpass");
        format!("{}?passfile={}", stage.cluster.url("postgres").replace("postgres@", "hook@"), path.display())
    })
    .await;
    change_unfelt(&mut trial, "alter role hook password 'new'").await;
    trial.wait_for_log(0, "password authentication failed for user").await;
    write_passfile(&trial.stage, "new");
    // by itself it tries again, too, but not before a quarter of a minute
    trial.stage.walhook.signal("-HUP");
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}

fn write_passfile(stage: &Stage, password: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = stage.folder.join("pgpass");
    fs::write(&path, format!("*:*:*:hook:{password}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_loses_replication_and_then_connect() {
    let mut trial = begin_as_role("fault-privileges", |stage| url(stage, "old")).await;
    change_unfelt(&mut trial, "alter role hook noreplication").await;
    wait_for_readyz(&trial.stage, "(alter role \"hook\" replication;)").await;
    trial.stage.client.batch_execute("alter role hook replication").await.unwrap();
    let log = trial.stage.walhook.log().len();
    trial.stage.walhook.signal("-HUP");
    trial.wait_for_log(log, "the stream runs").await;
    change_unfelt(&mut trial, "revoke connect on database postgres from public").await;
    wait_for_readyz(&trial.stage, "(grant connect on database \"postgres\" to \"hook\";)").await;
    trial.stage.client.batch_execute("grant connect on database postgres to hook").await.unwrap();
    trial.stage.walhook.signal("-HUP");
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}
