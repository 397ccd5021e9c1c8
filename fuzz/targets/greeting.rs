//! What stands where a PostgreSQL server should: the first bytes that a client of ours hears.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

use std::cell::OnceCell;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use walhook::lsn::Lsn;
use walhook::postgres::{Address, connect};
use walhook::source::{Control, Source};

/// How long all of it may take; nothing that was tried waits, for the server ends.
const TIME_MAX: Duration = Duration::from_secs(30);
/// What is read of a stream.
const MESSAGES_MAX: usize = 1_000;

thread_local! {
    static STAGE: OnceCell<(Runtime, TcpListener)> = const { OnceCell::new() };
}

/// Whatever a server says before it hangs up, a login ends, and what is done behind it; with words about the host. The
/// first byte says which client it is, and whether it asks for TLS first.
pub fn greeting(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    STAGE.with(|stage| {
        let (runtime, listener) = stage.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            (runtime, listener)
        });
        let began = Instant::now();
        runtime.block_on(meet(listener, choice, bytes));
        assert!(began.elapsed() < TIME_MAX, "{:?}", began.elapsed());
    });
}

async fn meet(listener: &TcpListener, choice: u8, bytes: &[u8]) {
    let port = listener.local_addr().unwrap().port();
    let mode = if choice & 2 == 0 { "disable" } else { "require" };
    let url = format!("postgres://walhook:geheim@127.0.0.1:{port}/helpdesk?sslmode={mode}&connect_timeout=5");
    let address = Address::parse(&url).unwrap();
    let serving = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 4096];
            let _ = stream.read(&mut heard).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            while stream.read(&mut heard).await.is_ok_and(|length| length > 0) {}
        }
    };
    let visiting = async {
        let error = if choice & 1 == 0 {
            match connect(&address, "fuzz").await {
                Ok(session) => session.query("select 1", &[]).await.err().map(|error| error.to_string()),
                Err(error) => Some(said(&error)),
            }
        } else {
            replicate(&address).await
        };
        if let Some(error) = error {
            assert!(!error.is_empty() && !error.contains("geheim"), "{error}");
        }
    };
    tokio::select! {
        () = serving => unreachable!("it serves for ever"),
        () = visiting => {}
    }
}

/// Asks who the server is, and streams.
async fn replicate(address: &Address) -> Option<String> {
    let mut control = match Control::connect(address, "fuzz").await {
        Ok(control) => control,
        Err(error) => return Some(said(&error)),
    };
    if let Err(error) = control.identify().await {
        return Some(said(&error));
    }
    let mut stream = match control.start("s", Lsn(1), &["p".to_owned()]).await {
        Ok(stream) => stream,
        Err(error) => return Some(said(&error)),
    };
    for _ in 0..MESSAGES_MAX {
        if let Err(error) = stream.next().await {
            return Some(said(&error));
        }
    }
    None
}

fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
