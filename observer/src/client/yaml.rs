//! YAML: a document a message, with the fields of its JSON.
//!
//! Not by a library: each text has to be spelled as `escape` wants it, which only the writer of a quoted scalar can do.

use std::fmt::Write as _;
use std::io;

use serde_json::Value;

use super::escape::is_harmful;

/// Writes a value as a document.
pub(super) fn write(out: &mut dyn io::Write, value: &Value) -> io::Result<()> {
    let mut text = String::from("---");
    block(&mut text, value, 0);
    writeln!(out, "{text}")
}

/// A value behind a key, a dash or the document's beginning, and what follows on lines of its own.
fn block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                line(text, depth);
                scalar(text, name);
                text.push(':');
                block(text, value, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                line(text, depth);
                let mut inner = String::new();
                block(&mut inner, item, depth + 1);
                // What begins on a line of its own begins behind the dash, which is as wide as the indentation.
                text.push_str("- ");
                text.push_str(inner.trim_start());
            }
        }
        Value::String(string) => {
            text.push(' ');
            scalar(text, string);
        }
        // In JSON's own spelling, which is YAML's as well: numbers, true, false, null, {} and [].
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Array(_) => {
            // Writing to a string cannot fail.
            _ = write!(text, " {value}");
        }
    }
}

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

/// A text, quoted unless it can be taken for nothing else.
fn scalar(text: &mut String, string: &str) {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/');
    if string.starts_with(|first: char| first.is_ascii_alphabetic())
        && string.chars().all(plain)
        && !is_word(string)
    {
        return text.push_str(string);
    }
    text.push('"');
    for letter in string.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            letter if !is_harmful(letter) => text.push(letter),
            // Writing to a string cannot fail.
            letter if u32::from(letter) <= 0xffff => _ = write!(text, "\\u{:04x}", u32::from(letter)),
            letter => _ = write!(text, "\\U{:08x}", u32::from(letter)),
        }
    }
    text.push('"');
}

/// What YAML 1.1 or 1.2 takes for no text (https://yaml.org/type/bool.html, null.html, float.html).
fn is_word(string: &str) -> bool {
    const WORDS: [&str; 12] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"];
    WORDS.iter().any(|word| string.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn yaml(value: &Value) -> String {
        let mut out = Vec::new();
        write(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_is_a_document_of_blocks() {
        let value = json!({
            "node_name": "node-1", "count": 3, "on": true, "empty": {}, "none": [],
            "event": {"arguments": ["sh", "-c", "a: b"], "ends": [{"code": 1}, {"code": 2}]},
        });
        let expected = "---\ncount: 3\nempty: {}\nevent:\n  arguments:\n    - sh\n    - \"-c\"\n    - \"a: b\"\n  ends:\n    \
                        - code: 1\n    - code: 2\nnode_name: node-1\nnone: []\n\"on\": true\n";
        assert_eq!(yaml(&value), expected);
    }

    fn values() -> impl Strategy<Value = Value> {
        let words =
            prop::sample::select(vec!["yes", "No", "1e3", "0x1f", "~", "-", "2026-01-31", "a#b", ".inf"]);
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            words.prop_map(Value::from),
            "[a-z\u{202e}\u{7f}\u{e0041}\"\\\\\n: ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_parser_reads_what_was_written_and_nothing_steers_a_terminal(value in values()) {
            let text = yaml(&value);
            prop_assert!(!text.chars().any(|letter| letter != '\n' && is_harmful(letter)), "{:?}", text);
            let read: Value = serde_saphyr::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
            prop_assert_eq!(read, value);
        }
    }
}
