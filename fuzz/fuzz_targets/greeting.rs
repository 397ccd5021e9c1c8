#![no_main]

#[path = "../targets/greeting.rs"]
mod greeting;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| greeting::greeting(bytes));
