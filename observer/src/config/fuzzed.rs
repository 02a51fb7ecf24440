//! Configurations of any text: flags, variables and a file together.
//!
//! An input is a line for each flag (`--KEY=VALUE`) and variable (`OBSERVER_KEY=VALUE`); all other lines are the file's.

use std::collections::HashMap;

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Daemon {
    #[command(flatten)]
    flags: Flags,
}

const WORDS: [&str; 58] = [
    "listen",
    "insecure_loopback",
    "cri_endpoint",
    "container_folder",
    "kubernetes",
    "node_name",
    "window",
    "process_ring_bytes",
    "history_bytes",
    "max_memory",
    "attribution_hold",
    "crash_loop_window",
    "disabled_hooks",
    "log",
    "subscriber_queue",
    "event_budget",
    "\n--",
    "\nOBSERVER_",
    "=",
    " = ",
    "\"",
    "[",
    "]",
    ", ",
    "true",
    "unix://",
    "tcp://",
    "127.0.0.1:0",
    "[::1]:4244",
    "/run/observer.sock",
    "http://",
    "auto",
    "off",
    "none",
    "1s",
    "1h30m",
    "10ms",
    "99999999999999999999",
    "4MiB",
    "1e9",
    "-1",
    "0x10",
    "info",
    "tcp_send_reset",
    "[[table]]\n",
    "[json.a]\npath = \"/a\"\n",
    "[syslog.'b']\naddress = \"journal\"\n",
    "json",
    "syslog.a = {",
    "allow",
    "deny = [{",
    "type = 'tcp_close'",
    "port = '1-2'",
    "min_latency",
    "max_bytes",
    "min_severity",
    "tcp://h:1",
    "\\u0000",
];

#[test]
fn fuzz_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observer.toml");
    crate::fuzz::run("configuration", &WORDS, |input| {
        let text = String::from_utf8_lossy(input);
        let (mut flags, mut variables) = (vec!["daemon"], HashMap::new());
        let (mut rest, mut file) = (text.as_ref(), input.to_vec());
        while rest.starts_with("--") || rest.starts_with("OBSERVER_") {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            match line.split_once('=') {
                // The file is the one below.
                Some(("--config" | "OBSERVER_CONFIG", _)) => {}
                Some((name, value)) if name.starts_with("OBSERVER_") => drop(variables.insert(name, value)),
                Some(_) | None => flags.push(line),
            }
            rest = after;
            file = rest.as_bytes().to_vec();
        }
        std::fs::write(&path, file).unwrap();
        let Ok(mut daemon) = Daemon::try_parse_from(flags) else { return };
        daemon.flags.config = Some(path.clone());
        match Config::load(&daemon.flags, &|name| variables.get(name).map(|&value| value.to_owned())) {
            Ok(config) => assert!(!config.listen.is_empty() && !config.window.is_zero(), "{config:?}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
