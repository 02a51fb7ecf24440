//! What `--help` says, to the letter: a change of it shows in the change's own text, and `UPDATE_EXPECT=1` writes it anew.
//! And what the documentation says of the command line.

mod outputs;

use clap::{CommandFactory as _, Parser as _};
use expect_test::expect_file;

use super::Cli;

/// As wide as it gets.
const COLUMNS: usize = 100;

/// The commands of the first page that people read.
#[test]
fn the_examples_of_the_readme_parse() {
    let readme = include_str!("../../../README.md");
    let code = readme.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    let lines: Vec<&str> = code.flat_map(str::lines).filter(|line| line.starts_with("observer ")).collect();
    assert!(lines.len() > 15, "{lines:#?}");
    for line in lines {
        // What follows a pipe is another program's, and what follows `>` the shell's.
        let words = shlex::split(line).unwrap().into_iter().take_while(|word| word != "|" && word != ">");
        let parsed = Cli::try_parse_from(words);
        assert!(parsed.is_ok(), "{line}: {:?}", parsed.err().map(|error| error.to_string()));
    }
}

#[test]
fn help_is_what_is_written_down() {
    let mut command = Cli::command().term_width(COLUMNS);
    command.build();
    expect_file!["help/observer.txt"].assert_eq(&command.render_long_help().to_string());
    for command in command.get_subcommands_mut() {
        let path = format!("help/{}.txt", command.get_name());
        expect_file![path].assert_eq(&command.render_long_help().to_string());
        let name = command.get_name().to_owned();
        for command in command.get_subcommands_mut().filter(|command| command.get_name() != "help") {
            let path = format!("help/{name}-{}.txt", command.get_name());
            expect_file![path].assert_eq(&command.render_long_help().to_string());
        }
    }
}
