//! What can be seen here and what not, with the consequence and the remedy: for `doctor` and the status.

use std::path::Path;

use super::attach::DNS;
use super::deeper;
use super::features::{Features, HOOKS};
use super::load::{Cause, Loaded, Refused, RingSizes};
use super::sockets::{ITERATORS, SAMPLE};
use crate::status::{Capability, Missing};

/// Each capability that programs serve, and what is not seen without it.
const CONSEQUENCES: &[(&str, &str)] = &[
    ("process_exec", "executed programs are not seen, and containers' starts neither"),
    ("process_exit", "ends of processes and containers are not seen"),
    ("oom_kill", "OOM kills are told by the exit alone"),
    ("signal_sender", "who killed a container or asked it to end is not seen"),
    ("container_lifetime", "a container is known only once it does something, and may be named late"),
    ("tcp_connections", "connections, their latency, failures and counters are not seen"),
    ("tcp_retransmit", "retransmits show in a connection's counters only, not as events"),
    ("tcp_reset", "resets are not seen"),
    ("tcp_samples", "live connections show no counters before they end"),
    ("tcp_adoption", "connections and listeners that are older than the daemon are not followed"),
    ("debug_responses", "debugging sessions do not show how long processes take to answer"),
    ("debug_drops", "debugging sessions do not show the packets that the kernel drops"),
    ("debug_signals", "debugging sessions do not show signals"),
    ("debug_open_failures", "debugging sessions do not show the files that processes fail to open"),
    (DNS_NAMES, "outside addresses show without the names that were looked up for them"),
];

/// The capability that is there only if it is asked for.
pub(crate) const DNS_NAMES: &str = "dns_names";

/// What the programs serve, from what the kernel refused; names of outside addresses only if asked for (`dns`).
pub(crate) fn capabilities(refused: &[Refused], dns: bool) -> Vec<Capability> {
    CONSEQUENCES
        .iter()
        .filter(|(name, _)| dns || *name != DNS_NAMES)
        .map(|&(name, consequence)| {
            let programs: Vec<&Refused> =
                refused.iter().filter(|refused| capability_of(refused.program) == name).collect();
            let reasons: Vec<String> =
                programs.iter().map(|refused| format!("{}: {}", refused.program, refused.reason)).collect();
            let missing = (!reasons.is_empty()).then(|| Missing {
                reason: reasons.join("; "),
                consequence: consequence.to_owned(),
                remedy: remedy(&programs),
            });
            Capability { name, missing }
        })
        .collect()
}

/// What the kernel tells of a reset beside that it happened.
pub(crate) fn reset_reason(features: &Features) -> Capability {
    let missing = features.reset_reasons.is_empty().then(|| Missing {
        reason: "this kernel names no reasons for resets".to_owned(),
        consequence: "resets show their cause alone, as it follows from the socket".to_owned(),
        remedy: "a kernel of 6.10 or later".to_owned(),
    });
    Capability { name: "tcp_reset_reason", missing }
}

fn capability_of(program: &str) -> &'static str {
    if let Some(name) = deeper::capability_of(program) {
        return name;
    }
    let hooked = HOOKS.iter().find(|(hook, _)| *hook == program).map(|&(_, capability)| capability);
    hooked.unwrap_or(match program {
        SAMPLE => "tcp_samples",
        DNS => DNS_NAMES,
        _ => "tcp_adoption",
    })
}

fn remedy(refused: &[&Refused]) -> String {
    let remedy = match refused.first().map(|refused| refused.cause) {
        Some(Cause::Configuration) => "take it out of disabled_hooks in the configuration",
        Some(Cause::Privileges) => "see `privileges`",
        Some(Cause::Functions) => "a kernel that lets its functions be hooked (fentry, fexit)",
        Some(Cause::CostlyOpens) => {
            "`observer debug --failed-opens`, which makes every system call of the machine take longer meanwhile; or a \
             kernel that lets its functions be hooked (fexit)"
        }
        Some(Cause::NetAdmin) => "grant it CAP_NET_ADMIN",
        Some(Cause::Cgroups) => "mount cgroup2, as systemd does",
        Some(Cause::Kernel) | None => {
            "a kernel of 5.15 or later with BTF; if it is one, please report this message"
        }
    };
    remedy.to_owned()
}

/// The smallest rings there are: a page each, which is larger than 4 KiB on some machines.
fn least_rings() -> RingSizes {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(1 << 16);
    RingSizes { process: page, network: page }
}

/// Tries everything out on this machine and leaves nothing behind. The capabilities `btf` and
/// `privileges` are those without which nothing works; `cgroups` is the root of the hierarchy, `missing` names the
/// privileges for loading that this process lacks.
pub(crate) fn examine(release: &str, cgroups: &Path, missing: &[&str]) -> Vec<Capability> {
    let privileges = (!missing.is_empty()).then(|| Missing {
        reason: format!("this process lacks {}", missing.join(" and ")),
        consequence: "no probe can be loaded: nothing is seen".to_owned(),
        remedy: "run it as root, or grant these capabilities".to_owned(),
    });
    let features = Features::examine(release);
    let btf = features.as_ref().err().map(|error| Missing {
        reason: super::error_chain(error),
        consequence: "no probe can be loaded: nothing is seen".to_owned(),
        remedy: "a kernel of 5.15 or later built with CONFIG_DEBUG_INFO_BTF=y".to_owned(),
    });
    let refused = match (&features, missing.is_empty()) {
        (Ok(features), true) => match Loaded::load(features, least_rings(), 0, &[], Some(cgroups)) {
            Ok(loaded) => loaded.refused,
            Err(error) => all_refused(&super::error_chain(&error), Cause::Kernel),
        },
        (Ok(_), false) => all_refused("it could not be tried without the privileges", Cause::Privileges),
        (Err(_), _) => all_refused("the kernel has no BTF", Cause::Kernel),
    };
    let mut all = vec![
        Capability { name: "privileges", missing: privileges },
        Capability { name: "btf", missing: btf },
    ];
    all.extend(capabilities(&refused, true));
    all.extend(features.as_ref().ok().map(reset_reason));
    all
}

fn all_refused(reason: &str, cause: Cause) -> Vec<Refused> {
    HOOKS
        .iter()
        .map(|&(program, _)| program)
        .chain(ITERATORS.map(|(program, _)| program))
        .chain([DNS])
        .chain(deeper::first_programs())
        .map(|program| Refused { program, reason: reason.to_owned(), cause })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::cgroups;
    use super::*;

    #[test]
    fn every_hook_serves_a_capability_with_a_consequence() {
        for (_, capability) in HOOKS {
            assert!(CONSEQUENCES.iter().any(|(name, _)| name == capability), "{capability}");
        }
    }

    #[test]
    fn a_refused_program_takes_its_capability_alone() {
        let reason = "this kernel has no hook tcp_send_reset".to_owned();
        let refused = [Refused { program: "tcp_send_reset", reason, cause: Cause::Kernel }];
        let missing: Vec<_> = capabilities(&refused, true)
            .into_iter()
            .filter(|capability| capability.missing.is_some())
            .collect();
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].name, "tcp_reset");
    }

    /// Needs root: this machine is the judge.
    #[test]
    fn this_machine_lacks_nothing() {
        let missing: Vec<_> = examine("test", &cgroups(), &[])
            .into_iter()
            .filter(|capability| capability.missing.is_some())
            .collect();
        // It may not let its functions be hooked, and then says what would help.
        let (opens, missing): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|capability| capability.name == "debug_open_failures");
        assert_eq!(missing, Vec::new());
        let remedies = opens.iter().filter_map(|opens| opens.missing.as_ref()).map(|missing| &missing.remedy);
        assert!(remedies.into_iter().all(|remedy| remedy.contains("--failed-opens")), "{opens:?}");
    }
}
