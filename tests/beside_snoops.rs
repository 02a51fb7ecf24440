//! Proves that the observer sees the processes, arguments and codes that execsnoop and exitsnoop see beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Result, ensure};
use observer_tests::events::{arguments, detail, is, nothing_lost, process, watch};
use observer_tests::guardian::Guardian;
use observer_tests::wait::PATIENCE;
use observer_tests::{Container, Daemon, Lines, Snoop, Testbed, eventually};
use serde_json::Value;

/// How processes end, as a shell's script.
const ENDS: [&str; 6] = ["exit 0", "exit 1", "exit 255", "kill -TERM $$", "kill -KILL $$", "kill -ABRT $$"];
/// How often each of them is run on the host.
const ROUNDS: usize = 20;

/// In the words of commands that are run in a container.
const INSIDE: &str = "-inside-";

/// What a tool says of an exec: the pid, the parent's, and the command.
type Exec = (u64, u64, String);

fn exec_of_tool(words: &[String]) -> Option<Exec> {
    // PCOMM PID PPID RET ARGS; a command's first word is its path.
    let [_, pid, parent, ret, command @ ..] = words else { return None };
    (ret == "0").then_some(())?;
    Some(exec(pid.parse().ok()?, parent.parse().ok()?, command.join(" ")))
}

/// The runtime's command that starts a process in a container ends at that moment, and the parent is another one then:
/// such a parent is left out.
fn exec(pid: u64, parent: u64, command: String) -> Exec {
    (pid, if command.contains(INSIDE) { 0 } else { parent }, command)
}

fn exec_of_observer(line: &Value) -> Option<Exec> {
    let process = &line["event"]["process"];
    let rest = &arguments(line)[1..];
    let command = [&[process["binary"].as_str()?], rest].concat().join(" ");
    Some(exec(process["pid"].as_u64()?, process["parent_pid"].as_u64()?, command))
}

/// How a process ended, in exitsnoop's words: `0`, `code 3`, `signal 9`.
fn ending(line: &Value) -> String {
    let of = detail(line);
    match (of["code"].as_u64(), of["signal"].as_u64()) {
        (Some(0), _) => "0".to_owned(),
        (Some(code), _) => format!("code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}

fn has(words: &[&str], word: &str) -> bool {
    words.iter().any(|one| one.starts_with(word))
}

/// Waits until both tools show what happens now.
async fn wait_for_start(execs: &Snoop, exits: &Snoop, word: &str) -> Result<()> {
    let word = format!("start-of-{word}");
    eventually(PATIENCE, "the tools' first line", async || {
        let mut child = Command::new("/bin/true").arg(&word).spawn()?;
        child.wait()?;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let pid = child.id().to_string();
        let seen = [
            !execs.lines(|words| has(words, &word))?.is_empty(),
            !exits.lines(|words| words.get(1) == Some(&pid.as_str()))?.is_empty(),
        ];
        Ok(if seen == [true; 2] { Ok(()) } else { Err((seen, execs.said()?)) })
    })
    .await
}

/// Runs every kind of end, on the host and in a container; each command has a word that begins so.
async fn run_all(word: &str, container: &Container) -> Result<usize> {
    let mut count = 0;
    for round in 0..ROUNDS {
        for end in ENDS {
            count += 1;
            let place = if round == 0 { INSIDE } else { "-outside-" };
            let name = format!("{word}{place}{count}");
            let arguments = ["-c", end, &name, "two words", "--flag=x", "☃"];
            if round == 0 {
                container.exec(["/bin/sh"].into_iter().chain(arguments)).await?;
            } else {
                Guardian::shared()?.mark(Command::new("/bin/sh").args(arguments)).status()?;
            }
        }
    }
    Ok(count)
}

/// The execs and exits that the observer tells of these commands.
fn told(lines: &Lines, word: &str) -> (BTreeSet<Exec>, BTreeMap<u64, String>) {
    let ours = lines.matching(|line| is(line, "process_exec") && has(&arguments(line), word));
    let names: BTreeSet<_> = ours.iter().map(process).collect();
    let exits = lines.matching(|line| is(line, "process_exit") && names.contains(&process(line)));
    let exits = exits.iter().map(|line| (process(line).0, ending(line))).collect();
    (ours.iter().filter_map(exec_of_observer).collect(), exits)
}

/// What exitsnoop tells of the processes whose ends the observer told: PCOMM PID PPID TID AGE(s) EXIT_CODE, the last one
/// in one or more words.
fn ends_of_tool(exits: &Snoop, ends: &BTreeMap<u64, String>) -> Result<BTreeMap<u64, String>> {
    let is_one = |words: &[&str]| {
        words.get(1).is_some_and(|pid| pid.parse().is_ok_and(|pid: u64| ends.contains_key(&pid)))
    };
    let lines = exits.lines(is_one)?;
    let end = |words: &Vec<String>| {
        let code = words.get(5..)?.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
        Some((words[1].parse().ok()?, code))
    };
    Ok(lines.iter().filter_map(end).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_processes_arguments_and_codes() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-t", "process_exec,process_exit"]).await?;
    let pod = testbed.pod("snoops", "snooped").run().await?;
    let container = pod.container("main", ["sleep", "1000"]).start().await?;
    let word = format!("snooped-{}", pod.uid());
    let (execs, exits) = (Snoop::start("execsnoop")?, Snoop::start("exitsnoop")?);
    wait_for_start(&execs, &exits, &word).await?;
    let count = run_all(&word, &container).await?;
    let [ours, theirs] = eventually(PATIENCE, "the observer's and the tools' lines", async || {
        let ours = told(&lines, &word);
        let execs: BTreeSet<Exec> =
            execs.lines(|words| has(words, &word))?.iter().filter_map(|words| exec_of_tool(words)).collect();
        let theirs = (execs, ends_of_tool(&exits, &ours.1)?);
        let lens = [ours.0.len(), ours.1.len(), theirs.0.len(), theirs.1.len()];
        let whole = lens[..2].iter().all(|len| *len >= count) && lens[2] >= lens[0] && lens[3] >= lens[1];
        Ok(if whole { Ok([ours, theirs]) } else { Err((count, lens)) })
    })
    .await?;
    let ((commands, ends), (theirs, ends_of_tool)) = (ours, theirs);
    let differ: Vec<_> = commands.symmetric_difference(&theirs).collect();
    ensure!(differ.is_empty(), "only one of both tells {differ:#?}");
    ensure!(ends == ends_of_tool, "the observer tells {ends:#?}, exitsnoop {ends_of_tool:#?}");
    let kinds: BTreeSet<&String> = ends.values().collect();
    ensure!(kinds.len() == ENDS.len(), "{kinds:?}");
    nothing_lost(&lines)?;
    pod.remove().await
}
