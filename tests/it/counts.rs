//! The guard of the counted instructions: what it refuses, what it says, what it writes down.

#[path = "../../benches/counts/expected.rs"]
#[allow(unreachable_pub)]
mod expected;

use expected::{Compiler, Count, Expected, Measured};

const FILE: &str = include_str!("../../benches/counts/expected.toml");

fn compiler(rustc: &str, target: &str) -> Compiler {
    Compiler { rustc: rustc.into(), target: target.into() }
}

fn expected() -> Expected {
    let count = Count { instructions: 1000, tolerance_percent: 3.0 };
    let steps = [("match 100".to_owned(), count), ("gone".to_owned(), count)].into();
    Expected { rustc: "1.95.0".into(), target: "x86_64-unknown-linux-gnu".into(), steps }
}

fn measured(instructions: u64) -> Measured {
    Measured { step: "match 100", per: "change", instructions }
}

#[track_caller]
fn check(instructions: u64, compiler: &Compiler, fault: Option<&str>) {
    let said = expected().fault(&measured(instructions), compiler);
    assert_eq!(said.as_deref(), fault);
}

#[test]
fn what_takes_more_or_less_than_it_may_is_a_fault_that_says_what_to_do() {
    let ours = compiler("1.95.0", "x86_64-unknown-linux-gnu");
    for within in [970, 1000, 1030] {
        check(within, &ours, None);
    }
    check(
        1031,
        &ours,
        Some(
            "\"match 100\" takes 1031 instructions per change, expected were 1000: 3.1 % more, with a tolerance of 3 %; \
             mend it, or, if it is worth that, write it down (make counts-accept)",
        ),
    );
    check(
        500,
        &ours,
        Some(
            "\"match 100\" takes 500 instructions per change, expected were 1000: 50.0 % less, with a tolerance of 3 %; \
             write the new count down, so that it stays (make counts-accept)",
        ),
    );
    assert_eq!(expected().reservation(&ours), None);
}

#[test]
fn a_step_nobody_expects_and_an_expected_one_that_is_gone_are_faults() {
    let ours = compiler("1.95.0", "x86_64-unknown-linux-gnu");
    let new = Measured { step: "new", ..measured(7) };
    assert_eq!(
        expected().fault(&new, &ours).as_deref(),
        Some(
            "\"new\" takes 7 instructions per change, and nothing is expected of it: write it down (make counts-accept)"
        )
    );
    let unknown: Vec<String> = expected().unknown(&["match 100", "new"]).collect();
    assert_eq!(unknown, ["\"gone\" is expected, and there is no such step (make counts-accept)"]);
}

#[test]
fn another_compiler_is_allowed_more_and_another_machine_all() {
    let other = compiler("1.97.0-nightly", "x86_64-unknown-linux-gnu");
    for within in [1, 1100] {
        check(within, &other, None);
    }
    check(
        1101,
        &other,
        Some(
            "\"match 100\" takes 1101 instructions per change, expected were 1000: 10.1 % more, with a tolerance of 10 %; \
             mend it, or, if it is worth that, write it down (make counts-accept)",
        ),
    );
    assert_eq!(
        expected().reservation(&other).as_deref(),
        Some(
            "the counts were made by rustc 1.95.0, this is 1.97.0-nightly: only what takes more than 10 % more is \
             refused; make counts-accept writes the counts of this compiler down"
        )
    );
    let elsewhere = compiler("1.95.0", "aarch64-unknown-linux-gnu");
    check(9999, &elsewhere, None);
    assert_eq!(
        expected().reservation(&elsewhere).as_deref(),
        Some(
            "the counts were made on x86_64-unknown-linux-gnu, this is aarch64-unknown-linux-gnu: nothing was compared"
        )
    );
}

#[test]
fn what_is_accepted_keeps_its_tolerance_and_can_be_read() {
    let steps = ["match 100", "new"];
    let new = Measured { step: "new", ..measured(7) };
    let accepted = expected().accept(&[measured(900), new], &steps, &compiler("1.99.0", "t"));
    let count =
        |name: &str| accepted.steps.get(name).map(|count| (count.instructions, count.tolerance_percent));
    assert_eq!((count("match 100"), count("new"), count("gone")), (Some((900, 3.0)), Some((7, 5.0)), None));
    assert_eq!((accepted.rustc.as_str(), accepted.target.as_str()), ("1.99.0", "t"));
    assert_eq!(Expected::parse(&accepted.print(&steps)), Ok(accepted));
}

#[test]
fn the_file_is_as_it_is_written() {
    let file = Expected::parse(FILE).unwrap();
    let order: Vec<&str> = FILE
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.split_once('"'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(order.len(), file.steps.len());
    assert_eq!(file.print(&order), FILE);
}

#[test]
fn the_compiler_is_asked_for_its_release() {
    let said = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
    assert_eq!(Compiler::read(said), Some(compiler("1.95.0", "x86_64-unknown-linux-gnu")));
    assert_eq!(Compiler::read("sh: rustc: not found"), None);
}
