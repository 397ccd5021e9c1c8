//! Cut at one byte after the other, and everything at once.

use super::begin;
use super::proxy::{Door, Fate, Flow, Proxy, Then};
use crate::proof::random::Random;
use crate::proof::stage::setting;
use crate::proof::trial::Trial;
use std::time::Duration;

/// The first hundred kilobytes of a session are where it is opened and the first changes come.
const SWEPT_BYTES: u64 = 100_000;

/// A start for each of them; `LONG=1` has more of them, `SWEEP=61` cuts at every 61st byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_every_kth_byte() {
    let step = setting("SWEEP", 0);
    let cuts: Vec<u64> = match step {
        0 if setting("LONG", 0) > 0 => vec![1, 9, 330, 475, 700, 2_500, 6_000, 24_000],
        0 => vec![9, 475, 2_500, 24_000],
        step => (0..SWEPT_BYTES).step_by(step as usize).collect(),
    };
    let (mut trial, proxy) = begin("fault-sweep").await;
    trial.work(50).await;
    for cut in cuts {
        trial.kill().await;
        proxy.weather(|weather| weather.cut_after = Some(cut));
        let broken = proxy.broken();
        trial.stage.walhook.start();
        while proxy.broken() == broken {
            trial.work(10).await;
        }
    }
    trial.kill().await;
    proxy.clear();
    trial.stage.walhook.start();
    trial.work(50).await;
    trial.judge().await;
}

/// `SEED=7 STEPS=500` plays another and longer one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mix_of_all() {
    let (seed, steps) = (setting("SEED", 1), setting("STEPS", if setting("LONG", 0) > 0 { 100 } else { 10 }));
    let (mut trial, proxy) = begin("fault-mix").await;
    let mut random = Random::new(seed, 99);
    for step in 0..steps {
        trial.let_work(20 + random.below(60));
        let what = spoil(&proxy, &mut random);
        println!("step {step} of seed {seed}: {what}");
        trial.work(20 + random.below(60)).await;
        match random.below(4) {
            0 => {
                trial.kill().await;
                trial.stage.walhook.start();
            }
            1 => trial.rule.look_at_the_frozen(&trial.stage).await,
            _ => {}
        }
        if random.percent(60) {
            proxy.clear();
        }
        if random.percent(30) {
            until_it_streams(&trial, &proxy).await;
        }
    }
    until_it_streams(&trial, &proxy).await;
    trial.judge().await;
}

/// One more trouble, on top of those there are.
fn spoil(proxy: &Proxy, random: &mut Random) -> String {
    let slow = Flow { pause: Duration::from_millis(random.below(30)), ..Flow::default() };
    let tiny = Flow { piece: 1 + random.below(64) as usize, ..Flow::default() };
    let stalled = Flow { stalled: true, ..Flow::default() };
    let flow = *random.pick(&[slow, tiny, stalled]);
    match random.below(7) {
        0 => {
            proxy.weather(|weather| weather.up = flow);
            format!("up {flow:?}")
        }
        1 => {
            proxy.weather(|weather| weather.down = flow);
            format!("down {flow:?}")
        }
        2 => {
            let door = *random.pick(&[Door::Closed, Door::Mute, Door::Slammed]);
            proxy.weather(|weather| weather.door = door);
            format!("{door:?}")
        }
        3 => {
            let bytes = random.below(SWEPT_BYTES);
            proxy.weather(|weather| weather.cut_after = Some(bytes));
            format!("cut after {bytes}")
        }
        4 => {
            let words = *random.pick(&["IDENTIFY_SYSTEM", "walhook catalog", "START_REPLICATION"]);
            let then = *random.pick(&[Then::CutBefore, Then::CutAtAnswer]);
            proxy.trap(words, then);
            format!("{then:?} {words}")
        }
        _ => {
            let words = *random.pick(&["replication", "walhook catalog", ""]);
            let fate = *random.pick(&[Fate::Cut, Fate::Cut, Fate::LosesServer, Fate::LosesClient]);
            proxy.befall(words, fate);
            format!("{fate:?} {words}")
        }
    }
}

/// The weather clears, and everything made so far has been heard of by the server.
async fn until_it_streams(trial: &Trial, proxy: &Proxy) {
    proxy.clear();
    super::wait_for_server(
        &trial.stage,
        "select exists (select from pg_replication_slots where slot_name = 'walhook' and active)",
    )
    .await;
}
