//! Exported files of any bytes: read, or refused in one line.
//!
//! An input is the file from its second line on: parts, each a byte for its kind and one for its encoding, a byte for the
//! length of its content, and that content. Heads and checksums are made right, so that what lies behind them is reached; an
//! input that begins with `!` is a file as it is.

use super::tests::{read, whole};
use super::{FORMAT, checksum, load};

/// The file that an input describes.
fn described(input: &[u8]) -> Vec<u8> {
    if let Some(file) = input.strip_prefix(b"!") {
        return file.to_vec();
    }
    let mut file = format!("observer recording, format {FORMAT}\n").into_bytes();
    let mut rest = input;
    while let [kind, encoding, length, behind @ ..] = rest {
        let (content, next) = behind.split_at(usize::from(*length).min(behind.len()));
        let mut head = vec![kind % 16, encoding % 4, 0, 0];
        head.extend((content.len() as u32).to_le_bytes());
        let meant =
            if encoding % 4 == 1 { u32::from(*length) * u32::from(*encoding) } else { content.len() as u32 };
        head.extend(meant.to_le_bytes());
        let sum = checksum(&head, content);
        file.extend(head);
        file.extend(sum.to_le_bytes());
        file.extend(content);
        rest = next;
    }
    file
}

#[test]
fn fuzz_export() {
    let example = whole();
    let [whole, half] = [&example[..], &example[..example.len() / 2]].map(|file| {
        // As words are text, what is none in it is left out; seeds have the rest.
        String::from_utf8_lossy(file).into_owned()
    });
    let words = [
        "!",
        "!observer recording, format 2\n",
        "\u{1}",
        "\u{2}",
        "\u{7}\u{0}\u{2}\u{8}\u{1}",
        &whole,
        &half,
    ];
    crate::fuzz::run("export", &words, |input| {
        let file = described(input);
        let loaded = load(file.as_slice());
        if let Err(error) = &loaded {
            let said = error.to_string();
            assert!(said.len() < 300 && !said.contains(char::is_control), "{said:?}");
        }
        assert!(loaded.is_err() || read(&file).is_ok());
    });
}
