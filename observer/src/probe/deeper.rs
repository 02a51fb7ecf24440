//! The deeper programs: loaded with the others, attached while a debugging session asks for them, and then alone.

mod cost;
mod steps;

use std::collections::HashMap;
use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::maps::{self, MapData, PerCpuArray};
use aya::programs::fentry::FEntryLinkId;
use aya::programs::fexit::FExitLinkId;
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::{BtfTracePoint, FEntry, FExit, Program, ProgramError};
use itertools::Itertools as _;
use observer_ebpf::debug::{Spent, watch};

pub(crate) use self::cost::Cost;
use self::cost::{Figures, Reading};
use self::steps::{COSTLY, Hooked, STEPS, Step, programs};
pub(super) use self::steps::{Hook, capability_of, first_programs, hook_of, is_wanted};
pub(crate) use self::steps::{deeper_hooks, part_of};
use super::attach::Verdicts;
use super::features::Features;
use super::folds::Abi;
use super::load::{Cause, Refused};
use super::{ProbeError, system};

/// What of the deeper programs the kernel has taken, what is attached now, and what is watched.
pub(super) struct Deeper {
    /// The programs of each step, or why there are none.
    chosen: Vec<(u32, Result<&'static [Hooked], Refused>)>,
    /// Failed opens can be seen at a cost.
    costly: bool,
    links: Vec<(&'static str, Link)>,
    /// What could not be attached, and why: not tried again before [`DeeperProbes::retry`].
    failed: Vec<(&'static str, String)>,
    /// How often the kernel had left each of them out, when that was read last.
    missed: HashMap<&'static str, u64>,
    watched: maps::HashMap<MapData, u64, u32>,
    bits: maps::Array<MapData, u64>,
    netns: maps::HashMap<MapData, u32, u64>,
    spent: PerCpuArray<MapData, Abi<Spent>>,
    /// What was read of what they take last, and all of it until then.
    read: Reading,
    cost: Cost,
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
            let chosen = step.choose(taken);
            (step.what, chosen.ok_or_else(|| step.refusal(features, verdicts, left_out, costly)))
        };
        Ok(Self {
            chosen: STEPS.iter().map(choose).collect(),
            costly,
            links: Vec::new(),
            failed: Vec::new(),
            missed: HashMap::new(),
            watched: map("WATCHED")?.try_into().map_err(ProbeError::Map)?,
            bits: map("WATCHED_BITS")?.try_into().map_err(ProbeError::Map)?,
            netns: map("WATCHED_NETNS")?.try_into().map_err(ProbeError::Map)?,
            spent: map("SPENT")?.try_into().map_err(ProbeError::Map)?,
            read: Reading { kernel: Some(Figures::default()), ..Reading::default() },
            cost: Cost::default(),
        })
    }

    /// It is one of these, and not attached.
    pub(super) fn is_detached(&self, program: &str) -> bool {
        hook_of(program).is_some() && !self.links.iter().any(|(attached, _)| *attached == program)
    }

    /// What of the parts cannot be seen, for want of a program.
    pub(super) fn refused(&self) -> impl Iterator<Item = (u32, &Refused)> {
        let all = self.chosen.iter().filter_map(|(what, chosen)| Some((*what, chosen.as_ref().err()?)));
        // One of a part says why.
        all.unique_by(|(what, _)| *what)
    }

    /// Reports how often the kernel left one out since the last call, because it was running on that CPU already.
    pub(super) fn read_missed(&mut self, ebpf: &Ebpf, report: &mut dyn FnMut(&'static str, u64)) {
        for (program, _) in &self.links {
            let Some(fd) = ebpf.program(program).and_then(|program| program.fd().ok()) else { continue };
            let Ok(figures) = system::program_figures(fd.as_fd()) else { continue };
            let before = self.missed.insert(program, figures.recursion_misses).unwrap_or(0);
            report(program, figures.recursion_misses.saturating_sub(before));
        }
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
            .filter_map(|(_, chosen)| chosen.as_ref().ok())
            .flat_map(|chosen| chosen.iter().map(|(program, _)| *program))
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

    /// Tries once more what could not be attached.
    pub(crate) fn retry(&mut self) {
        self.deeper.failed.clear();
    }

    /// Has those parts be seen, and nothing else: attaches what is needed for it, and detaches what is not. Returns what
    /// could not be attached, and why; that is tried once, and said once in the log.
    pub(crate) fn set_parts(&mut self, parts: u32, costly_opens: bool) -> Vec<(&'static str, String)> {
        let Self { deeper, ebpf } = self;
        let wanted = deeper.programs_for(parts, costly_opens);
        let links = std::mem::take(&mut deeper.links).into_iter();
        let (kept, gone): (Vec<_>, Vec<_>) = links.partition(|(program, _)| wanted.contains(program));
        deeper.links = kept;
        for (program, link) in gone {
            if let Err(error) = detach(ebpf, program, link) {
                log::error!("{program} cannot be detached: {error}");
            }
        }
        for program in wanted {
            let is_done = deeper.links.iter().any(|(attached, _)| *attached == program)
                || deeper.failed.iter().any(|(failed, _)| *failed == program);
            if is_done {
                continue;
            }
            match attach(ebpf, program) {
                Ok(link) => deeper.links.push((program, link)),
                Err(error) => {
                    let reason = super::error_chain(&error);
                    log::warn!("{program} is not attached: {reason}");
                    deeper.failed.push((program, reason));
                }
            }
        }
        deeper.failed.clone()
    }

    /// What is attached: the programs with their hooks.
    pub(crate) fn attached(&self) -> Vec<(&'static str, String)> {
        let hook = |program: &str| hook_of(program).map(Hook::name).unwrap_or_default();
        self.deeper.links.iter().map(|&(program, _)| (program, hook(program))).collect()
    }

    /// Lets through to a closer look what has these bits: [`watch::bit`] of each cgroup that is to be watched.
    pub(crate) fn look_at(&mut self, bits: u64) -> Result<(), ProbeError> {
        self.deeper.bits.set(0, bits, 0).map_err(ProbeError::Watch)
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
    pub(crate) fn cost(&mut self) -> Cost {
        let Some(read) = self.read() else { return self.deeper.cost };
        self.deeper.cost.add(&self.deeper.read, &read);
        self.deeper.read = read;
        self.deeper.cost
    }

    /// What is counted by now. The programs' own figures come first: so the kernel's are not behind them.
    fn read(&self) -> Option<Reading> {
        let all = self.deeper.spent.get(&0, 0).ok()?;
        let sum = |of: fn(&Spent) -> u64| all.iter().map(|spent| of(&spent.0)).sum::<u64>();
        Some(Reading {
            watched_ns: sum(|spent| spent.watched_ns),
            watched: sum(|spent| spent.watched),
            others: sum(|spent| spent.others),
            kernel: self.figures(),
        })
    }

    /// The kernel's figures of all programs that it has taken.
    fn figures(&self) -> Option<Figures> {
        let mut figures = Figures::default();
        for (program, _) in programs() {
            let Some(fd) = self.ebpf.program(program).and_then(|program| program.fd().ok()) else { continue };
            let read = system::program_figures(fd.as_fd()).ok()?;
            figures.ns += read.run_time_ns;
            figures.runs += read.run_count;
        }
        Some(figures)
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

impl Refused {
    /// Only debugging sessions lack it, on a kernel that does not let its functions be hooked.
    pub(crate) const fn is_for_sessions(&self) -> bool {
        matches!(self.cause, Cause::Functions | Cause::CostlyOpens)
    }
}
