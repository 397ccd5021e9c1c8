//! Plays of a step under callgrind, and what they cost.

use crate::Trouble;
use crate::steps::Step;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

/// The C library copies memory by other instructions on other processors, and callgrind counts `rep movsb` once per byte:
/// with these switched off it does what it can do on all of them.
const SAME_EVERYWHERE: &str = "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-AVX512VL,-ERMS,-FSRM";
/// The program that is played, in the folder of the profiles.
const PROGRAM: &str = "./play";

const MISSING: &str = "valgrind is not installed, and without it nothing is counted: scripts/valgrind installs it where it \
                       may, else apt-get install valgrind (Debian, Ubuntu), dnf install valgrind (Fedora, RHEL)";

/// Refuses where there is none.
pub fn look() -> Result<(), Trouble> {
    match Command::new("valgrind").arg("--version").stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("valgrind does not work here: {status}").into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(MISSING.into()),
        Err(error) => Err(format!("valgrind cannot be started: {error}").into()),
    }
}

/// Lays the program into the folder. It is called by the same name on every machine: names lie in its memory, too, and
/// so decide whether something grows where it is or is copied.
pub fn lay_out(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::copy(std::env::current_exe()?, folder.join(PROGRAM))?;
    Ok(())
}

/// The instructions that a step takes each time: of two plays, one of which does it twice as often, the difference. What
/// both have in common, above all what they prepare, falls out, on whatever threads it happens.
pub fn count(step: &Step, folder: &Path) -> Result<u64, Trouble> {
    let half = step.times / 2;
    let (less, more) = (play(step, half, folder)?, play(step, step.times, folder)?);
    let difference = more.checked_sub(less).ok_or("to do it more often took less")?;
    let done = step.times - half;
    Ok((difference + done / 2) / done)
}

/// The instructions of a whole play.
fn play(step: &Step, times: u64, folder: &Path) -> Result<u64, Trouble> {
    let profile = format!("{}.{times}.callgrind", step.name.replace(' ', "-"));
    let mut command = Command::new("valgrind");
    command.current_dir(folder).env_clear().env("GLIBC_TUNABLES", SAME_EVERYWHERE);
    if let Some(value) = std::env::var_os("VALGRIND_LIB") {
        command.env("VALGRIND_LIB", value);
    }
    command.args(["--tool=callgrind", &format!("--callgrind-out-file={profile}")]);
    command.args([PROGRAM, "play", step.name, &times.to_string()]);
    let ended = command.stdin(Stdio::null()).output()?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(format!("{:?}, {times} times, {}: {said}", step.name, ended.status).into());
    }
    let text = std::fs::read_to_string(folder.join(&profile))?;
    total(&text).ok_or_else(|| format!("{profile} has no total").into())
}

/// What callgrind wrote down: the sum of all parts of the file.
fn total(profile: &str) -> Option<u64> {
    let mut totals = profile.lines().filter_map(|line| line.strip_prefix("totals: ")).peekable();
    totals.peek()?;
    totals.map(|total| total.trim().parse::<u64>().ok()).sum()
}
