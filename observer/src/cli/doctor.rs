//! `observer doctor`: what this kernel and machine can do, without a daemon.

use std::borrow::Cow;
use std::io::Write;
use std::process::ExitCode;

use observer_proto::v1;

use super::options::Output;
use crate::client::{Look, Paint, escape, write_capability, write_value};
use crate::inventory::cgroups::{self, Cgroups};
use crate::inventory::kubernetes::ApiAccess;
use crate::inventory::{CriEndpoint, host, surroundings};
use crate::privileges::{Privileges, Wants};
use crate::probe;
use crate::status::{Capability, Missing};

/// Flags of `observer doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) output: Output,
}

/// What was found out about this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diagnosis {
    /// Headline facts, such as the kernel's release and whether this is root.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What can be seen and what not.
    pub(crate) capabilities: Vec<Capability>,
    /// The names of the capabilities without which the daemon is of no use.
    pub(crate) essential: Vec<&'static str>,
}

impl Diagnosis {
    /// Nothing essential is missing.
    fn is_sound(&self) -> bool {
        !self.capabilities.iter().any(|one| one.missing.is_some() && self.essential.contains(&one.name))
    }
}

/// Tries out what this machine can do; leaves nothing behind.
///
/// With the daemon's privileges: all others are given up first.
pub(super) fn diagnose() -> anyhow::Result<Diagnosis> {
    let release = host::kernel_release();
    let privileges = Privileges::begin(Wants { conntrack: true, dns: true, enter_namespaces: false })?;
    let missing = privileges.missing_for_loading();
    let mut capabilities = probe::examine(&release, &cgroups::root(), &missing);
    capabilities.extend(privileges.capabilities());
    let (cgroups, cgroup_capability) = cgroups();
    capabilities.push(cgroup_capability);
    capabilities.extend(surroundings::hidden(true));
    let sockets: Vec<String> = CriEndpoint::usual()
        .iter()
        .filter(|endpoint| endpoint.socket().exists())
        .map(ToString::to_string)
        .collect();
    let runtimes = if sockets.is_empty() {
        "no CRI socket at the usual places: containers show by id; name one with --cri-endpoint".to_owned()
    } else {
        sockets.join(", ")
    };
    let privileges =
        if missing.is_empty() { "sufficient".to_owned() } else { format!("lacks {}", missing.join(", ")) };
    Ok(Diagnosis {
        facts: vec![
            ("node", host::node_name()),
            ("kernel", release),
            ("privileges", privileges),
            ("cgroups", cgroups),
            ("container runtimes", runtimes),
            ("kubernetes", kubernetes()),
        ],
        capabilities,
        essential: vec!["privileges", "btf"],
    })
}

/// Where a daemon with these surroundings would ask the Kubernetes API.
fn kubernetes() -> String {
    match ApiAccess::find() {
        Some(ApiAccess::InCluster) => "the API as this pod's service account".to_owned(),
        Some(ApiAccess::Kubeconfig(path)) => format!("the API as {} says", path.display()),
        None => {
            "no service account and no KUBECONFIG: other nodes' pods and services show by address; name a file with \
             --kubernetes"
                .to_owned()
        }
    }
}

fn cgroups() -> (String, Capability) {
    let (fact, missing) = match Cgroups::find() {
        Ok(cgroups) => (format!("version 2 at {}", cgroups.root().display()), None),
        Err(error) => (
            "no version 2 hierarchy".to_owned(),
            Some(Missing {
                reason: error.to_string(),
                consequence: "nothing can be attributed to containers or units".to_owned(),
                remedy: "mount cgroup2, as systemd does; in a pod, the node's /sys/fs/cgroup".to_owned(),
            }),
        ),
    };
    (fact, Capability { name: "attribution", missing })
}

/// Shows the diagnosis; 1 where something essential is missing.
pub(super) fn run(args: &Args, diagnosis: &Diagnosis, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    write(out, &args.output.look(), diagnosis)?;
    Ok(if diagnosis.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(out: &mut dyn Write, look: &Look, diagnosis: &Diagnosis) -> std::io::Result<()> {
    if look.is_whole() {
        return write_value(out, look, &whole(diagnosis));
    }
    for (name, fact) in &diagnosis.facts {
        writeln!(out, "{} {}", look.painter.paint(Paint::Bold, format!("{name}:")), escape(fact))?;
    }
    for capability in &diagnosis.capabilities {
        write_capability(out, look, &to_proto(capability))?;
    }
    let missing = diagnosis.capabilities.iter().filter(|one| one.missing.is_some()).count();
    let (paint, verdict): (_, Cow<'_, str>) = match (diagnosis.is_sound(), missing) {
        (true, 0) => (Paint::Good, "everything can be seen here".into()),
        (true, 1) => (Paint::Warning, "the daemon can run, 1 capability is missing".into()),
        (true, more) => {
            (Paint::Warning, format!("the daemon can run, {more} capabilities are missing").into())
        }
        (false, _) => (Paint::Failure, "the daemon cannot do its work here: see the remedies above".into()),
    };
    writeln!(out, "{}", look.painter.paint(paint, verdict))
}

/// All that was found out.
fn whole(diagnosis: &Diagnosis) -> serde_json::Value {
    let facts: serde_json::Map<_, _> =
        diagnosis.facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.as_str().into())).collect();
    let capability = |one: &Capability| {
        let v1::Capability { name, available, reason, consequence, remedy } = to_proto(one);
        let essential = diagnosis.essential.contains(&one.name);
        serde_json::json!({
            "name": name, "available": available, "essential": essential,
            "reason": reason, "consequence": consequence, "remedy": remedy,
        })
    };
    let capabilities: Vec<_> = diagnosis.capabilities.iter().map(capability).collect();
    serde_json::json!({ "sound": diagnosis.is_sound(), "facts": facts, "capabilities": capabilities })
}

fn to_proto(capability: &Capability) -> v1::Capability {
    let Capability { name, missing } = capability;
    let available = missing.is_none();
    let Missing { reason, consequence, remedy } = missing.clone().unwrap_or_else(|| Missing {
        reason: String::new(),
        consequence: String::new(),
        remedy: String::new(),
    });
    v1::Capability { name: (*name).to_owned(), available, reason, consequence, remedy }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::client::{Chosen, Format, Painter, TimeFormat};

    fn diagnosis(missing: &'static str) -> Diagnosis {
        let gone = Missing {
            reason: "no BTF".to_owned(),
            consequence: "nothing is seen".to_owned(),
            remedy: "a kernel with CONFIG_DEBUG_INFO_BTF".to_owned(),
        };
        let one = |name| Capability { name, missing: (name == missing).then(|| gone.clone()) };
        Diagnosis {
            facts: vec![("kernel", "6.12.0".to_owned()), ("root", "no\x1b".to_owned())],
            capabilities: ["btf", "tcp_reset"].map(one).to_vec(),
            essential: vec!["btf"],
        }
    }

    fn shown(format: Format, diagnosis: &Diagnosis) -> String {
        let painter = Painter { enabled: false };
        let look = Look {
            format,
            painter,
            width: None,
            times: TimeFormat::Time,
            zone: TimeZone::UTC,
            chosen: Chosen::All,
        };
        let mut out = Vec::new();
        write(&mut out, &look, diagnosis).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_missing_comes_with_its_remedy() {
        let expected = "\
kernel: 6.12.0
root: no\\x1b
  no  btf: no BTF
      missing: nothing is seen
      remedy: a kernel with CONFIG_DEBUG_INFO_BTF
  yes tcp_reset
the daemon cannot do its work here: see the remedies above
";
        assert_eq!(shown(Format::Compact, &diagnosis("btf")), expected);
        assert!(
            shown(Format::Compact, &diagnosis("tcp_reset")).ends_with("can run, 1 capability is missing\n")
        );
        assert!(shown(Format::Compact, &diagnosis("")).ends_with("everything can be seen here\n"));
        assert!(!diagnosis("btf").is_sound() && diagnosis("tcp_reset").is_sound());
    }

    #[test]
    fn each_format_is_what_is_written_down() {
        for (format, name) in [
            (Format::Compact, "compact"),
            (Format::Wide, "wide"),
            (Format::Json, "json"),
            (Format::Yaml, "yaml"),
        ] {
            let path = format!("golden/outputs/doctor.{name}.txt");
            expect_test::expect_file![path].assert_eq(&shown(format, &diagnosis("tcp_reset")));
        }
    }

    #[test]
    fn json_is_one_line() {
        let line = shown(Format::Json, &diagnosis("tcp_reset"));
        assert_eq!(line.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["sound"], true);
        assert_eq!(value["capabilities"][0]["essential"], true);
        assert_eq!(value["capabilities"][1]["reason"], "no BTF");
    }
}
