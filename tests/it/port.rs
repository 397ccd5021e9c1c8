//! Ports that nobody else gets.
//!
//! Whoever asks the system for port 0 and closes it again may see it given to another test, and then talks to that
//! one's server, or is talked to. These lie below what the system gives out (Linux: 32768 to 60999), and no port is
//! named twice by one process.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// A port of 127.0.0.1 at which nobody listens, and nobody will but who is told of it.
pub(crate) fn unused() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // processes that run side by side begin at different places
    let begin = std::process::id().wrapping_mul(997);
    for _ in 0..COUNT {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + (begin.wrapping_add(step) % u32::from(COUNT)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free from {FIRST} on");
}
