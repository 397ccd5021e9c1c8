#![no_main]

#[path = "../targets/certificate.rs"]
mod certificate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| certificate::shown(bytes));
