//! What it was measured on.

use serde_json::{Value, json};
use std::fs;
use std::thread::available_parallelism;

/// The processes that wished to run during the last minute, on average; 0 where the system does not tell.
pub fn load() -> f64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Processor, cores, kernel, the server's version.
pub fn describe(server: &str) -> Value {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "processor": model.map_or("unknown", |(_, model)| model),
        "cores": available_parallelism().map_or(0, usize::from),
        "kernel": kernel.trim(),
        "postgresql": server,
        "walhook": env!("CARGO_PKG_VERSION"),
    })
}

/// The same as a line.
pub fn line(machine: &Value) -> String {
    let text = |key: &str| machine[key].as_str().unwrap_or_default().to_owned();
    format!(
        "{}, {} cores, Linux {}, PostgreSQL {}, walhook {}, load {:.2}",
        text("processor"),
        machine["cores"],
        text("kernel"),
        text("postgresql"),
        text("walhook"),
        load()
    )
}
