//! A terminal, as people have one before them.

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

/// Types on the terminal of a command, a line for each question; returns the exit code and all that stood there.
pub(crate) fn type_into(mut command: Command, lines: &[&str]) -> (i32, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let open = || rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    command.stdin(open()).stdout(Stdio::piped()).stderr(open());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut terminal = fs::File::from(terminal);
    let mut screen = Vec::new();
    for line in lines {
        // a question ends in a colon and a space
        let asked = screen.len();
        while !screen[asked..].ends_with(b": ") {
            let mut byte = [0];
            terminal.read_exact(&mut byte).unwrap();
            screen.push(byte[0]);
        }
        terminal.write_all(line.as_bytes()).unwrap();
    }
    let code = child.wait().unwrap().code().unwrap();
    // the end of the other side is an error of this one
    let _ = terminal.read_to_end(&mut screen);
    let mut text = String::from_utf8_lossy(&screen).into_owned();
    child.stdout.unwrap().read_to_string(&mut text).unwrap();
    (code, text)
}
