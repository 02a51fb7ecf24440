//! Fuzzing, as tests: inputs are changed at random, and none may cause a panic or take memory out of proportion.
//!
//! A target is a test called `fuzz_NAME`, beside what it is about. `cargo test` runs each for a moment, always with the same
//! inputs; `cargo xtask fuzz` for as long as it is told, guided by the coverage of each input. See docs/fuzzing.md.

#![allow(clippy::print_stdout, reason = "a run tells what it tried, and what failed")]

mod corpus;
mod coverage;
mod memory;
mod mutate;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use self::corpus::Corpus;
use self::coverage::Coverage;
use self::mutate::Random;

/// How much memory an input may take at a time: so many bytes, and so many more for each of its own.
const FREE_BYTES: usize = 1024 * 1024;
const BYTES_A_BYTE: usize = 64;
/// An input takes no longer, however busy the machine is.
const LONGEST: Duration = Duration::from_secs(10);
/// Inputs that `cargo test` tries, and the longest it does.
const INPUTS: usize = 3_000;
const MOMENT: Duration = Duration::from_secs(3);
/// A failing input is made smaller for so long.
const SHORTENING: Duration = Duration::from_secs(10);

/// Tries inputs until the time is over. The first one that fails is kept, beside the target's seeds.
///
/// `words` are what inputs of this target are made of. `check` is given one input after the other.
pub(crate) fn run(name: &str, words: &[&str], mut check: impl FnMut(&[u8])) {
    let length = std::env::var("OBSERVER_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let mut plan = length.map_or_else(Plan::moment, Plan::long);
    let mut corpus = Corpus::read(name, length.is_some());
    let mut coverage = Coverage::default();
    // What is set up once is none of an input's.
    for input in corpus.inputs() {
        // A panic shows below.
        drop(catch_unwind(AssertUnwindSafe(|| check(input))));
    }
    for input in corpus.inputs().to_vec() {
        attempt(&corpus, &input, &mut check);
        coverage.is_new();
    }
    let (mut tried, started) = (0, now());
    while plan.goes_on(tried) {
        let input = mutate::mutate(corpus.inputs(), words, &mut plan.random);
        coverage.clear();
        attempt(&corpus, &input, &mut check);
        tried += 1;
        if coverage.is_new() {
            corpus.add(input);
        }
    }
    let took = now().duration_since(started).as_secs_f64();
    println!("{name}: {tried} inputs in {took:.1} s, {} kept, {}", corpus.inputs().len(), coverage.told());
    assert!(tried > 0, "{name}: no input was tried");
}

/// How long, and with which chance.
struct Plan {
    until: Instant,
    most: usize,
    random: Random,
}

impl Plan {
    /// The same inputs each time.
    fn moment() -> Self {
        Self { until: now() + MOMENT, most: INPUTS, random: Random::new(1) }
    }

    /// Others each time.
    fn long(seconds: f64) -> Self {
        let seed =
            tempfile::NamedTempFile::new().map_or(1, |file| hash(file.path().as_os_str().as_encoded_bytes()));
        Self { until: now() + Duration::from_secs_f64(seconds), most: usize::MAX, random: Random::new(seed) }
    }

    fn goes_on(&self, tried: usize) -> bool {
        tried < self.most && now() < self.until
    }
}

/// Tries one input; keeps and shows it if it fails.
fn attempt(corpus: &Corpus, input: &[u8], check: &mut impl FnMut(&[u8])) {
    let Err(failure) = tried(input, check) else { return };
    let small = shortened(input, check);
    println!("this input failed: \"{}\"", small.escape_ascii());
    println!("it is kept as {}", corpus.keep(&small));
    resume_unwind(failure);
}

fn tried(input: &[u8], check: &mut impl FnMut(&[u8])) -> Result<(), Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| {
        let start = now();
        let most = memory::most_during(|| check(input));
        let allowed = FREE_BYTES + BYTES_A_BYTE * input.len();
        assert!(most <= allowed, "{} bytes took {most} bytes of memory, of {allowed} allowed", input.len());
        let took = now().duration_since(start);
        assert!(took <= LONGEST, "{} bytes took {took:?}", input.len());
    }))
}

/// Leaves out of a failing input what it fails without.
fn shortened(input: &[u8], check: &mut impl FnMut(&[u8])) -> Vec<u8> {
    let (mut small, until) = (input.to_vec(), now() + SHORTENING);
    let mut size = small.len() / 2;
    while size > 0 {
        let mut start = 0;
        while start < small.len() && now() < until {
            let mut less = small.clone();
            less.drain(start..(start + size).min(small.len()));
            if tried(&less, check).is_err() {
                small = less;
            } else {
                start += size;
            }
        }
        size /= 2;
    }
    small
}

fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a.
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[allow(clippy::disallowed_methods, reason = "it goes on for so long")]
fn now() -> Instant {
    Instant::now()
}

#[test]
#[should_panic(expected = "found it")]
fn a_word_in_the_middle_is_found() {
    let keep = |input: &[u8]| assert!(!input.windows(4).any(|four| four == b"bomb"), "found it");
    let mut random = Random::new(1);
    for _ in 0..100_000 {
        let input = mutate::mutate(&[b"seed".to_vec()], &["bo", "omb", "b"], &mut random);
        if tried(&input, &mut |input| keep(input)).is_err() {
            assert_eq!(shortened(&input, &mut |input| keep(input)), b"bomb");
            keep(&input);
        }
    }
}

#[test]
fn memory_out_of_proportion_is_a_failure() {
    let take = |bytes: usize| tried(b"input", &mut |_| drop(std::hint::black_box(vec![1_u8; bytes])));
    assert!(take(FREE_BYTES / 2).is_ok() && take(FREE_BYTES * 2).is_err());
}
