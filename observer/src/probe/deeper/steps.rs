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

/// A program, and what it is attached to.
pub(super) type Hooked = (&'static str, Hook);

/// Something that has to be seen, and the ways to see it, the best first: each with the programs that it takes, all of them.
pub(super) struct Step {
    /// What it is a part of: a [`watch`].
    pub(super) what: u32,
    pub(super) ways: &'static [&'static [Hooked]],
}

/// All steps. Of each the first way is used of which the kernel takes all programs.
pub(super) const STEPS: &[Step] = &[
    Step {
        what: watch::RESPONSES,
        ways: &[
            &[("sk_data_ready", Hook::Tracepoint("sk_data_ready"))],
            &[("tcp_probe", Hook::Tracepoint("tcp_probe"))],
        ],
    },
    Step {
        what: watch::RESPONSES,
        ways: &[&[("tcp_rcv_space_adjust", Hook::Tracepoint("tcp_rcv_space_adjust"))]],
    },
    Step {
        what: watch::RESPONSES,
        ways: &[
            &[("tcp_sendmsg_locked", Hook::Tracepoint("tcp_sendmsg_locked"))],
            &[("tcp_sendmsg", Hook::Entry("tcp_sendmsg"))],
            &[("sock_send_length", Hook::Tracepoint("sock_send_length"))],
        ],
    },
    Step { what: watch::DROPS, ways: &[&[("kfree_skb", Hook::Tracepoint("kfree_skb"))]] },
    Step { what: watch::SIGNALS, ways: &[&[("signals_sent", Hook::Tracepoint("signal_generate"))]] },
    Step { what: watch::OPENS, ways: &[EACH_OPEN, ANY_OPEN] },
];

/// The calls that open a file. All of them or none: what [`ANY_OPEN`] sees beside some of them would be told twice.
const EACH_OPEN: &[Hooked] = &[
    ("exit_openat", Hook::Exit("__x64_sys_openat")),
    ("exit_open", Hook::Exit("__x64_sys_open")),
    ("exit_openat2", Hook::Exit("__x64_sys_openat2")),
    ("exit_creat", Hook::Exit("__x64_sys_creat")),
];

/// What all of them come to, unless the compiler has put that into each of them (7.2).
const ANY_OPEN: &[Hooked] = &[("do_sys_openat2", Hook::Exit("do_sys_openat2"))];

/// What sees failed opens where functions may not be hooked, at a cost for every system call: only for who asks for it.
pub(super) const COSTLY: Hooked = ("sys_exit", Hook::Tracepoint("sys_exit"));

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
pub(super) fn programs() -> impl Iterator<Item = Hooked> {
    STEPS.iter().flat_map(|step| step.ways.iter().copied().flatten().copied()).chain([COSTLY])
}

/// What that program sees: bits of parts.
pub(crate) fn part_of(program: &str) -> u32 {
    if program == COSTLY.0 {
        return watch::OPENS;
    }
    let of = |step: &&Step| step.ways.iter().copied().flatten().any(|(name, _)| *name == program);
    STEPS.iter().find(of).map_or(0, |step| step.what)
}

/// The capability that a program serves, if it is one of the deeper ones.
pub(in crate::probe) fn capability_of(program: &str) -> Option<&'static str> {
    PARTS.iter().find(|(part, _)| *part == part_of(program)).map(|(_, name)| *name)
}

/// One program of each step, which stands for it where all are refused.
pub(in crate::probe) fn first_programs() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(Step::first_program)
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

/// Whether that program is to be tried: no better way for its step is sure to be taken.
pub(in crate::probe) fn is_wanted(program: &str, features: &Features, left_out: &[String]) -> bool {
    if program == COSTLY.0 {
        return COSTLY.1.may_be(features, left_out);
    }
    STEPS.iter().any(|step| {
        let may_be = |way: &[Hooked]| way.iter().all(|(_, hook)| hook.may_be(features, left_out));
        let sure =
            |way: &[Hooked]| may_be(way) && way.iter().all(|(_, hook)| matches!(hook, Hook::Tracepoint(_)));
        let last = step.ways.iter().position(|way| sure(way)).unwrap_or(usize::MAX);
        let mut tried = step.ways.iter().take(last.saturating_add(1)).filter(|way| may_be(way));
        tried.any(|way| way.iter().any(|&(name, _)| name == program))
    })
}

impl Step {
    /// The programs of the first way of which all were taken.
    pub(super) fn choose(&self, taken: impl Fn(&str) -> bool) -> Option<&'static [Hooked]> {
        self.ways.iter().copied().find(|way| way.iter().all(|&(program, _)| taken(program)))
    }

    /// The first program of the best way, by which it is called where there is none.
    fn first_program(&self) -> &'static str {
        self.ways[0][0].0
    }

    pub(super) fn refusal(
        &self,
        features: &Features,
        verdicts: &Verdicts,
        left_out: &[String],
        costly_opens: bool,
    ) -> Refused {
        let is_left_out = |hook: &Hook| left_out.iter().any(|name| name == hook.target());
        // Of each way what stands in its way.
        let reason = |way: &&[Hooked]| {
            if let Some((_, hook)) = way.iter().find(|(_, hook)| is_left_out(hook)) {
                return Some(format!("{}: it is switched off by configuration", hook.name()));
            }
            let (program, hook) =
                way.iter().find(|(program, _)| !matches!(verdicts.get(*program), Some(Ok(()))))?;
            Some(match verdicts.get(*program) {
                Some(Err(error)) => format!("{}: {}", hook.name(), explain(error, features)),
                _ => format!("this kernel has no hook {}", hook.target()),
            })
        };
        let reasons: Vec<_> = self.ways.iter().filter_map(reason).collect();
        let cause = if self.ways.iter().all(|way| way.iter().any(|(_, hook)| is_left_out(hook))) {
            Cause::Configuration
        } else if self.what == watch::OPENS && costly_opens {
            Cause::CostlyOpens
        } else {
            Cause::Functions
        };
        Refused { program: self.first_program(), reason: reasons.join("; "), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens() -> &'static Step {
        STEPS.iter().find(|step| step.what == watch::OPENS).unwrap()
    }

    /// The programs of the way that is chosen where all hooks but this one are taken.
    fn without(hook: &str) -> Vec<&'static str> {
        let taken = |program: &str| hook_of(program).is_some_and(|known| known.target() != hook);
        opens().choose(taken).unwrap_or_default().iter().map(|(program, _)| *program).collect()
    }

    #[test]
    fn opens_are_seen_by_all_calls_or_where_they_meet_and_never_by_both() {
        assert_eq!(STEPS.iter().filter(|step| step.what == watch::OPENS).count(), 1);
        let each = ["exit_openat", "exit_open", "exit_openat2", "exit_creat"];
        assert_eq!(without("do_sys_openat2"), each);
        assert_eq!(without("none"), each);
        for hook in ["__x64_sys_openat", "__x64_sys_open", "__x64_sys_openat2", "__x64_sys_creat"] {
            assert_eq!(without(hook), ["do_sys_openat2"], "{hook}");
        }
        assert_eq!(opens().choose(|program| program == "exit_open"), None);
    }
}
