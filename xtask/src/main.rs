//! The project's own commands: what cargo cannot do.
fn main() {}
