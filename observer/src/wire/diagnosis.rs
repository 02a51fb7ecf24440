//! Verdicts on the wire.

use observer_proto::v1;

use crate::diagnose::{Diagnosis, Evidence, Finding, Unit, Verdict};

/// The verdict on an edge.
pub(crate) fn diagnosis(diagnosis: &Diagnosis) -> v1::Diagnosis {
    let Diagnosis { verdict: Finding { verdict: found, evidence: figures }, others } = diagnosis;
    v1::Diagnosis {
        verdict: verdict(*found).into(),
        evidence: figures.iter().map(evidence).collect(),
        others: others.iter().map(finding).collect(),
    }
}

fn finding(finding: &Finding) -> v1::Finding {
    let Finding { verdict: found, evidence: figures } = finding;
    v1::Finding { verdict: verdict(*found).into(), evidence: figures.iter().map(evidence).collect() }
}

/// A figure.
pub(super) fn evidence(evidence: &Evidence) -> v1::Evidence {
    let Evidence { figure, value, of, unit } = evidence;
    let unit = match unit {
        Unit::Count => v1::Unit::Count,
        Unit::Nanoseconds => v1::Unit::Nanoseconds,
        Unit::Bytes => v1::Unit::Bytes,
    };
    v1::Evidence { figure: (*figure).to_owned(), value: *value, of: *of, unit: unit.into() }
}

const fn verdict(verdict: Verdict) -> v1::Verdict {
    match verdict {
        Verdict::Healthy => v1::Verdict::Healthy,
        Verdict::NetworkLoss => v1::Verdict::NetworkLoss,
        Verdict::NetworkLatency => v1::Verdict::NetworkLatency,
        Verdict::PeerNotAccepting => v1::Verdict::PeerNotAccepting,
        Verdict::PeerNotReading => v1::Verdict::PeerNotReading,
        Verdict::OwnProcessNotReading => v1::Verdict::OwnProcessNotReading,
        Verdict::OwnSendBuffer => v1::Verdict::OwnSendBuffer,
        Verdict::Refused => v1::Verdict::Refused,
        Verdict::Unreachable => v1::Verdict::Unreachable,
        Verdict::Unknown => v1::Verdict::Unknown,
    }
}
