//! Inputs from inputs: by chance, with what they are made of.

/// The longest input.
const LONGEST: usize = 16 * 1024;
/// Changes of an input at a time.
const CHANGES: usize = 6;
/// Bytes that mean something at some place.
const TELLING: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'-', b'/', b'"', b'\n', b'\\', 0x1b];

/// Numbers by chance: xorshift64*.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below.
    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }

    /// A part of something, not too long a one.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = if self.below(8) == 0 { length } else { 16 };
        start..(start + self.below(most + 1)).min(length)
    }
}

/// One of the inputs, changed.
pub(crate) fn mutate(inputs: &[Vec<u8>], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut input = random.one_of(inputs).cloned().unwrap_or_default();
    for _ in 0..=random.below(CHANGES) {
        change(&mut input, inputs, words, random);
    }
    input.truncate(LONGEST);
    input
}

fn change(input: &mut Vec<u8>, inputs: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let part = random.part(input.len());
    match random.below(8) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            let byte = random.one_of(&TELLING).copied().unwrap_or_default();
            match input.get_mut(at) {
                Some(place) => *place = byte,
                None => input.push(byte),
            }
        }
        2 => input.insert(at, random.next() as u8),
        3 => drop(input.drain(part)),
        4 => {
            // Again and again, sometimes.
            let times = if random.below(8) == 0 { random.below(512) } else { 1 };
            let part = input[part].repeat(times);
            insert(input, at, &part);
        }
        5 => {
            let other = random.one_of(inputs).map_or(&[][..], Vec::as_slice);
            insert(input, at, &other[random.part(other.len())]);
        }
        6 => insert(input, at, random.one_of(words).map_or(&[][..], |word| word.as_bytes())),
        _ => {
            let word = random.one_of(words).map_or(&[][..], |word| word.as_bytes());
            input.splice(part, word.iter().copied());
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, more: &[u8]) {
    if input.len() + more.len() <= LONGEST {
        input.splice(at..at, more.iter().copied());
    }
}
