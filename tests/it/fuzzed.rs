//! What the fuzzer tries for hours, tried with a few hundred inputs on every run of the tests: the seeds in
//! `fuzz/corpus` as they are, damaged, and bytes that nobody chose. What must hold stands in `fuzz/targets`.

mod certificate;
mod config;
mod decode;
mod open;
mod peers;
mod value;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// Numbers that were counts or lengths, before somebody made them large.
const LARGE: [&[u8]; 6] = [
    &[0xff, 0xff],
    &[0x7f, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x3f, 0xff, 0xff, 0xff],
    &[0, 0, 0, 0],
];

fn folder_of(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target].iter().collect()
}

/// The seeds of a target, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = folder_of(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Whether the seeds are to be written anew: `WRITE_CORPUS=1`.
fn writes_corpus() -> bool {
    std::env::var_os("WRITE_CORPUS").is_some_and(|value| value == "1")
}

/// Puts a seed where the fuzzer and the tests find it.
fn write_seed(target: &str, name: &str, bytes: &[u8]) {
    let folder = folder_of(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// What is done to a seed.
#[derive(Clone, Debug)]
enum Damage {
    Flip(u8),
    Set(u8),
    Large(&'static [u8]),
    Insert(Vec<u8>),
    Remove(usize),
    /// From here on nothing.
    Cut,
    /// From here on another seed, from some place on.
    Splice(prop::sample::Index, prop::sample::Index),
    /// What stands here, once more.
    Repeat(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (0..8_u8).prop_map(Damage::Flip),
        4 => any::<u8>().prop_map(Damage::Set),
        2 => prop::sample::select(&LARGE[..]).prop_map(Damage::Large),
        2 => prop::collection::vec(any::<u8>(), 1..9).prop_map(Damage::Insert),
        2 => (1..64_usize).prop_map(Damage::Remove),
        1 => Just(Damage::Cut),
        2 => any::<(prop::sample::Index, prop::sample::Index)>().prop_map(|(of, from)| Damage::Splice(of, from)),
        1 => (1..200_usize).prop_map(Damage::Repeat),
    ]
}

fn inflict(bytes: &mut Vec<u8>, at: usize, damage: &Damage, seeds: &[Vec<u8>]) {
    let until = |length: usize| (at + length).min(bytes.len());
    match damage {
        Damage::Flip(bit) => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit),
        Damage::Set(with) => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = *with),
        Damage::Large(number) => drop(bytes.splice(at..until(number.len()), number.iter().copied())),
        Damage::Insert(more) => drop(bytes.splice(at..at, more.iter().copied())),
        Damage::Remove(length) => drop(bytes.drain(at..until(*length))),
        Damage::Cut => bytes.truncate(at),
        Damage::Splice(of, from) => {
            let other = of.get(seeds);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
        }
        Damage::Repeat(length) => {
            let piece = bytes[at..until(*length)].to_vec();
            drop(bytes.splice(at..at, piece));
        }
    }
}

/// A seed with some damage, or bytes that nobody chose.
fn damaged(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damages = prop::collection::vec((any::<prop::sample::Index>(), damage()), 0..5);
    let from_seeds = (any::<prop::sample::Index>(), damages).prop_map(move |(seed, damages)| {
        let mut bytes = seed.get(&seeds).clone();
        for (at, damage) in damages {
            let at = at.index(bytes.len() + 1);
            inflict(&mut bytes, at, &damage, &seeds);
        }
        bytes
    });
    prop_oneof![9 => from_seeds, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

/// Tries a target with every seed, and with so many damaged ones. `FUZZ_CASES` multiplies them.
fn attack(target: &str, cases: u32, holds: fn(&[u8])) {
    let seeds = corpus(target);
    for seed in &seeds {
        holds(seed);
    }
    let times: u32 = std::env::var("FUZZ_CASES").map_or(1, |times| times.parse().unwrap());
    let config =
        ProptestConfig { cases: cases * times, failure_persistence: None, ..ProptestConfig::default() };
    // what fails is made smaller, and told with what it is
    let result = TestRunner::new(config).run(&damaged(seeds), |bytes| {
        catch_unwind(AssertUnwindSafe(|| holds(&bytes))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            TestCaseError::fail(text.unwrap_or_default())
        })
    });
    if let Err(error) = result {
        panic!("{target}: {error}");
    }
}
