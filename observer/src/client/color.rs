//! The few colours: what failed, what was lost, what is only context.

use std::borrow::Cow;

/// What a text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    Plain,
    /// It works, or it began.
    Good,
    /// Something failed.
    Failure,
    /// Something was lost, or sent again.
    Warning,
    /// Context that the eye may skip.
    Dim,
    /// A heading.
    Bold,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Painter {
    /// Colours are wanted.
    pub(crate) enabled: bool,
}

impl Painter {
    /// The text in its colour.
    pub(crate) fn paint<'a>(self, paint: Paint, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        let code = match paint {
            Paint::Plain => return text,
            Paint::Good => "32",
            Paint::Failure => "31",
            Paint::Warning => "33",
            Paint::Dim => "2",
            Paint::Bold => "1",
        };
        if self.enabled && !text.is_empty() { Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")) } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_when_wanted() {
        assert_eq!(Painter { enabled: true }.paint(Paint::Failure, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Painter { enabled: true }.paint(Paint::Plain, "x"), "x");
        assert_eq!(Painter { enabled: false }.paint(Paint::Failure, "x"), "x");
    }
}
