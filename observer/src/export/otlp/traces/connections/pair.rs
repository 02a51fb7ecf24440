//! The two sides of a connection.

use super::super::super::ids::Side;
use super::end::End;
use crate::event::WallTime;

/// The sides of a connection that were seen here.
#[derive(Debug, Default)]
pub(super) struct Pair {
    pub(super) client: Option<End>,
    pub(super) server: Option<End>,
    /// It is told.
    pub(super) wanted: bool,
}

impl Pair {
    pub(super) const fn side(&mut self, side: Side) -> &mut Option<End> {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    pub(super) fn sides(&self) -> impl Iterator<Item = &End> {
        self.client.iter().chain(&self.server)
    }

    pub(super) fn sides_mut(&mut self) -> impl Iterator<Item = &mut End> {
        self.client.iter_mut().chain(&mut self.server)
    }

    /// When it was established, as who asked has it.
    pub(super) fn established(&self) -> Option<WallTime> {
        self.client.as_ref().or(self.server.as_ref()).map(|end| end.established)
    }

    /// Both sides are on this node, for all that is known. Both of them know it, as they know each other.
    pub(super) fn is_here(&self) -> bool {
        self.sides().count() == 2 || self.sides().any(|end| end.here)
    }

    /// Both sides have ended, as far as they are known.
    pub(super) fn is_over(&self) -> bool {
        self.sides().all(|end| end.closed.is_some())
    }

    /// The end of a side is kept, as it may yet be told.
    pub(super) fn is_held(&self) -> bool {
        self.sides().any(|end| end.closed.as_ref().is_some_and(|closed| closed.event.is_some()))
    }

    /// How much that happened to it is kept.
    pub(super) fn notes(&self) -> usize {
        self.sides().map(|end| end.notes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::otlp::ids::Ends;

    #[test]
    fn one_takes_what_the_limits_say() {
        // Of a map's places up to half are empty.
        let each = size_of::<(Ends, Pair)>();
        assert!((200..=300).contains(&each), "{each}");
    }
}
