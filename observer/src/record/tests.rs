//! The recorder as a whole: killed at any moment, and for an hour of a clock of its own.

mod hour;
mod killed;
