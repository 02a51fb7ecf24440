//! What this kernel has: hooks and their arguments, fields and their offsets.

use std::collections::HashMap;
use std::path::Path;

use observer_ebpf::event::Hook;
use observer_ebpf::fields::{FIELDS, Field};
use observer_ebpf::settings::{ABSENT, name};

use super::btf::{Btf, BtfError};
use super::deeper::deeper_hooks;

/// Where the kernel shows its types.
pub(crate) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why the kernel cannot be examined at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeaturesError {
    /// The kernel shows no BTF.
    #[error(
        "cannot read {path}: the observer needs a kernel of 5.15 or later built with CONFIG_DEBUG_INFO_BTF (this one is {release})"
    )]
    NoBtf {
        /// Where it was looked for.
        path: String,
        /// The running kernel.
        release: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not as the format has it.
    #[error("cannot understand the kernel's BTF")]
    Btf(#[from] BtfError),
}

/// The hooks, each with the program of the same name, and the capability that it serves.
pub(crate) const HOOKS: &[(&str, &str)] = &[
    ("sched_process_exec", "process_exec"),
    ("sched_process_exit", "process_exit"),
    ("mark_victim", "oom_kill"),
    ("signal_generate", "signal_sender"),
    ("cgroup_mkdir", "container_lifetime"),
    ("cgroup_rmdir", "container_lifetime"),
    ("inet_sock_set_state", "tcp_connections"),
    ("tcp_retransmit_skb", "tcp_retransmit"),
    ("tcp_retransmit_synack", "tcp_retransmit"),
    ("tcp_send_reset", "tcp_reset"),
    ("tcp_receive_reset", "tcp_reset"),
];

/// Second programs on hooks: the kernel leaves a program out that interrupts itself, and these see
/// what the first ones did not. Each counts what it makes up for: all else that the first one misses is lost. The hook,
/// the program, and which of these counts is its own.
pub(crate) const SECOND: &[(&str, &str, Hook)] = &[
    ("inet_sock_set_state", "inet_sock_set_state_again", Hook::State),
    ("tcp_retransmit_skb", "tcp_retransmit_skb_again", Hook::Retransmit),
];

/// What was found.
pub(crate) struct Features {
    /// The value of each of the probes' globals: offsets and settings.
    pub(crate) globals: Vec<(&'static str, u32)>,
    /// Required fields that are missing, with the reason.
    pub(crate) missing_fields: Vec<(&'static Field, String)>,
    /// The number of arguments of each hook that the kernel has.
    pub(crate) hooks: HashMap<&'static str, usize>,
    /// The kernel's reasons for a reset, by number; empty before 6.10.
    pub(crate) reset_reasons: HashMap<u32, String>,
    /// The kernel's reasons to drop a packet, by number.
    pub(crate) drop_reasons: HashMap<u32, String>,
}

impl Features {
    /// Examines the running kernel.
    pub(crate) fn examine(release: &str) -> Result<Self, FeaturesError> {
        Self::examine_file(Path::new(VMLINUX), release)
    }

    /// Where the registers of a system call are is known: only for x86-64.
    pub(crate) fn has_registers(&self) -> bool {
        let registers = ["REGS_SYSCALL", "REGS_FIRST", "REGS_SECOND"];
        registers
            .iter()
            .all(|wanted| self.globals.iter().any(|(global, offset)| global == wanted && *offset != ABSENT))
    }

    fn examine_file(path: &Path, release: &str) -> Result<Self, FeaturesError> {
        let data = std::fs::read(path).map_err(|source| FeaturesError::NoBtf {
            path: path.display().to_string(),
            release: release.to_owned(),
            source,
        })?;
        Ok(Self::of(&Btf::parse(data)?))
    }

    fn of(btf: &Btf) -> Self {
        let mut globals = Vec::with_capacity(FIELDS.len() + 3);
        let mut missing_fields = Vec::new();
        for field in FIELDS {
            let offset = match btf.offset(field.structure, field.member, field.size) {
                Ok(offset) => offset,
                Err(error) => {
                    if field.required {
                        missing_fields.push((field, error.to_string()));
                    }
                    ABSENT
                }
            };
            globals.push((field.global, offset));
        }
        let hooks = HOOKS.iter().map(|&(hook, _)| hook).chain(deeper_hooks());
        let arguments: HashMap<&'static str, Vec<u32>> =
            hooks.filter_map(|hook| Some((hook, btf.hook_arguments(hook)?))).collect();
        let count = |hook: &str| arguments.get(hook).map_or(0, Vec::len);
        let victim_is_task = arguments
            .get("mark_victim")
            .and_then(|a| a.first())
            .is_some_and(|&first| btf.is_pointer_to(first, "task_struct"));
        globals.push((name::EXIT_HAS_GROUP_DEAD, u32::from(count("sched_process_exit") > 1)));
        let memory_controller = btf
            .enumerators("cgroup_subsys_id")
            .into_iter()
            .find_map(|(index, name)| (name == "memory_cgrp_id").then_some(index));
        globals.push((name::MEMORY_CONTROLLER, memory_controller.unwrap_or(ABSENT)));
        globals.push((name::VICTIM_IS_TASK, u32::from(victim_is_task)));
        globals.push((name::RETRANSMIT_HAS_ERROR, u32::from(count("tcp_retransmit_skb") > 2)));
        globals.push((name::RESET_HAS_REASON, u32::from(count("tcp_send_reset") > 2)));
        globals.push((name::DROP_HAS_SOCKET, u32::from(count("kfree_skb") > 3)));
        let strip = |(value, name): (u32, String)| (value, reason_name(&name));
        Self {
            hooks: arguments.iter().map(|(&hook, arguments)| (hook, arguments.len())).collect(),
            reset_reasons: btf.enumerators("sk_rst_reason").into_iter().map(strip).collect(),
            drop_reasons: drop_reasons(btf),
            globals,
            missing_fields,
        }
    }
}

/// Enumerations of reasons to drop a packet: the kernel's own, and those of its subsystems, as far as they are no modules.
const DROP_REASONS: [&str; 4] =
    ["skb_drop_reason", "mac80211_drop_reason", "ovs_drop_reason", "qdisc_drop_reason"];

/// All reasons to drop a packet by number; of a subsystem whose own are not known, its name by its part of the number.
fn drop_reasons(btf: &Btf) -> HashMap<u32, String> {
    let subsystems = btf.enumerators("skb_drop_reason_subsys").into_iter().map(|(number, name)| {
        let name = name.strip_prefix("SKB_DROP_REASON_SUBSYS_").unwrap_or(&name).to_owned();
        (number << 16, name)
    });
    let own = DROP_REASONS.into_iter().flat_map(|of| btf.enumerators(of)).map(|(number, name)| {
        (
            number,
            name.strip_prefix("SKB_DROP_REASON_").or(name.strip_prefix("SKB_")).unwrap_or(&name).to_owned(),
        )
    });
    // Where there are no subsystems, the kernel's own begin at 0 as well.
    subsystems.filter(|(number, _)| *number != 0).chain(own).collect()
}

/// `SK_RST_REASON_TCP_STATE` is `TCP_STATE` to users.
fn reason_name(enumerator: &str) -> String {
    enumerator.strip_prefix("SK_RST_REASON_").unwrap_or(enumerator).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_all_that_is_required() {
        let features = Features::examine("test").unwrap();
        assert_eq!(features.missing_fields.len(), 0, "{:?}", features.missing_fields);
        assert!(HOOKS.iter().all(|(hook, _)| features.hooks.contains_key(hook)), "{:?}", features.hooks);
        assert_eq!(features.drop_reasons[&2], "NOT_SPECIFIED");
    }

    #[test]
    fn a_kernel_without_btf_is_named_with_what_is_needed() {
        let error = Features::examine_file(Path::new("/nonexistent/vmlinux"), "4.19.0-27").err().unwrap();
        let text = error.to_string();
        assert!(text.contains("4.19.0-27") && text.contains("5.15") && text.contains("BTF"), "{text}");
    }
}
