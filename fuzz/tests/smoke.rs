//! The fuzz targets without a fuzzer: random inputs, made of the seeds and of the words of each format.
//!
//! Each target runs for `FUZZ_SECONDS`, by default 5. Inputs that fail are made smaller before they are shown.

#![expect(clippy::disallowed_methods, reason = "the length of a run is in wall-clock time")]

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestError, TestRunner};

/// An input, shown as text where it is text.
#[derive(Clone)]
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// One change of an input.
#[derive(Clone, Debug)]
enum Damage {
    Delete(Index, Index),
    Duplicate(Index, Index),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Replace(Index, u8),
    Truncate(Index),
}

impl Damage {
    fn of(&self, input: &mut Vec<u8>) {
        let place = |index: &Index| index.index(input.len().max(1)).min(input.len());
        let range = |one: &Index, other: &Index| place(one).min(place(other))..place(one).max(place(other));
        match self {
            Self::Delete(one, other) => drop(input.drain(range(one, other))),
            Self::Duplicate(one, other) => {
                let range = range(one, other);
                let part = input[range.clone()].to_vec();
                input.splice(range.end..range.end, part);
            }
            Self::Flip(at, bit) => {
                let at = place(at);
                input.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
            }
            Self::Insert(at, word) => {
                let at = place(at);
                input.splice(at..at, word.iter().copied());
            }
            Self::Replace(at, byte) => {
                let at = place(at);
                input.get_mut(at).into_iter().for_each(|old| *old = *byte);
            }
            Self::Truncate(at) => input.truncate(place(at)),
        }
    }
}

fn any_damage(words: Vec<Vec<u8>>) -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<(Index, Index)>().prop_map(|(one, other)| Damage::Delete(one, other)),
        any::<(Index, Index)>().prop_map(|(one, other)| Damage::Duplicate(one, other)),
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<Index>(), select(words)).prop_map(|(at, word)| Damage::Insert(at, word)),
        any::<(Index, u8)>().prop_map(|(at, byte)| Damage::Replace(at, byte)),
        any::<Index>().prop_map(Damage::Truncate),
    ]
}

/// Arbitrary bytes, words of the format in any order, and seeds with some damage.
fn inputs(seeds: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let arbitrary = prop::collection::vec(any::<u8>(), 0..300);
    let shuffled = prop::collection::vec(select(words.clone()), 0..40).prop_map(|words| words.concat());
    let damaged = (select(seeds), prop::collection::vec(any_damage(words), 0..6)).prop_map(|(mut input, damages)| {
        damages.iter().for_each(|damage| damage.of(&mut input));
        input
    });
    prop_oneof![1 => arbitrary, 3 => shuffled, 6 => damaged].prop_map(Input)
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = directory("seeds").join(target);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("read {}: {error}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The words of a dictionary in libFuzzer's format: one quoted text a line, with `\xNN`, `\\` and `\"`.
fn words(target: &str) -> Vec<Vec<u8>> {
    let path = directory("dictionaries").join(format!("{target}.dict"));
    let text = String::from_utf8(read(&path)).unwrap();
    let word = |line: &str| line.strip_prefix('"')?.strip_suffix('"').and_then(unescaped);
    text.lines().map(|line| word(line).unwrap_or_else(|| panic!("{}: {line}", path.display()))).collect()
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let (mut word, mut rest) = (Vec::new(), text);
    while let Some(next) = rest.chars().next() {
        let (byte, taken) = match next {
            '\\' if rest.starts_with("\\x") => (u8::from_str_radix(rest.get(2..4)?, 16).ok()?, 4),
            '\\' => (*rest.as_bytes().get(1)?, 2),
            _ => (u8::try_from(next).ok().filter(u8::is_ascii)?, 1),
        };
        word.push(byte);
        rest = rest.get(taken..)?;
    }
    Some(word)
}

fn smoke(name: &str, target: fn(&[u8])) {
    let seconds = std::env::var("FUZZ_SECONDS").map_or(5, |text| text.parse().expect("FUZZ_SECONDS is whole seconds"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (seeds, words) = (seeds(name), words(name));
    for seed in &seeds {
        target(seed);
    }
    let inputs = inputs(seeds, words);
    let config = Config { cases: 100, failure_persistence: None, ..Config::default() };
    let run = Cell::new(0);
    while run.get() == 0 || Instant::now() < end {
        // A runner that has seen its number of cases runs no more of them.
        let outcome = TestRunner::new(config.clone()).run(&inputs, |input| {
            run.set(run.get() + 1);
            target(&input.0);
            Ok(())
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(reason, input)) => panic!("{name} fails with {input:?}: {reason}"),
            Err(TestError::Abort(reason)) => panic!("{name}: {reason}"),
        }
    }
    println!("{name}: {} inputs", run.get());
}

macro_rules! smoke_tests {
    ($($target:ident),* $(,)?) => {
        $(
            #[test]
            fn $target() {
                smoke(stringify!($target), fuzz::$target);
            }
        )*

        #[test]
        fn every_target_of_cargo_fuzz_is_here() {
            let here = [$(stringify!($target)),*];
            for entry in std::fs::read_dir(directory("fuzz_targets")).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap();
                assert!(here.contains(&name), "{name} has no smoke test");
            }
        }
    };
}

smoke_tests! {
    annotation,
    json_fields,
    line_protocol,
    netplugin_body,
    otlp,
    partial,
    proxy_list,
    remote_write,
    saved_state,
    schema,
    snapshot,
    wire_json,
    wire_lines,
    wire_xml,
}
