//! One view over all nodes: the same API, answered by all daemons together.

#[allow(dead_code, reason = "the command that starts it is still to come")]
mod find;
