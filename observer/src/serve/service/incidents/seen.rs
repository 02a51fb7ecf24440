//! What of an incident somebody may see who may not see all of the node.

use observer_proto::v1::{Edge, Firing, Incident, TriggerKind, Workload, WorkloadKind};

use crate::filter::Scope;

/// What of an incident is to be seen; `None` for nothing. Who is hidden is in no list, and where a text might name them,
/// general words are told.
pub(super) fn seen(scope: &Scope, incident: &Incident) -> Option<Incident> {
    if scope.is_all() {
        return Some(incident.clone());
    }
    let workloads: Vec<Workload> =
        incident.workloads.iter().filter(|workload| sees(scope, workload)).cloned().collect();
    let first = workloads.first()?;
    let all = workloads.len() == incident.workloads.len();
    let firings: Vec<Firing> = incident.firings.iter().filter_map(|one| firing(scope, one)).collect();
    let whole =
        all && firings.len() == incident.firings.len() && firings.iter().all(|one| !hides(scope, one));
    let title = if whole {
        incident.title.clone()
    } else {
        let kind = firings.first().map_or("something happened", |one| words(one.kind()));
        format!("{}/{}: {kind}", first.namespace, first.pod)
    };
    // Who wrote it may have named anybody.
    let note = |note: &String| if all { note.clone() } else { String::new() };
    let (note, closing_note) = (note(&incident.note), note(&incident.closing_note));
    let (client, closed_by) = (String::new(), String::new());
    Some(Incident { title, firings, workloads, note, client, closed_by, closing_note, ..incident.clone() })
}

fn firing(scope: &Scope, firing: &Firing) -> Option<Firing> {
    firing.workload.as_ref().filter(|workload| sees(scope, workload))?;
    if !hides(scope, firing) {
        return Some(firing.clone());
    }
    let edge = firing.edge.as_ref().map(|edge| Edge {
        kind: edge.kind,
        port: edge.port,
        outgoing: edge.outgoing,
        ..Edge::default()
    });
    Some(Firing { reason: words(firing.kind()).to_owned(), edge, ..firing.clone() })
}

/// The edge leads to somebody who is hidden.
fn hides(scope: &Scope, firing: &Firing) -> bool {
    let Some(edge) = &firing.edge else { return false };
    let behind = edge.backend.as_ref();
    let workloads = [edge.workload.as_ref(), behind.and_then(|end| end.workload.as_ref())];
    let services = [Some(edge.service.as_str()), behind.map(|end| end.service.as_str())];
    workloads.into_iter().flatten().any(|workload| !sees(scope, workload))
        || services.into_iter().flatten().any(|service| !sees_service(scope, service))
}

fn sees(scope: &Scope, workload: &Workload) -> bool {
    match scope {
        Scope::All => true,
        Scope::Namespaces(namespaces) => {
            workload.kind() == WorkloadKind::Pod && namespaces.contains(&workload.namespace)
        }
    }
}

fn sees_service(scope: &Scope, service: &str) -> bool {
    let namespace = service.split_once('/').map_or("", |(namespace, _)| namespace);
    match scope {
        Scope::All => true,
        Scope::Namespaces(namespaces) => service.is_empty() || namespaces.contains(namespace),
    }
}

const fn words(kind: TriggerKind) -> &'static str {
    match kind {
        TriggerKind::Unspecified => "something happened",
        TriggerKind::Manual => "opened by a client",
        TriggerKind::ContainerFailure => "a container failed",
        TriggerKind::OomKill => "a process was killed for memory",
        TriggerKind::CrashLoop => "a container fails again and again",
        TriggerKind::ConnectFailures => "connects fail",
        TriggerKind::Retransmits => "segments are lost",
        TriggerKind::Resets => "connections are reset",
        TriggerKind::Latency => "connections are slower than usual",
        TriggerKind::Stall => "connections are not accepted, or not read",
        TriggerKind::DebugSession => "it was watched closely",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;

    fn pod(namespace: &str, pod: &str) -> Workload {
        let kind = WorkloadKind::Pod.into();
        Workload { kind, namespace: namespace.to_owned(), pod: pod.to_owned(), ..Workload::default() }
    }

    #[test]
    fn who_is_hidden_is_named_nowhere() {
        let edge = Edge { workload: Some(pod("pay", "db-0")), port: 5432, outgoing: true, ..Edge::default() };
        let reason = "9 of 9 attempts to connect shop/web -> pay/db-0:5432 fail".to_owned();
        let firing = Firing {
            kind: TriggerKind::ConnectFailures.into(),
            reason,
            workload: Some(pod("shop", "web")),
            edge: Some(edge),
            ..Firing::default()
        };
        let other = Firing { workload: Some(pod("pay", "db-0")), ..firing.clone() };
        let incident = Incident {
            title: "shop/web -> pay/db-0:5432: connects fail".to_owned(),
            note: "ask the pay team".to_owned(),
            closing_note: "the pay team did it".to_owned(),
            closed_by: "pay:somebody".to_owned(),
            firings: vec![firing, other],
            workloads: vec![pod("shop", "web"), pod("pay", "db-0")],
            ..Incident::default()
        };
        let of = |name: &str| Scope::Namespaces(Arc::new(BTreeSet::from([name.to_owned()])));
        let told = seen(&of("shop"), &incident).unwrap();
        assert_eq!(told.title, "shop/web: connects fail");
        assert!(!format!("{told:?}").contains("pay"), "{told:?}");
        assert_eq!(seen(&of("other"), &incident), None);
        assert_eq!(seen(&Scope::All, &incident).as_ref(), Some(&incident));
    }
}
