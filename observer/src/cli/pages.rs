//! `observer completion` and `observer man`: what a shell and its user read of the command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::shells::{Bash, Fish, Zsh};

use super::Cli;

/// Flags of `observer completion`.
#[derive(Debug, clap::Args)]
pub(super) struct Completion {
    /// The shell, such as in `source <(observer completion bash)`
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Flags of `observer man`.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The folder, such as /usr/local/share/man/man1
    folder: PathBuf,
}

/// Prints the script that completes commands, flags and their values.
pub(super) fn complete(args: &Completion, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (command, name) = (&mut Cli::command(), "observer");
    let mut script = Vec::new();
    match args.shell {
        Shell::Bash => clap_complete::generate(Bash, command, name, &mut script),
        Shell::Zsh => clap_complete::generate(Zsh, command, name, &mut script),
        Shell::Fish => clap_complete::generate(Fish, command, name, &mut script),
    }
    out.write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for each command.
pub(super) fn write_manual(args: &Man) -> anyhow::Result<ExitCode> {
    let Man { folder } = args;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("cannot write man pages into {}; does it exist?", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_has_a_script_that_knows_commands_and_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            complete(&Completion { shell }, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            for word in ["connections", "min-latency", "tcp_connect_failure", "retransmits"] {
                assert!(script.contains(word), "{shell:?} does not know {word}");
            }
        }
    }

    #[test]
    fn each_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        write_manual(&Man { folder: folder.path().to_owned() }).unwrap();
        for command in Cli::command().get_subcommands() {
            let page = folder.path().join(format!("observer-{}.1", command.get_name()));
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(text.contains(".SH SYNOPSIS"), "{}", page.display());
        }
        let missing = Man { folder: folder.path().join("missing") };
        let error = format!("{:#}", write_manual(&missing).unwrap_err());
        assert!(
            error.starts_with("cannot write man pages into ") && error.contains("No such file"),
            "{error}"
        );
    }
}
