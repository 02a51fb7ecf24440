//! How much memory an event takes.

use super::{Ancestor, Detail, Event, Process, ProcessExec};

/// What the allocator adds to a piece, and the two counts of an `Arc`.
const PIECE: usize = 32;

impl Event {
    /// Bytes that are kept for this event alone: without the workload, which it shares with others, and of its process only
    /// what is made anew for it.
    pub(crate) fn bytes(&self) -> usize {
        let of_process = if let Detail::ProcessExec(exec) = &self.detail {
            exec.bytes() + self.process.as_deref().map_or(0, Process::bytes)
        } else {
            0
        };
        size_of::<Self>() + PIECE + of_process
    }
}

impl Process {
    fn bytes(&self) -> usize {
        size_of::<Self>() + PIECE + self.comm.len() + self.binary.len() + 2 * PIECE
    }
}

impl ProcessExec {
    fn bytes(&self) -> usize {
        let Self { script, directory, ancestors, arguments, .. } = self;
        let text = |length: usize| if length == 0 { 0 } else { length + PIECE };
        let arguments = arguments.iter().map(|argument| size_of_val(argument) + text(argument.len()));
        let ancestors = ancestors.iter().map(Ancestor::bytes);
        text(script.len()) + text(directory.len()) + arguments.sum::<usize>() + ancestors.sum::<usize>()
    }
}

impl Ancestor {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.comm.len() + self.binary.len() + 2 * PIECE
    }
}
