//! What has to be seen for each part of a session, and the programs that can see it.

use observer_ebpf::debug::watch;

use crate::probe::attach::{Verdicts, explain};
use crate::probe::features::Features;
use crate::probe::load::{Cause, Refused};

/// What a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Hook {
    /// A typed tracepoint.
    Tracepoint(&'static str),
    /// The beginning of a function.
    Entry(&'static str),
    /// The end of a function.
    Exit(&'static str),
}

/// Something that has to be seen, and the programs that can, the best first.
pub(super) struct Step {
    /// What it is a part of: a [`watch`].
    pub(super) what: u32,
    pub(super) programs: &'static [(&'static str, Hook)],
}

/// All steps. Of each the first program that the kernel takes is used.
pub(super) const STEPS: &[Step] = &[
    Step {
        what: watch::RESPONSES,
        programs: &[
            ("sk_data_ready", Hook::Tracepoint("sk_data_ready")),
            ("tcp_probe", Hook::Tracepoint("tcp_probe")),
        ],
    },
    Step {
        what: watch::RESPONSES,
        programs: &[("tcp_rcv_space_adjust", Hook::Tracepoint("tcp_rcv_space_adjust"))],
    },
    Step {
        what: watch::RESPONSES,
        programs: &[
            ("tcp_sendmsg_locked", Hook::Tracepoint("tcp_sendmsg_locked")),
            ("tcp_sendmsg", Hook::Entry("tcp_sendmsg")),
            ("sock_send_length", Hook::Tracepoint("sock_send_length")),
        ],
    },
    Step { what: watch::DROPS, programs: &[("kfree_skb", Hook::Tracepoint("kfree_skb"))] },
    Step { what: watch::SIGNALS, programs: &[("signals_sent", Hook::Tracepoint("signal_generate"))] },
    Step { what: watch::OPENS, programs: &[("exit_openat", Hook::Exit("__x64_sys_openat")), ANY_OPEN] },
    Step { what: watch::OPENS, programs: &[("exit_open", Hook::Exit("__x64_sys_open")), ANY_OPEN] },
    Step { what: watch::OPENS, programs: &[("exit_openat2", Hook::Exit("__x64_sys_openat2")), ANY_OPEN] },
];

/// What all calls that open a file come to, unless the compiler has put that into each of them (7.2).
const ANY_OPEN: (&str, Hook) = ("do_sys_openat2", Hook::Exit("do_sys_openat2"));

/// What sees failed opens where functions may not be hooked, at a cost for every system call: only for who asks for it.
pub(super) const COSTLY: (&str, Hook) = ("sys_exit", Hook::Tracepoint("sys_exit"));

/// Parts of what a session sees, by their bits, each with the capability of that name.
const PARTS: [(u32, &str); 4] = [
    (watch::RESPONSES, "debug_responses"),
    (watch::DROPS, "debug_drops"),
    (watch::SIGNALS, "debug_signals"),
    (watch::OPENS, "debug_open_failures"),
];

/// The names of the hooks, for who leaves some out, and for what the kernel is asked to have.
pub(crate) fn deeper_hooks() -> impl Iterator<Item = &'static str> {
    programs().map(|(_, hook)| hook.target())
}

/// All deeper programs.
pub(super) fn programs() -> impl Iterator<Item = (&'static str, Hook)> {
    STEPS.iter().flat_map(|step| step.programs.iter().copied()).chain([COSTLY])
}

/// What that program sees: bits of parts.
pub(crate) fn part_of(program: &str) -> u32 {
    if program == COSTLY.0 {
        return watch::OPENS;
    }
    let of = |step: &&Step| step.programs.iter().any(|(name, _)| *name == program);
    STEPS.iter().find(of).map_or(0, |step| step.what)
}

/// The capability that a program serves, if it is one of the deeper ones.
pub(in crate::probe) fn capability_of(program: &str) -> Option<&'static str> {
    PARTS.iter().find(|(part, _)| *part == part_of(program)).map(|(_, name)| *name)
}

/// One program of each step, which stands for it where all are refused.
pub(in crate::probe) fn first_programs() -> impl Iterator<Item = &'static str> {
    STEPS.iter().filter_map(|step| step.programs.first().map(|(program, _)| *program))
}

/// What that program is attached to, if it is one of the deeper ones.
pub(in crate::probe) fn hook_of(program: &str) -> Option<Hook> {
    programs().find(|(name, _)| *name == program).map(|(_, hook)| hook)
}

impl Hook {
    /// The tracepoint's or the function's name.
    pub(in crate::probe) const fn target(self) -> &'static str {
        match self {
            Self::Tracepoint(target) | Self::Entry(target) | Self::Exit(target) => target,
        }
    }

    /// How it is told.
    pub(in crate::probe) fn name(self) -> String {
        match self {
            Self::Tracepoint(target) => format!("tp_btf/{target}"),
            Self::Entry(target) => format!("fentry/{target}"),
            Self::Exit(target) => format!("fexit/{target}"),
        }
    }

    /// The kernel has it, as far as its types say, and it is not left out.
    fn may_be(self, features: &Features, left_out: &[String]) -> bool {
        let is_known = match self {
            Self::Tracepoint(hook) => features.hooks.contains_key(hook),
            Self::Entry(_) | Self::Exit(_) => true,
        };
        is_known && !left_out.iter().any(|name| name == self.target())
    }
}

/// Whether that program is to be tried: no better one for its step is sure to be taken.
pub(in crate::probe) fn is_wanted(program: &str, features: &Features, left_out: &[String]) -> bool {
    if program == COSTLY.0 {
        return COSTLY.1.may_be(features, left_out);
    }
    STEPS.iter().any(|step| {
        let sure = |hook: Hook| matches!(hook, Hook::Tracepoint(_)) && hook.may_be(features, left_out);
        let last = step.programs.iter().position(|&(_, hook)| sure(hook)).unwrap_or(usize::MAX);
        let tried = step.programs.iter().take(last.saturating_add(1));
        tried.into_iter().any(|&(name, hook)| name == program && hook.may_be(features, left_out))
    })
}

impl Step {
    pub(super) fn refusal(
        &self,
        features: &Features,
        verdicts: &Verdicts,
        left_out: &[String],
        costly_opens: bool,
    ) -> Refused {
        let program = self.programs[0].0;
        let reason = |&(program, hook): &(&'static str, Hook)| match verdicts.get(program) {
            Some(Err(error)) => format!("{}: {}", hook.name(), explain(error, features)),
            _ if left_out.iter().any(|name| name == hook.target()) => {
                format!("{}: it is switched off by configuration", hook.name())
            }
            _ => format!("this kernel has no hook {}", hook.target()),
        };
        let reasons: Vec<_> = self.programs.iter().map(reason).collect();
        let cause = if self.programs.iter().all(|(_, hook)| left_out.iter().any(|name| name == hook.target()))
        {
            Cause::Configuration
        } else if self.what == watch::OPENS && costly_opens {
            Cause::CostlyOpens
        } else {
            Cause::Functions
        };
        Refused { program, reason: reasons.join("; "), cause }
    }
}
