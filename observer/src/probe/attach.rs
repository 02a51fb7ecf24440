//! Attaching single programs, and saying why one could not be.

use std::fs::File;
use std::path::Path;

use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType};
use aya::{Btf, Ebpf};
use observer_ebpf::event::Hook;

use super::features::{Features, SECOND};
use super::load::{Cause, Refused};
use super::sockets::ITERATORS;
use crate::privileges;

/// Loads and attaches one tracepoint program, or says why not.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    name: &'static str,
    hook: &'static str,
    features: &Features,
    btf: &Btf,
) -> Result<(), String> {
    if !features.hooks.contains_key(hook) {
        return Err(format!("this kernel has no hook {hook}"));
    }
    let program = ebpf.program_mut(name).ok_or_else(|| format!("the probes have no program {name}"))?;
    let program: &mut BtfTracePoint =
        program.try_into().map_err(|error| format!("{name} is no tracepoint program: {error}"))?;
    program.load(hook, btf).map_err(|error| explain(&error, features))?;
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
    btf: &Btf,
    refused: &[Refused],
) -> Vec<(&'static str, Hook)> {
    let mut both = Vec::new();
    for &(hook, program, count) in SECOND {
        if refused.iter().any(|refused| refused.program == hook) {
            continue;
        }
        match attach(ebpf, program, hook, features, btf) {
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
            .trim();
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
    if let Some((_, target)) = ITERATORS.iter().find(|(name, _)| *name == program) {
        return format!("iter/{target}");
    }
    let hook = SECOND.iter().find(|(_, second, _)| *second == program).map_or(program, |&(hook, ..)| hook);
    format!("tp_btf/{hook}")
}
