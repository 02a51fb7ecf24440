//! Becomes another program that may make certain system calls alone, as a service manager would have it.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// `FILE PROGRAM ARGUMENTS`: the file has the numbers of the calls that are allowed; others are refused with EPERM. The
/// program can gain no privileges.
pub(crate) fn confined(mut words: impl Iterator<Item = String>) -> Result<u8, String> {
    let (file, program) = words.next().zip(words.next()).ok_or("confined FILE PROGRAM ARGUMENTS")?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let numbers = text.split_whitespace().map(|word| Ok((word.parse::<i64>()?, Vec::new())));
    let rules: BTreeMap<_, _> =
        numbers.collect::<Result<_, std::num::ParseIntError>>().map_err(|error| error.to_string())?;
    let apply = || {
        let arch = std::env::consts::ARCH.try_into()?;
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        let filter: BpfProgram = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?;
        Ok(filter)
    };
    let filter = apply().map_err(|error: seccompiler::BackendError| error.to_string())?;
    apply_filter(&filter).map_err(|error| error.to_string())?;
    Err(Command::new(&program).args(words).exec().to_string())
}
