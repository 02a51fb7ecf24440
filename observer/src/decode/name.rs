//! The kernel's name for a task, kept as it comes: most records are of processes whose name is known already.

use std::borrow::Cow;

use observer_ebpf::event::Comm;

/// A task's name, 15 bytes at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name(Comm);

impl Name {
    /// As text; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        let length = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        String::from_utf8_lossy(&self.0[..length])
    }
}

impl From<Comm> for Name {
    fn from(comm: Comm) -> Self {
        Self(comm)
    }
}

#[cfg(test)]
impl From<&str> for Name {
    /// What does not fit is left out, as in the kernel.
    fn from(text: &str) -> Self {
        let mut comm = Comm::default();
        let length = text.len().min(comm.len() - 1);
        comm[..length].copy_from_slice(&text.as_bytes()[..length]);
        Self(comm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_its_first_zero_and_is_text_whatever_it_holds() {
        assert_eq!(Name::from("redis").text(), "redis");
        assert_eq!(Name::from("a-name-that-is-too-long").text(), "a-name-that-is-");
        assert_eq!(Name::from([0xff; 16]).text(), "\u{fffd}".repeat(16));
        assert_eq!(Name::default().text(), "");
    }
}
