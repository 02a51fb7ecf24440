//! Watches over one testbed and removes all of it once the process that made it is gone.
use std::process::ExitCode;

fn main() -> ExitCode {
    observer_tests::guardian::run()
}
