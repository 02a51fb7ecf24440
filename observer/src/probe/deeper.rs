//! The deeper programs: loaded with the others, attached while a debugging session asks for them, and then alone.

use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::maps::{HashMap, MapData, PerCpuArray};
use aya::programs::fentry::FEntryLinkId;
use aya::programs::fexit::FExitLinkId;
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::{BtfTracePoint, FEntry, FExit, Program, ProgramError};
use observer_ebpf::debug::{Spent, watch};

use super::attach::{Verdicts, explain};
use super::features::Features;
use super::folds::Abi;
use super::load::{Cause, Refused};
use super::{ProbeError, system};

/// What a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
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
    what: u32,
    programs: &'static [(&'static str, Hook)],
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
    Step { what: watch::OPENS, programs: &[("do_sys_openat2", Hook::Exit("do_sys_openat2"))] },
];

/// What sees failed opens where functions may not be hooked, at a cost for every system call: only for who asks for it.
const COSTLY: (&str, Hook) = ("sys_exit", Hook::Tracepoint("sys_exit"));

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
fn programs() -> impl Iterator<Item = (&'static str, Hook)> {
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
pub(super) fn capability_of(program: &str) -> Option<&'static str> {
    PARTS.iter().find(|(part, _)| *part == part_of(program)).map(|(_, name)| *name)
}

/// One program of each step, which stands for it where all are refused.
pub(super) fn first_programs() -> impl Iterator<Item = &'static str> {
    STEPS.iter().filter_map(|step| step.programs.first().map(|(program, _)| *program))
}

/// What that program is attached to, if it is one of the deeper ones.
pub(super) fn hook_of(program: &str) -> Option<Hook> {
    programs().find(|(name, _)| *name == program).map(|(_, hook)| hook)
}

impl Hook {
    /// The tracepoint's or the function's name.
    pub(super) const fn target(self) -> &'static str {
        match self {
            Self::Tracepoint(target) | Self::Entry(target) | Self::Exit(target) => target,
        }
    }

    /// How it is told.
    pub(super) fn name(self) -> String {
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
pub(super) fn is_wanted(program: &str, features: &Features, left_out: &[String]) -> bool {
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

/// What of the deeper programs the kernel has taken, what is attached now, and what is watched.
pub(super) struct Deeper {
    /// The program of each step, or why there is none.
    chosen: Vec<(u32, Result<&'static str, Refused>)>,
    /// Failed opens can be seen at a cost.
    costly: bool,
    links: Vec<(&'static str, Link)>,
    watched: HashMap<MapData, u64, u32>,
    netns: HashMap<MapData, u32, u64>,
    spent: PerCpuArray<MapData, Abi<Spent>>,
}

/// The deeper programs of loaded probes, to be told what to watch.
pub(crate) struct DeeperProbes<'a> {
    pub(super) deeper: &'a mut Deeper,
    pub(super) ebpf: &'a mut Ebpf,
}

/// What holds a program where it is attached.
enum Link {
    Tracepoint(BtfTracePointLinkId),
    Entry(FEntryLinkId),
    Exit(FExitLinkId),
}

/// What the sessions' programs took since the daemon's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Nanoseconds of processor time.
    pub(crate) ns: u64,
    /// How often they ran.
    pub(crate) runs: u64,
    /// How often for something that is not watched.
    pub(crate) others: u64,
    /// The kernel measured it (`kernel.bpf_stats_enabled`); else it is what the programs themselves measured, and
    /// [`PASSING_NS`] for each time that they ran for others.
    pub(crate) measured: bool,
}

/// What a deeper program takes for something that is not watched, on a slow machine; the figure of one machine is in
/// docs/debug.md.
const PASSING_NS: u64 = 100;

impl Deeper {
    pub(super) fn take(
        ebpf: &mut Ebpf,
        features: &Features,
        verdicts: &Verdicts,
        left_out: &[String],
    ) -> Result<Self, ProbeError> {
        let mut map = |name| ebpf.take_map(name).ok_or(ProbeError::NoMap(name));
        let taken = |program: &str| matches!(verdicts.get(program), Some(Ok(())));
        let costly = taken(COSTLY.0) && features.has_registers();
        let choose = |step: &Step| {
            let found = step.programs.iter().find(|(program, _)| taken(program));
            let chosen = found.map(|&(program, _)| program);
            (step.what, chosen.ok_or_else(|| step.refusal(features, verdicts, left_out, costly)))
        };
        Ok(Self {
            chosen: STEPS.iter().map(choose).collect(),
            costly,
            links: Vec::new(),
            watched: map("WATCHED")?.try_into().map_err(ProbeError::Map)?,
            netns: map("WATCHED_NETNS")?.try_into().map_err(ProbeError::Map)?,
            spent: map("SPENT")?.try_into().map_err(ProbeError::Map)?,
        })
    }

    /// What of the parts cannot be seen, for want of a program.
    pub(super) fn refused(&self) -> impl Iterator<Item = (u32, &Refused)> {
        self.chosen.iter().filter_map(|(what, chosen)| Some((*what, chosen.as_ref().err()?)))
    }

    /// The parts that can be seen: bits.
    fn available(&self, costly_opens: bool) -> u32 {
        let missing = self.refused().fold(0, |all, (what, _)| all | what);
        let missing = if costly_opens && self.costly { missing & !watch::OPENS } else { missing };
        (watch::RESPONSES | watch::DROPS | watch::SIGNALS | watch::OPENS) & !missing
    }

    /// Failed opens can be seen, but at a cost for every system call.
    pub(super) fn has_costly_opens(&self) -> bool {
        self.costly && self.available(false) & watch::OPENS == 0
    }

    /// The programs that see those parts.
    fn programs_for(&self, parts: u32, costly_opens: bool) -> Vec<&'static str> {
        let mut programs: Vec<_> = self
            .chosen
            .iter()
            .filter(|(what, _)| what & parts & self.available(false) != 0)
            .filter_map(|(_, chosen)| chosen.as_ref().ok().copied())
            .collect();
        if parts & watch::OPENS != 0 && costly_opens && self.has_costly_opens() {
            programs.push(COSTLY.0);
        }
        programs
    }
}

impl DeeperProbes<'_> {
    /// The parts that can be seen: bits.
    pub(crate) fn available(&self, costly_opens: bool) -> u32 {
        self.deeper.available(costly_opens)
    }

    /// Has those parts be seen, and nothing else: attaches what is needed for it, and detaches what is not. Returns what
    /// could not be attached, and why.
    pub(crate) fn set_parts(&mut self, parts: u32, costly_opens: bool) -> Vec<(&'static str, String)> {
        let Self { deeper, ebpf } = self;
        let wanted = deeper.programs_for(parts, costly_opens);
        let links = std::mem::take(&mut deeper.links).into_iter();
        let (kept, gone): (Vec<_>, Vec<_>) = links.partition(|(program, _)| wanted.contains(program));
        deeper.links = kept;
        let mut failed = Vec::new();
        for (program, link) in gone {
            if let Err(error) = detach(ebpf, program, link) {
                log::error!("{program} cannot be detached: {error}");
            }
        }
        for program in wanted {
            if deeper.links.iter().any(|(attached, _)| *attached == program) {
                continue;
            }
            match attach(ebpf, program) {
                Ok(link) => deeper.links.push((program, link)),
                Err(error) => failed.push((program, super::error_chain(&error))),
            }
        }
        failed
    }

    /// What is attached: the programs with their hooks.
    pub(crate) fn attached(&self) -> Vec<(&'static str, String)> {
        let hook = |program: &str| hook_of(program).map(Hook::name).unwrap_or_default();
        self.deeper.links.iter().map(|&(program, _)| (program, hook(program))).collect()
    }

    /// Watches a cgroup, or something else of it. `since` is another number each time that it begins to be watched.
    pub(crate) fn watch(&mut self, cgroup: u64, parts: u32, since: u32) -> Result<(), ProbeError> {
        self.deeper.watched.insert(cgroup, parts | since << watch::BITS, 0).map_err(ProbeError::Watch)
    }

    /// Watches a cgroup no more.
    pub(crate) fn unwatch(&mut self, cgroup: u64) {
        // What is not there any more is what was wanted.
        let _gone = self.deeper.watched.remove(&cgroup).is_err();
    }

    /// Has what happens in a network namespace to nobody's socket told of a cgroup.
    pub(crate) fn watch_netns(&mut self, netns: u32, cgroup: u64) -> Result<(), ProbeError> {
        self.deeper.netns.insert(netns, cgroup, 0).map_err(ProbeError::Watch)
    }

    /// Watches a network namespace no more.
    pub(crate) fn unwatch_netns(&mut self, netns: u32) {
        let _gone = self.deeper.netns.remove(&netns).is_err();
    }

    /// What all of it took since the daemon's start.
    pub(crate) fn cost(&self) -> Cost {
        let mut cost = Cost::default();
        let mut runs = 0;
        for (program, _) in programs() {
            let Some(fd) = self.ebpf.program(program).and_then(|program| program.fd().ok()) else { continue };
            let Ok(figures) = system::program_figures(fd.as_fd()) else { continue };
            cost.ns += figures.run_time_ns;
            runs += figures.run_count;
        }
        let Ok(all) = self.deeper.spent.get(&0, 0) else { return cost };
        let sum = |of: fn(&Spent) -> u64| all.iter().map(|spent| of(&spent.0)).sum::<u64>();
        cost.others = sum(|spent| spent.others);
        cost.runs = cost.others + sum(|spent| spent.watched);
        // Only part of it was counted where the kernel's counting was switched on meanwhile.
        cost.measured = runs > 0 && runs >= cost.runs;
        if !cost.measured {
            cost.ns = sum(|spent| spent.watched_ns) + cost.others * PASSING_NS;
        }
        cost
    }
}

impl Step {
    fn refusal(
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
            _ => format!("{}: this kernel has no such hook", hook.name()),
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

fn attach(ebpf: &mut Ebpf, program: &str) -> Result<Link, ProgramError> {
    match ebpf.program_mut(program) {
        Some(Program::BtfTracePoint(program)) => program.attach().map(Link::Tracepoint),
        Some(Program::FEntry(program)) => program.attach().map(Link::Entry),
        Some(Program::FExit(program)) => program.attach().map(Link::Exit),
        Some(_) | None => Err(ProgramError::NotLoaded),
    }
}

fn detach(ebpf: &mut Ebpf, program: &str, link: Link) -> Result<(), ProgramError> {
    let program = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?;
    match link {
        Link::Tracepoint(link) => <&mut BtfTracePoint>::try_from(program)?.detach(link),
        Link::Entry(link) => <&mut FEntry>::try_from(program)?.detach(link),
        Link::Exit(link) => <&mut FExit>::try_from(program)?.detach(link),
    }
}
