//! A connection under TLS is cut, in the handshake and later.

use super::{prepare, wait_for_readyz};
use crate::proof::stage::{Stage, setting};
use crate::proof::trial::Trial;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

/// The answer to the request for TLS; the server's first words; its certificate; the login; the stream. The short form
/// plays what lies in the handshake.
const CUTS: [u64; 6] = [0, 1, 60, 700, 1_500, 9_000];

/// The story: a handshake that the network broke off was taken for a certificate that does not fit. It called for the
/// operator, with advice that would have led astray, and waited a quarter of a minute instead of a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_in_the_handshake_and_later() {
    let (mut stage, proxy) = prepare("fault-tls").await;
    encrypt(&stage).await;
    let url = proxy.url("postgres").replace("sslmode=disable", "sslmode=require");
    stage.walhook.configure(&stage.configuration(&url));
    stage.start().await;
    let mut trial = Trial::on(stage, 1);
    trial.work(50).await;
    trial.hear(10).await;
    let query = "select bool_and(ssl) from pg_stat_ssl join pg_stat_replication using (pid)";
    super::wait_for_server(&trial.stage, query).await;
    let cuts = if setting("LONG", 0) > 0 { &CUTS[..] } else { &CUTS[1..4] };
    for &cut in cuts {
        trial.kill().await;
        proxy.weather(|weather| weather.cut_after = Some(cut));
        let (broken, log) = (proxy.broken(), trial.stage.walhook.log().len());
        trial.stage.walhook.start();
        while proxy.broken() == broken {
            trial.work(10).await;
        }
        trial.wait_for_log(log, "a task failed and is tried again").await;
    }
    assert!(
        !trial.stage.walhook.log().contains("needs somebody to act"),
        "{}",
        trial.stage.walhook.log_tail()
    );
    trial.kill().await;
    proxy.clear();
    trial.stage.walhook.start();
    trial.work(20).await;
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}

/// Gives the server a certificate that nobody checks.
async fn encrypt(stage: &Stage) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let data = stage.cluster.folder().join("data");
    let owner = fs::metadata(&data).unwrap();
    for (name, text) in
        [("server.crt", certified.cert.pem()), ("server.key", certified.signing_key.serialize_pem())]
    {
        let path = data.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    stage.client.batch_execute("alter system set ssl = on").await.unwrap();
    stage.client.batch_execute("select pg_reload_conf()").await.unwrap();
}
