//! Loads the probes, tells them what the kernel looks like, and attaches what this kernel can carry.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use aya::maps::{Array, Map, MapData, PerCpuArray};
use aya::{Btf, Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use observer_ebpf::budget::PERIOD_SHIFT;
use observer_ebpf::event::{Hook, Kind};
use observer_ebpf::settings::name;

use super::attach::{self, attach, attach_dns, attach_second, explain};
use super::deeper::{Deeper, DeeperProbes};
use super::features::{Features, HOOKS};
use super::folds::Folds;
use super::maps::{KernelMaps, memory};
use super::ring::{Alarm, LostCounts, Ring};
use super::sockets::Sockets;
use super::{ProbeError, system};
use crate::status::KernelMap;

/// The compiled probes.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("PROBES_OBJECT"));

/// How large the rings are, in bytes; powers of two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingSizes {
    /// Of the ring for processes and cgroups.
    pub(crate) process: u32,
    /// Of the ring for TCP.
    pub(crate) network: u32,
}

/// A program that could not be loaded or attached, and the kernel's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The program, named as its hook.
    pub(crate) program: &'static str,
    /// Why.
    pub(crate) reason: String,
    /// What kind of reason it is.
    pub(crate) cause: Cause,
}

/// Why a program is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The daemon was told to do without.
    Configuration,
    /// This process may not load anything.
    Privileges,
    /// This process may not attach anything to cgroups.
    NetAdmin,
    /// The kernel does not let its functions be hooked.
    Functions,
    /// The same, and there is another way that costs more.
    CostlyOpens,
    /// There is no cgroup hierarchy that it could be attached to.
    Cgroups,
    /// The kernel cannot carry it.
    Kernel,
}

/// The loaded probes. They leave the kernel when this is dropped.
pub(crate) struct Loaded {
    /// What the kernel did not take.
    pub(crate) refused: Vec<Refused>,
    sizes: RingSizes,
    attached: Attached,
}

/// The probes less their rings.
pub(crate) struct Attached {
    alarm: Alarm,
    lost: LostCounts,
    /// The live sockets.
    pub(crate) sockets: Sockets,
    /// What was added up instead of being told.
    pub(crate) folds: Folds,
    deeper: Deeper,
    maps: KernelMaps,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    /// How often each program was left out.
    missed: [Missed; HOOKS.len()],
    /// What a second program made up for.
    made_up: PerCpuArray<MapData, u64>,
    /// The hooks whose second program makes up for what the first one misses.
    doubled: Vec<(&'static str, Hook)>,
    ebpf: Ebpf,
}

/// How often events were missed.
#[derive(Clone, Copy, Default)]
struct Missed {
    /// As read last.
    read: u64,
    /// As reported.
    told: u64,
}

/// A program's name, its hook and its figures.
pub(crate) struct ProgramReport {
    pub(crate) name: String,
    pub(crate) figures: system::ProgramFigures,
    /// It is loaded and not attached.
    pub(crate) detached: bool,
}

impl Loaded {
    /// Loads and attaches. A program that the kernel refuses is left out and reported; what all need
    /// (maps, rings) is an error. `event_budget` is what a cgroup may have told of a kind in a second, 0 for any number;
    /// `leave_out` names hooks that shall not be used; `dns` is the root of the cgroup
    /// hierarchy, if name servers' answers shall be read.
    pub(crate) fn load(
        features: &Features,
        sizes: RingSizes,
        event_budget: u32,
        leave_out: &[String],
        dns: Option<&Path>,
    ) -> Result<Self, ProbeError> {
        // The loader reads the kernel's types as well (22 MiB) and is not told to do without sooner.
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        let btf = Btf::from_sys_fs().map_err(ProbeError::Btf)?;
        for (global, value) in &features.globals {
            loader.override_global(global, value, true);
        }
        let budget = of_period(event_budget);
        loader.override_global(name::EVENT_BUDGET, &budget, true);
        loader.map_max_entries("PROCESS", sizes.process);
        loader.map_max_entries("NETWORK", sizes.network);
        let mut ebpf = loader.load(OBJECT).map_err(ProbeError::Load)?;

        let maps = KernelMaps::of(&ebpf);
        let logger = match EbpfLogger::init(&mut ebpf) {
            Ok(logger) => Some(logger),
            Err(error) => {
                log::warn!("the probes' own messages cannot be read: {error}");
                None
            }
        };
        let lost = ebpf.take_map("LOST").ok_or(ProbeError::NoMap("LOST"))?;
        let lost = LostCounts::new(PerCpuArray::try_from(lost).map_err(ProbeError::Map)?);

        let alarm = ebpf.take_map("ASLEEP").ok_or(ProbeError::NoMap("ASLEEP"))?;
        let alarm = Alarm::new(Array::try_from(alarm).map_err(ProbeError::Map)?);

        let made_up = ebpf.take_map("MADE_UP").ok_or(ProbeError::NoMap("MADE_UP"))?;
        let made_up = PerCpuArray::try_from(made_up).map_err(ProbeError::Map)?;

        let folds = Folds::take(&mut ebpf)?;

        let mut verdicts = attach::load(&mut ebpf, features, &btf, leave_out);
        let mut refused = Vec::new();
        for &(hook, _) in HOOKS {
            if leave_out.iter().any(|name| name == hook) {
                let reason = "it is switched off by configuration".to_owned();
                refused.push(Refused { program: hook, reason, cause: Cause::Configuration });
            } else if let Err(reason) = attach(&mut ebpf, hook, hook, features, &verdicts) {
                refused.push(Refused { program: hook, reason, cause: Cause::Kernel });
            }
        }
        let doubled = attach_second(&mut ebpf, features, &verdicts, &refused);
        let sockets = Sockets::link(&mut ebpf, &mut verdicts, |program, error| {
            refused.push(Refused { program, reason: explain(error, features), cause: Cause::Kernel });
        })?;
        refused.extend(dns.and_then(|root| attach_dns(&mut ebpf, root, features).err()));
        let deeper = Deeper::take(&mut ebpf, features, &verdicts, leave_out)?;
        refused.extend(deeper.refused().map(|(_, refused)| refused.clone()));
        let attached = Attached {
            alarm,
            lost,
            sockets,
            folds,
            deeper,
            maps,
            logger,
            missed: [Missed::default(); HOOKS.len()],
            made_up,
            doubled,
            ebpf,
        };
        Ok(Self { refused, sizes, attached })
    }

    /// The processes' ring, the network's ring, and the rest, which must outlive them.
    pub(crate) fn into_parts(mut self) -> Result<(Ring, Ring, Attached), ProbeError> {
        let ebpf = &mut self.attached.ebpf;
        let process = Ring::open(&take_ring(ebpf, "PROCESS")?, "process", self.sizes.process)?;
        let network = Ring::open(&take_ring(ebpf, "NETWORK")?, "network", self.sizes.network)?;
        Ok((process, network, self.attached))
    }
}

impl Loaded {
    /// Reads a map, a program's figures and the start of an iterator: all ways of reading that there are.
    pub(crate) fn try_reading(&mut self) -> Result<(), ProbeError> {
        let Attached { made_up, sockets, ebpf, .. } = &mut self.attached;
        made_up.get(&0, 0).map_err(ProbeError::Map)?;
        for (_, program) in ebpf.programs() {
            // One that was refused has none.
            if let Ok(fd) = program.fd() {
                system::program_figures(fd.as_fd()).map_err(ProbeError::Sample)?;
                break;
            }
        }
        sockets.try_reading().map_err(ProbeError::Sample)
    }
}

impl Attached {
    /// The deeper programs.
    pub(crate) const fn deeper(&mut self) -> DeeperProbes<'_> {
        DeeperProbes { deeper: &mut self.deeper, ebpf: &mut self.ebpf }
    }

    /// Has the next record, on either ring, wake the daemon.
    pub(crate) fn set_alarm(&mut self) -> Result<(), ProbeError> {
        self.alarm.set()
    }

    /// Reports the records that found no room since the last call.
    pub(crate) fn read_lost(&mut self, report: impl FnMut(Kind, u32, u64)) -> Result<(), ProbeError> {
        self.lost.read(report)
    }

    /// Reports how often the kernel left a program out since the last call, because it was running
    /// on that CPU already: each time is an event that nobody saw, unless the hook has a second one that did.
    pub(crate) fn read_missed(&mut self, mut report: impl FnMut(&'static str, u64)) {
        for (&(hook, _), missed) in HOOKS.iter().zip(&mut self.missed) {
            let doubled = self.doubled.iter().find(|(doubled, _)| *doubled == hook);
            let Some(program) = self.ebpf.program(hook) else { continue };
            let figures = program.fd().ok().and_then(|fd| system::program_figures(fd.as_fd()).ok());
            let Some(mut read) = figures.map(|figures| figures.recursion_misses) else { continue };
            let mut sure = read;
            if let Some(&(_, count)) = doubled {
                let Ok(made_up) = self.made_up.get(&(count as u32), 0) else { continue };
                read = read.saturating_sub(made_up.iter().sum());
                // What was just missed may be made up for at this moment: the next reading knows.
                sure = read.min(missed.read);
            }
            report(hook, sure.saturating_sub(missed.told));
            *missed = Missed { read, told: missed.told.max(sure) };
        }
        self.deeper.read_missed(&self.ebpf, &mut report);
    }

    /// Hands the probes' own messages to the log.
    pub(crate) fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// The maps, and the memory that they and the programs take.
    pub(crate) fn maps(&self) -> (Vec<KernelMap>, u64) {
        let maps = self.maps.read();
        let programs = self.ebpf.programs().filter_map(|(_, program)| program.fd().ok());
        let programs: u64 = programs.map(|fd| memory(fd.as_fd().as_raw_fd())).sum();
        let bytes = maps.iter().map(|map| map.bytes).sum::<u64>() + programs;
        (maps, bytes)
    }

    /// Each loaded program's figures.
    pub(crate) fn programs(&self) -> Vec<ProgramReport> {
        let mut reports: Vec<ProgramReport> = self
            .ebpf
            .programs()
            .filter_map(|(name, program)| {
                let figures = system::program_figures(program.fd().ok()?.as_fd()).ok()?;
                Some(ProgramReport {
                    name: name.to_owned(),
                    figures,
                    detached: self.deeper.is_detached(name),
                })
            })
            .collect();
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }
}

/// What of a number a second belongs to a period.
fn of_period(a_second: u32) -> u32 {
    let of_period = (u64::from(a_second) << PERIOD_SHIFT) / 1_000_000_000;
    u32::try_from(of_period).unwrap_or(u32::MAX)
}

/// A ring as a map; aya's own reader would map it whole, twice.
pub(super) fn take_ring(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, ProbeError> {
    match ebpf.take_map(name) {
        Some(Map::RingBuf(map)) => Ok(map),
        Some(_) | None => Err(ProbeError::NoMap(name)),
    }
}

#[cfg(test)]
pub(super) mod tests;
