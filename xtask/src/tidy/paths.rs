//! Finds every path in Rust code, with grouped imports taken apart.

/// A path such as `crate::serve::wire`, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CodePath<'code> {
    /// Its parts; for an import of a group, one path for each member.
    pub(crate) parts: Vec<&'code str>,
    /// Where its last part stands in the code.
    pub(crate) offset: usize,
    /// The word before it, such as `use` or `mod`.
    pub(crate) after: &'code str,
}

/// All paths of the code, single names among them.
pub(crate) fn find(code: &str) -> Vec<CodePath<'_>> {
    let mut reader = Reader { tokens: tokens(code), at: 0, found: Vec::new() };
    let mut after = "";
    while let Some(&(_, token)) = reader.tokens.get(reader.at) {
        if is_name(token) {
            let start = reader.at;
            reader.path(&[], after);
            after = reader.tokens[start].1;
        } else {
            reader.at += 1;
        }
    }
    reader.found
}

struct Reader<'code> {
    tokens: Vec<(usize, &'code str)>,
    at: usize,
    found: Vec<CodePath<'code>>,
}

impl<'code> Reader<'code> {
    /// Reads one path from a name on; `before` is what stands in front of the group that it is a member of.
    fn path(&mut self, before: &[&'code str], after: &'code str) {
        let mut parts = before.to_vec();
        loop {
            let (offset, token) = self.tokens[self.at];
            parts.push(token);
            self.at += 1;
            if self.peek(0) != Some("::") {
                self.found.push(CodePath { parts, offset, after });
                return;
            }
            match self.peek(1) {
                Some("{") => {
                    self.at += 2;
                    self.group(&parts, after);
                    return;
                }
                Some(next) if is_name(next) => self.at += 1,
                // A glob, or the generic arguments of a call.
                _ => {
                    self.found.push(CodePath { parts, offset, after });
                    self.at += 1;
                    return;
                }
            }
        }
    }

    /// Reads the members of a group up to its closing brace.
    fn group(&mut self, before: &[&'code str], after: &'code str) {
        while let Some(token) = self.peek(0) {
            if token == "}" {
                self.at += 1;
                return;
            }
            if token == "as" {
                // The new name is no path.
                self.at += 2;
            } else if is_name(token) {
                self.path(before, after);
            } else {
                self.at += 1;
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<&'code str> {
        self.tokens.get(self.at + ahead).map(|&(_, token)| token)
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::`, and every other sign for itself.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = code[at..].chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            let word = |letter: char| letter.is_alphanumeric() || letter == '_';
            code[at..].find(|letter| !word(letter)).unwrap_or(code.len() - at)
        } else if code[at..].starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            tokens.push((at, &code[at..at + length]));
        }
        at += length;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &str) -> Vec<String> {
        find(code).into_iter().filter(|path| path.parts.len() > 1).map(|path| path.parts.join("::")).collect()
    }

    #[test]
    fn a_grouped_import_is_taken_apart() {
        let code = "use crate::{event::{Event, Pod as P}, serve};\nuse std::fs::*;";
        assert_eq!(paths(code), ["crate::event::Event", "crate::event::Pod", "crate::serve", "std::fs"]);
    }

    #[test]
    fn a_path_within_code_is_found_with_its_place() {
        let code = "fn a() { let b = std::time::Instant::now(); Vec::<u8>::new() }";
        assert_eq!(paths(code), ["std::time::Instant::now"]);
        let found = find("\n\nmod serve;");
        assert!(found.iter().any(|path| path.parts == ["serve"] && path.after == "mod" && path.offset == 6));
    }

    #[test]
    fn code_that_ends_early_is_no_panic() {
        for code in ["use a::{", "a::", "use a::{b::{c", "::", "use {a"] {
            find(code);
        }
    }
}
