//! The workload of the tests: makes connections, exits and faults on demand and prints what it measured itself.
//!
//! Every result is one JSON object on a line of standard output, so that a container's log is the truth that a
//! test compares with. It runs in a container and on the host alike.
#![allow(clippy::disallowed_methods, reason = "what it measures is time")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its results and its usage are its output")]

mod args;
mod buffer;
mod confined;
mod connect;
mod crowd;
mod namespaces;
mod process;
mod report;
mod serve;
mod smallest;
mod steady;

use std::process::ExitCode;

use args::Args;

const USAGE: &str = "workload SUBCOMMAND
  serve --port P [--v4] [--echo | --sink | --stall | --reset | --request N --response M] [--log]
          [--accept-after-ms M] [--accept COUNT]
  listen-only --port P --backlog B
  connect --to HOST:PORT [--count N] [--parallel K] [--interval-ms M] [--rate PER_SECOND]
          [--bytes B | --send B --receive B] [--requests R] [--hold SECONDS]
          [--timeout-ms M | --nonblocking-cancel-ms M] [--linger0] [--unread] [--send-buffer B] [--summary]
          [--code C] [--out FILE]
  scan --to HOST --first PORT --count N
  crowd --port P --connections N [--rate PER_SECOND]      then on standard input: send BYTES | close COUNT
  steady connections|requests|bulk|refused|exec [--cpu N] [--port P [--to ADDRESS] [--listen-in FILE]]
          [--one-thread]                                  then on standard input: run MILLISECONDS [PER_SECOND]
  exit CODE | kill-self SIGNAL | segfault | eat-memory MIB | sleep SECONDS | pause
  buffer --to HOST:PORT [--interval-ms M] [--kib K] [--timeout-ms M]
  exec-storm --count N [--rate PER_SECOND]
  threads [--code CODE] [--after-ms M]
  namespaces --count N --port P --dir DIR [--listen]
  confined FILE PROGRAM ARGUMENTS";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(subcommand) = words.next() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if subcommand == "confined" {
        return ended(confined::confined(words));
    }
    ended(Args::parse(words).and_then(|args| match subcommand.as_str() {
        "serve" => serve::serve(&args),
        "listen-only" => serve::listen_only(&args),
        "connect" => connect::connect(&args),
        "scan" => connect::scan(&args),
        "crowd" => crowd::crowd(&args),
        "steady" => steady::steady(&args),
        "exit" => process::exit(&args),
        "kill-self" => process::kill_self(&args),
        "segfault" => process::segfault(),
        "eat-memory" => process::eat_memory(&args),
        "buffer" => buffer::buffer(&args),
        "sleep" => process::sleep(&args),
        "pause" => process::pause(),
        "exec-storm" => process::exec_storm(&args),
        "threads" => process::threads(&args),
        "namespaces" => namespaces::namespaces(&args),
        other => Err(format!("unknown subcommand {other}")),
    }))
}

fn ended(result: Result<u8, String>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("workload: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
