//! The program.

fn main() -> std::process::ExitCode {
    observer::main()
}
