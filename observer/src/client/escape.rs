//! Makes text that others wrote harmless for a terminal; every foreign text goes through here.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with everything that could steer a terminal, break a line or reorder it spelled out.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        push(&mut safe, c);
    }
    Cow::Owned(safe)
}

/// An argument as a shell would take it: quoted where it is empty or holds more than plain letters.
pub(crate) fn quote(argument: &str) -> Cow<'_, str> {
    let plain = |c: char| !c.is_whitespace() && !"\"'\\$`|&;<>()*?[]{}!#~".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return escape(argument);
    }
    let mut quoted = String::with_capacity(argument.len() + 8);
    quoted.push('"');
    for c in argument.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        push(&mut quoted, c);
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// The same JSON text with the harmful characters that JSON lets stand (all of them within strings)
/// spelled out in JSON's own way, so that its value does not change.
pub(crate) fn escape_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_harmful) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn push(safe: &mut String, c: char) {
    match c {
        '\n' => safe.push_str("\\n"),
        '\r' => safe.push_str("\\r"),
        '\t' => safe.push_str("\\t"),
        c if !is_harmful(c) => safe.push(c),
        // Writing to a string cannot fail.
        c if u32::from(c) < 0x100 => _ = write!(safe, "\\x{:02x}", u32::from(c)),
        c => _ = write!(safe, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Controls (C0, DEL, C1), line separators, and what is invisible or turns the writing direction.
pub(super) const fn is_harmful(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_harmless_and_bounded(text in any::<String>()) {
            for safe in [escape(&text), quote(&text)] {
                prop_assert!(!safe.chars().any(is_harmful));
                prop_assert!(safe.len() <= 10 * text.len() + 2);
            }
            let json = serde_json::to_string(&text).unwrap();
            let safe = escape_json(&json);
            prop_assert!(!safe.chars().any(is_harmful));
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
    }

    #[test]
    fn plain_text_is_left_alone() {
        for text in ["", "nginx-7d9f", "größe", "日本", "a b", "\u{fffd}"] {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_that_steers_it() {
        assert_eq!(escape("\x1b[31mred"), "\\x1b[31mred");
        assert_eq!(escape("a\nb\rc\td\0"), "a\\nb\\rc\\td\\x00");
        assert_eq!(escape("\u{9b}31m\x7f"), "\\x9b31m\\x7f");
        assert_eq!(escape("abc\u{202e}def\u{2066}"), "abc\\u{202e}def\\u{2066}");
        assert_eq!(escape("a\u{2028}b\u{200b}\u{feff}"), "a\\u{2028}b\\u{200b}\\u{feff}");
        assert_eq!(escape("\u{e0041}"), "\\u{e0041}");
    }

    #[test]
    fn no_character_escapes_the_escape() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let text = c.to_string();
            assert!(!escape(&text).chars().any(|c| c.is_control() || is_harmful(c)), "{c:?}");
            assert!(!quote(&text).chars().any(|c| c.is_control() || is_harmful(c)), "{c:?}");
        }
    }

    #[test]
    fn arguments_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quote("--port=80"), "--port=80");
        assert_eq!(quote("echo hi"), "\"echo hi\"");
        assert_eq!(quote(""), "\"\"");
        assert_eq!(quote("a\"b$c"), "\"a\\\"b\\$c\"");
        assert_eq!(quote("a\nb"), "\"a\\nb\"");
    }
}
