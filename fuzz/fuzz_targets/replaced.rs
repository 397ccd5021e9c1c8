#![no_main]

#[path = "../targets/open.rs"]
mod open;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| open::replaced(bytes));
