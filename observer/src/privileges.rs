//! The Linux capabilities of this process: what each is for, what is given up and when, and what is missing.
//!
//! What is documented in docs/privileges.md, which `tests/privileges.rs` reads.

use rustix::thread::{self, CapabilitySet, CapabilitySets};

use crate::status::{Capability, Missing};

/// What the daemon shall do, as far as that takes privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wants {
    /// The kernel's connection tracking is asked.
    pub(crate) conntrack: bool,
    /// Name servers' answers are read.
    pub(crate) dns: bool,
    /// Network namespaces are entered.
    pub(crate) enter_namespaces: bool,
}

/// Why privileges could not be given up.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}; the observer does not run with more privileges than it needs")]
pub(crate) struct PrivilegesError {
    what: &'static str,
    source: rustix::io::Errno,
}

/// Those without which nothing can be loaded.
const FOR_LOADING: [(CapabilitySet, &str); 2] =
    [(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")];

/// One that something else needs, for as long as the daemon runs.
struct Need {
    capability: CapabilitySet,
    name: &'static str,
    /// What is told as missing without it.
    serves: &'static str,
    consequence: &'static str,
    wanted: fn(Wants) -> bool,
}

const NEEDS: [Need; 4] = [
    Need {
        capability: CapabilitySet::NET_ADMIN,
        name: "CAP_NET_ADMIN",
        serves: "service_backends",
        consequence: "connections to Services show without their backends",
        wanted: |wants| wants.conntrack,
    },
    Need {
        capability: CapabilitySet::SYS_PTRACE,
        name: "CAP_SYS_PTRACE",
        serves: "process_details",
        consequence: "processes that are older than the daemon or execute nothing show without their program's path, \
                      and who enters older containers' namespaces is not told",
        wanted: |_| true,
    },
    Need {
        capability: CapabilitySet::DAC_READ_SEARCH,
        name: "CAP_DAC_READ_SEARCH",
        serves: "foreign_files",
        consequence: "cgroups are looked up by walking the whole hierarchy, and files of other users, such as those of \
                      their own engines, are not read",
        wanted: |_| true,
    },
    Need {
        capability: CapabilitySet::SYS_ADMIN,
        name: "CAP_SYS_ADMIN",
        serves: "other_namespaces",
        consequence: "what pods translate in their own network namespaces shows without backends, and older \
                      connections there that no process holds are not followed",
        wanted: |wants| wants.enter_namespaces,
    },
];

/// What this process may still do.
#[derive(Debug)]
pub(crate) struct Privileges {
    wants: Wants,
    held: CapabilitySet,
}

impl Privileges {
    /// Gives up for good all that is of no use here, before anything is loaded; nothing can be gained from here on.
    ///
    /// Capabilities are a thread's own, and threads that are made later inherit them: there must be one alone.
    pub(crate) fn begin(wants: Wants) -> Result<Self, PrivilegesError> {
        thread::set_no_new_privs(true)
            .map_err(|source| PrivilegesError { what: "give up gaining privileges", source })?;
        let before = own()?;
        // It bounds what a program that is executed gets. There is none, so nothing is lost.
        if before.effective.contains(CapabilitySet::SETPCAP) {
            for capability in CapabilitySet::all().iter() {
                if thread::capability_is_in_bounding_set(capability) == Ok(true) {
                    thread::remove_capability_from_bounding_set(capability).map_err(|source| {
                        PrivilegesError { what: "empty the bounding set of capabilities", source }
                    })?;
                }
            }
        }
        let held = before.permitted & (for_loading(wants) | for_running(wants));
        set(held, held)?;
        Ok(Self { wants, held })
    }

    /// The names of those that are missing for loading.
    pub(crate) fn missing_for_loading(&self) -> Vec<&'static str> {
        FOR_LOADING
            .into_iter()
            .filter(|&(capability, _)| !self.held.contains(capability))
            .map(|(_, name)| name)
            .collect()
    }

    /// Gives up for good what only loading needed. `read` reads once what will be read again and again: kernels before
    /// 5.19 that are set to (`kernel.unprivileged_bpf_disabled`) let nobody do that without `CAP_BPF`, which is kept there.
    pub(crate) fn loaded<E: std::fmt::Display>(
        &mut self,
        read: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), PrivilegesError> {
        let mut kept = self.held & for_running(self.wants);
        set(kept, self.held)?;
        if let Err(error) = read() {
            log::info!("CAP_BPF is kept, as this kernel lets nobody read without it: {error}");
            kept |= self.held & CapabilitySet::BPF;
        }
        self.held = kept;
        set(kept, kept)
    }

    /// What privileges serve, and what is missing for want of them.
    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        NEEDS
            .iter()
            .filter(|need| (need.wanted)(self.wants))
            .map(|need| {
                let missing = (!self.held.contains(need.capability)).then(|| Missing {
                    reason: format!("this process lacks {}", need.name),
                    consequence: need.consequence.to_owned(),
                    remedy: format!("grant it {}", need.name),
                });
                Capability { name: need.serves, missing }
            })
            .collect()
    }
}

/// This process may attach programs to cgroups.
pub(crate) fn may_attach_to_cgroups() -> bool {
    own().is_ok_and(|own| own.effective.contains(CapabilitySet::NET_ADMIN))
}

fn for_loading(wants: Wants) -> CapabilitySet {
    let programs = FOR_LOADING.into_iter().fold(CapabilitySet::empty(), |all, (one, _)| all | one);
    if wants.dns { programs | CapabilitySet::NET_ADMIN } else { programs }
}

fn for_running(wants: Wants) -> CapabilitySet {
    let wanted = NEEDS.iter().filter(|need| (need.wanted)(wants));
    wanted.fold(CapabilitySet::empty(), |all, need| all | need.capability)
}

fn own() -> Result<CapabilitySets, PrivilegesError> {
    thread::capabilities(None)
        .map_err(|source| PrivilegesError { what: "read this process's capabilities", source })
}

/// Sets this thread's sets; the inheritable and the ambient one become empty.
fn set(effective: CapabilitySet, permitted: CapabilitySet) -> Result<(), PrivilegesError> {
    let inheritable = CapabilitySet::empty();
    thread::set_capabilities(None, CapabilitySets { effective, permitted, inheritable })
        .map_err(|source| PrivilegesError { what: "give up capabilities", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wants = Wants { conntrack: true, dns: true, enter_namespaces: false };

    /// Capabilities are a thread's own, and each test has one.
    fn status(field: &str) -> String {
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        text.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned()
    }

    fn bits(capabilities: &[CapabilitySet]) -> String {
        format!("{:016x}", capabilities.iter().fold(0, |all, one| all | one.bits()))
    }

    const RUNNING: [CapabilitySet; 3] =
        [CapabilitySet::NET_ADMIN, CapabilitySet::SYS_PTRACE, CapabilitySet::DAC_READ_SEARCH];

    /// Needs root.
    #[test]
    fn what_is_given_up_is_gone_for_good() {
        let mut privileges = Privileges::begin(ALL).unwrap();
        assert_eq!(privileges.missing_for_loading(), [""; 0]);
        let loading = [&RUNNING[..], &[CapabilitySet::BPF, CapabilitySet::PERFMON]].concat();
        assert_eq!([status("CapPrm:"), status("CapEff:")], [bits(&loading), bits(&loading)]);
        assert_eq!(status("NoNewPrivs:"), "1");
        assert_eq!(
            [status("CapBnd:"), status("CapInh:"), status("CapAmb:")],
            [bits(&[]), bits(&[]), bits(&[])]
        );
        let reading = privileges.loaded(|| {
            assert_eq!(status("CapEff:"), bits(&RUNNING));
            Ok::<(), String>(())
        });
        reading.unwrap();
        assert_eq!([status("CapPrm:"), status("CapEff:")], [bits(&RUNNING), bits(&RUNNING)]);
        assert!(set(CapabilitySet::BPF, CapabilitySet::BPF).is_err());
        assert!(privileges.capabilities().iter().all(|capability| capability.missing.is_none()));
        // A program that root executes would have everything otherwise.
        let said = std::process::Command::new("cat").arg("/proc/self/status").output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains(&format!("CapEff:\t{}", bits(&[]))), "{said}");
    }

    #[test]
    fn what_nobody_wants_is_not_kept() {
        let wants = Wants { conntrack: false, ..ALL };
        assert!(for_loading(wants).contains(CapabilitySet::NET_ADMIN));
        assert!(!for_running(wants).contains(CapabilitySet::NET_ADMIN));
        assert!(!for_loading(Wants { dns: false, ..wants }).contains(CapabilitySet::NET_ADMIN));
        assert!(!(for_loading(ALL) | for_running(ALL)).contains(CapabilitySet::SYS_ADMIN));
        assert!(for_running(Wants { enter_namespaces: true, ..ALL }).contains(CapabilitySet::SYS_ADMIN));
    }

    /// Needs root.
    #[test]
    fn where_the_kernel_wants_it_for_reading_one_is_kept() {
        let mut privileges = Privileges::begin(ALL).unwrap();
        privileges.loaded(|| Err("not permitted")).unwrap();
        assert_eq!(status("CapEff:"), bits(&[&RUNNING[..], &[CapabilitySet::BPF]].concat()));
    }

    #[test]
    fn what_is_missing_is_told_with_its_remedy() {
        let privileges = Privileges { wants: ALL, held: CapabilitySet::NET_ADMIN };
        assert_eq!(privileges.missing_for_loading(), ["CAP_BPF", "CAP_PERFMON"]);
        let missing: Vec<_> =
            privileges.capabilities().into_iter().filter_map(|one| Some((one.name, one.missing?))).collect();
        let names: Vec<_> = missing.iter().map(|(name, missing)| (*name, missing.remedy.as_str())).collect();
        let expected = [
            ("process_details", "grant it CAP_SYS_PTRACE"),
            ("foreign_files", "grant it CAP_DAC_READ_SEARCH"),
        ];
        assert_eq!(names, expected);
    }
}
