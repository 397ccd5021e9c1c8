//! Programs that others wrote in Python, as they are on PyPI, played by scripts of ours.

use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a script (below `tests/it`) says in JSON, which uses what `scripts/clients` has put into that folder, and reads
/// `input`; none where it could not get it.
pub(crate) fn play(folder: &str, script: &str, arguments: &[&str], input: &str) -> Option<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let client = root.join("target/clients").join(folder);
    if !client.join("installed").exists() {
        assert!(std::env::var_os("CLIENTS").is_none(), "scripts/clients has not made {}", client.display());
        eprintln!("{} is not there (scripts/clients): {script} is not tried", client.display());
        return None;
    }
    let mut run = Command::new(client.join("bin/python"))
        .arg(root.join("tests/it").join(script))
        .args(arguments)
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // one that does not read it says why
    let _ = run.stdin.take().unwrap().write_all(input.as_bytes());
    let run = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&run.stderr));
    Some(serde_json::from_str(&said).unwrap_or_else(|error| panic!("{script}: {error}: {said}")))
}
