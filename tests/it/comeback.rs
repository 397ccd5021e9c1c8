//! The real program, and an endpoint that was away for a while.

use crate::receiver::Receiver;
use crate::running::{PATIENCE, Site};
use std::time::{Duration, Instant};

const SCHEMA: &str =
    "create table ticket (id integer primary key, title text); alter table ticket replica identity full";

const CONFIG: &str = r#"
[[forms]]
table = "ticket"
[[webhooks]]
name = "all"
form = "ticket"
events = ["create"]
schedule = ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]
callback.url = "RECEIVER"
"#;

/// How many attempts found nobody.
async fn in_vain(site: &Site) -> u64 {
    let metrics = site.ask("/metrics").await.map(|(_, text)| text).unwrap_or_default();
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("walhook_attempts_total{") && line.contains("\"unreachable\""));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// An endpoint that was back had its deliveries wait for the next probe, half a minute at worst. Knocks, which cost no
/// attempt, find it at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_out_as_soon_as_the_endpoint_is_back() {
    let site = Site::new(SCHEMA).await;
    let receiver = Receiver::start().await;
    site.configure(&CONFIG.replace("RECEIVER", &receiver.url()));
    let address = receiver.stop().await;
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket select generate_series(1, 60)").await.unwrap();
    // 16 at once, and probes 1, 2 and 4 seconds after each other: the next one is 8 seconds away
    let begin = Instant::now();
    while in_vain(&site).await < 19 {
        assert!(begin.elapsed() < PATIENCE, "{} attempts\n{}", in_vain(&site).await, running.log());
        // another process: there is nothing to wait on
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begin.elapsed() >= Duration::from_secs(6), "that were no probes: {:?}", begin.elapsed());
    let attempts = in_vain(&site).await;
    // knocks go on meanwhile, and cost nothing
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(in_vain(&site).await, attempts);

    let receiver = Receiver::start_on(address).await;
    let back = Instant::now();
    let first = receiver.wait_for(1).await[0].arrived;
    println!("the first delivery came {:?} after the endpoint was back", first - back);
    assert!(first - back < Duration::from_secs(3), "{:?}", first - back);
    let requests = receiver.wait_for_taken(60).await;
    assert_eq!(requests.len(), 60, "each once");
    running.wait_until_logged("the endpoint answers again").await;
    let log = running.log();
    assert_eq!(log.matches("the endpoint seems dead").count(), 1, "{log}");
    assert!(!log.contains("knock"), "nothing is told of knocks:\n{log}");
    assert_eq!(running.stop(), 0);
}
