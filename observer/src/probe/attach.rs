//! Attaching single programs, and saying why one could not be.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, Program, ProgramError};
use aya::{Btf, Ebpf};
use observer_ebpf::event::Hook;

use super::deeper;
use super::features::{Features, SECOND};
use super::load::{Cause, Refused};
use super::sockets::ITERATORS;
use crate::privileges;

/// More threads than this load no faster: there are not that many large programs.
const MOST_THREADS: usize = 4;

/// What the kernel's verifier said of each program.
pub(super) type Verdicts = HashMap<String, Result<(), ProgramError>>;

/// Has the kernel take the programs that follow its types, but for those `left_out`. Several threads do that at a time, as
/// it is most of the start: for each program the kernel looks through all of its types. They have the privileges of this
/// thread, and end before it goes on.
pub(super) fn load(ebpf: &mut Ebpf, features: &Features, btf: &Btf, left_out: &[String]) -> Verdicts {
    let wanted = |hook: &str| features.hooks.contains_key(hook) && !left_out.iter().any(|name| name == hook);
    let programs: Vec<_> = ebpf
        .programs_mut()
        .filter_map(|(name, program)| {
            if let Some(hook) = deeper::hook_of(name) {
                let wanted = deeper::is_wanted(name, features, left_out);
                return wanted.then(|| (name.to_owned(), hook.target().to_owned(), program));
            }
            let iterates = ITERATORS.iter().find(|(iterator, _)| *iterator == name).map(|&(_, over)| over);
            let target = iterates.unwrap_or_else(|| hooked(name)).to_owned();
            (iterates.is_some() || wanted(&target)).then(|| (name.to_owned(), target, program))
        })
        .collect();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let programs = Mutex::new(programs);
    let verdicts = Mutex::new(Verdicts::new());
    let work = || {
        loop {
            let next = programs.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((name, target, program)) = next else { return };
            #[allow(
                clippy::wildcard_enum_match_arm,
                reason = "aya knows 30 kinds, and the last one here is the usual"
            )]
            let verdict = match program {
                Program::Iter(program) => program.load(&target, btf),
                Program::FEntry(program) => program.load(&target, btf),
                Program::FExit(program) => program.load(&target, btf),
                program => {
                    <&mut BtfTracePoint>::try_from(program).and_then(|program| program.load(&target, btf))
                }
            };
            verdicts.lock().unwrap_or_else(PoisonError::into_inner).insert(name, verdict);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    verdicts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Attaches one tracepoint program that was loaded, or says why not.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    name: &'static str,
    hook: &'static str,
    features: &Features,
    verdicts: &Verdicts,
) -> Result<(), String> {
    if !features.hooks.contains_key(hook) {
        return Err(format!("this kernel has no hook {hook}"));
    }
    let program = ebpf.program_mut(name).ok_or_else(|| format!("the probes have no program {name}"))?;
    let program: &mut BtfTracePoint =
        program.try_into().map_err(|error| format!("{name} is no tracepoint program: {error}"))?;
    if let Some(Err(error)) = verdicts.get(name) {
        return Err(explain(error, features));
    }
    program.attach().map(|_| ()).map_err(|error| explain(&error, features))
}

/// The program that sees name servers' answers.
pub(super) const DNS: &str = "dns_answers";

/// Loads the program for name servers' answers and links it to the hierarchy's root, beside whatever others there are:
/// it sees what comes to sockets of all cgroups, and goes with its link.
pub(super) fn attach_dns(ebpf: &mut Ebpf, root: &Path, features: &Features) -> Result<(), Refused> {
    let refused = |cause| move |reason| Refused { program: DNS, reason, cause };
    if !privileges::may_attach_to_cgroups() {
        return Err(refused(Cause::NetAdmin)("this process lacks CAP_NET_ADMIN".to_owned()));
    }
    let root = hierarchy(root).map_err(refused(Cause::Cgroups))?;
    link_dns(ebpf, &root, features).map_err(refused(Cause::Kernel))
}

/// The root of the hierarchy, opened.
fn hierarchy(root: &Path) -> Result<File, String> {
    let open = || {
        let file = File::open(root)?;
        let file_system = rustix::fs::fstatfs(&file)?;
        std::io::Result::Ok((file_system.f_type == libc::CGROUP2_SUPER_MAGIC).then_some(file))
    };
    match open() {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(format!("{} is no cgroup hierarchy of version 2", root.display())),
        Err(error) => Err(format!("cannot open the cgroup hierarchy at {}: {error}", root.display())),
    }
}

fn link_dns(ebpf: &mut Ebpf, root: &File, features: &Features) -> Result<(), String> {
    let program = ebpf.program_mut(DNS).ok_or_else(|| format!("the probes have no program {DNS}"))?;
    let program: &mut CgroupSkb =
        program.try_into().map_err(|error| format!("{DNS} is no program for cgroups: {error}"))?;
    program.load().map_err(|error| explain(&error, features))?;
    // The kernel's links always allow others; there is no flag to be given for it.
    let attached = program.attach(root, CgroupSkbAttachType::Ingress, CgroupAttachMode::Single);
    attached.map(|_| ()).map_err(|error| explain(&error, features))
}

/// Attaches the second programs of hooks where the first one is attached. Gives the hooks that have both, and which
/// count is theirs; without, what the first one misses is a loss, and told as one.
pub(super) fn attach_second(
    ebpf: &mut Ebpf,
    features: &Features,
    verdicts: &Verdicts,
    refused: &[Refused],
) -> Vec<(&'static str, Hook)> {
    let mut both = Vec::new();
    for &(hook, program, count) in SECOND {
        if refused.iter().any(|refused| refused.program == hook) {
            continue;
        }
        match attach(ebpf, program, hook, features, verdicts) {
            Ok(()) => both.push((hook, count)),
            Err(reason) => log::warn!("{program} is not attached: {reason}"),
        }
    }
    both
}

/// An error with its causes in one line; of a verifier's log the last telling line.
pub(super) fn explain(error: &(dyn std::error::Error + 'static), features: &Features) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let words = error.to_string();
        let telling = words
            .lines()
            .rev()
            .find(|line| {
                let line = line.trim();
                !line.is_empty()
                    && !["processed ", "verification time", "stack depth"].iter().any(|p| line.starts_with(p))
            })
            .unwrap_or_default()
            .trim()
            .trim_end_matches(" Verifier output:");
        if !text.contains(telling) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(telling);
        }
        next = error.source();
    }
    for (_, missing) in &features.missing_fields {
        text.push_str("; ");
        text.push_str(missing);
    }
    text
}

/// What a program is attached to.
pub(crate) fn hook_of(program: &str) -> String {
    if program == DNS {
        return "cgroup_skb/ingress".to_owned();
    }
    if let Some(hook) = deeper::hook_of(program) {
        return hook.name();
    }
    if let Some((_, target)) = ITERATORS.iter().find(|(name, _)| *name == program) {
        return format!("iter/{target}");
    }
    format!("tp_btf/{}", hooked(program))
}

/// The hook of a tracepoint program: that of its name, unless it is the second one on another.
fn hooked(program: &str) -> &str {
    SECOND.iter().find(|(_, second, _)| *second == program).map_or(program, |&(hook, ..)| hook)
}
