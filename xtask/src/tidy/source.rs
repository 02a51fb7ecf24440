//! A Rust file as tidy sees it: its text, and the same with comments and literals blanked out.

/// One file.
#[derive(Debug)]
pub(crate) struct Source<'text> {
    /// Relative to the workspace, with `/`.
    pub(crate) path: &'text str,
    /// As it is.
    pub(crate) text: &'text str,
    /// Code alone: every comment and literal is blank, every line where it was.
    pub(crate) code: String,
}

impl<'text> Source<'text> {
    /// Takes a file in.
    pub(crate) fn new(path: &'text str, text: &'text str) -> Self {
        Self { path, text, code: code_alone(text) }
    }

    /// The line of that offset into `code`, from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Whether a tool wrote it.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.contains("/generated/") || self.text.lines().take(3).any(|line| line.contains("@generated"))
    }
}

/// Blanks comments, strings and characters; what is left has the same lines.
fn code_alone(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let length = not_code(rest, after_word);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.push(' ');
            code.extend(rest[..length].chars().filter(|&letter| letter == '\n'));
            rest = &rest[length..];
        }
    }
    code
}

/// How many bytes at the start of `rest` are a comment or a literal.
fn not_code(rest: &str, after_word: bool) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    if rest.starts_with('r') && !after_word {
        return raw_string(rest);
    }
    if rest.starts_with("br") && !after_word {
        return raw_string(&rest[1..]).checked_add(1).filter(|&length| length > 1).unwrap_or(0);
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, and not a lifetime: `'a'` or `'\n'`.
fn character(rest: &str) -> usize {
    let mut letters = rest.chars().skip(1);
    match (letters.next(), letters.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(rest, '\''),
        _ => 0,
    }
}

fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|&letter| letter == '#').count();
    if !rest[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_lines_stay() {
        let text =
            "let a = \"x // y\"; // tokio\n/* one\n/* two */ */ b('\\'', 'c', r#\"d \" e\"#, br\"f\");\n";
        let code = code_alone(text);
        assert_eq!(code.lines().count(), text.lines().count());
        assert_eq!(code.split_whitespace().collect::<String>(), "leta=;b(,,,);");
    }

    #[test]
    fn a_lifetime_is_code() {
        assert_eq!(code_alone("fn a<'b>(c: &'b str) {}"), "fn a<'b>(c: &'b str) {}");
    }

    #[test]
    fn a_name_that_ends_in_r_does_not_begin_a_string() {
        assert_eq!(code_alone("let for_r = r;").trim(), "let for_r = r;");
        assert_eq!(code_alone("br#\"x\"# + 1").trim(), "+ 1");
    }

    #[test]
    fn text_that_ends_within_a_literal_is_no_panic() {
        for text in ["\"", "'", "/*", "r#\"", "'\\", "\u{e9}'\u{e9}"] {
            code_alone(text);
        }
    }
}
