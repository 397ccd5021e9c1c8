//! Texts of configurations.

#[path = "../../../fuzz/targets/config.rs"]
mod target;

use super::{attack, write_seed, writes_corpus};
use std::path::Path;
use walhook::app::config::{Config, EXAMPLE};

#[test]
fn any_text_is_a_configuration_or_told_what_is_wrong_where() {
    if writes_corpus() {
        write_seed("config", "template.toml", target::TEMPLATE.as_bytes());
        // every key without its sign of a comment
        let told = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix('#').filter(|key| !key.starts_with(' ')).unwrap_or(line));
        write_seed("config", "example.toml", (told.collect::<Vec<_>>().join("\n") + "\n").as_bytes());
        write_seed("slips", "none", b"");
        write_seed("slips", "quote", &[0, 16, 1, 0, 0]);
        write_seed("slips", "brackets", &[6, 0, 27, 3, 4]);
    }
    attack("config", 400, target::config);
}

#[test]
fn a_slip_shows_no_secret() {
    attack("slips", 1_000, target::slips);
}

#[test]
fn the_template_is_a_configuration_that_shows_no_secret() {
    target::slips(&[]);
    let environment = |name: &str| match name {
        "SIGNING" => Some("whsk_FyHQfRcF1j7DqYm1sGs1JnK5uLs2bQy2eZkB8yYpXk0=".to_owned()),
        _ => Some("receiver.example".to_owned()),
    };
    if let Err(problems) = Config::parse(Path::new("walhook.toml"), target::TEMPLATE, &environment) {
        panic!("{problems}");
    }
}

/// A table in braces was broken off before its end. The rest of it stood alone on a line, and the error about that
/// line showed the token that stood in it: only what follows a `=` was hidden. Now a line is hidden wholly where
/// what stands before the `=` is no key.
#[test]
fn what_is_left_of_a_broken_table_is_not_shown() {
    for rest in [
        "  \"QzX7qzJ4\", 'X-Other' = \"b\" }",
        "  QzX7qzJ4, name = \"b\" }",
        "old_//walhook:QzX7qzJ4@db:5432/helpdesk?name=require\"",
    ] {
        target::shows_no_secret(&format!("[[webhooks]]\nname = \"a\"\nheaders = {{ \"X-Key\" =\n{rest}\n"));
    }
}

/// `walhook config show` printed the password of a database where it began with digits and a `#`: what reads URLs of
/// the web takes these for a port and what follows for a fragment, libpq takes all of it for the password. Now such an
/// address is shown as a mask.
#[test]
fn a_password_with_a_number_sign_is_not_shown() {
    target::shows_no_secret("[source]\nurl = \"postgres://walhook:12#QzX7qzJ4@db/helpdesk\"\n");
    target::shows_no_secret("[source]\nurl = \"postgres://wal#hook:QzX7qzJ4@db/helpdesk\"\n");
}

/// A quote too many within a secret makes a comment of its rest, which was drawn.
#[test]
fn the_rest_of_a_secret_that_became_a_comment_is_not_shown() {
    target::shows_no_secret("[source]\nurl = \"postgr\"#hook:QzX7qzJ4@db/helpdesk\"\n");
}

/// An operator named a log file in place of the configuration, and walhook worked for hours on drawing each of its lines
/// beside the whole file. Now the first problems are told, and how many there are.
#[test]
fn a_file_of_another_kind_is_refused_at_once() {
    let log = "2026-04-30 08:00:00 LOG: database system is ready\n".repeat(20_000);
    let began = std::time::Instant::now();
    let problems = Config::parse(Path::new("walhook.toml"), &log, &|_| None).expect_err("it is a log");
    let said = problems.to_string();
    assert!(problems.len() >= 20_000 && problems.iter().count() == 100);
    assert!(said.ends_with(&format!("and {} more problems: is this the right file?", problems.len() - 100)));
    assert!(said.len() < 100_000, "{} bytes", said.len());
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}

/// At every place a byte that is missing, one too many, or another one.
#[test]
fn no_single_byte_shows_a_secret() {
    for at in 0..target::TEMPLATE.len() as u16 {
        let [at_1, at_2] = at.to_be_bytes();
        let (removed, put_in) = [(1, 0), (0, 1), (1, 1)][usize::from(at % 3)];
        target::slips(&[at_1, at_2, removed + 12 * put_in, (at % 23) as u8, 0]);
    }
}
