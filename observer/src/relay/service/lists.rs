//! Calls that are answered at once: each node is asked, and what they say is one list.

mod weight;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use observer_proto::{Mask, v1};
use prost_types::FieldMask;
use tonic::Status;

use self::weight::weight;
use super::super::call::{Answer, Answers, Asker, Pace, Visit, ask};
use super::super::chosen::Chosen;
use super::super::join;
use super::super::node::{Node, nanos};
use super::Service;
use crate::filter::Purpose;
use crate::serve::{asked_mask, asked_order, fitting};

/// Connections listed where the client names no limit.
const CONNECTIONS_LISTED: usize = 10_000;
/// A daemon watches for two seconds before it gives verdicts.
const WATCHING: Duration = Duration::from_secs(3);
/// So it is asked together with more of them than others: most of the time they watch.
const WATCHED_AT_A_TIME: usize = 128;

impl Service {
    /// The live connections of all nodes, those that lead from one to another with both of their ends.
    pub(super) async fn connections(
        &self,
        asker: &Asker,
        request: v1::ListConnectionsRequest,
    ) -> Result<v1::ListConnectionsResponse, Status> {
        let v1::ListConnectionsRequest { allow, deny, limit, order, field_mask } = request;
        let mask = mask(field_mask, "Connection")?;
        let chosen = Chosen::checked(allow, deny, Purpose::Connections)?;
        asked_order(order)?;
        let by = v1::ConnectionOrder::try_from(order).unwrap_or_default();
        let Answers { given: answers, missing, held: _held } = self
            .ask(
                asker,
                &chosen,
                move |Visit { asker, mut observer, filters: (allow, deny), .. }| async move {
                    let request = v1::ListConnectionsRequest { allow, deny, limit, order, field_mask: None };
                    asker.heeded(observer.list_connections(asker.request(request)).await?)
                },
            )
            .await?;
        let total = sum(answers.iter().map(|answer| answer.told.total));
        let time = answers.iter().filter_map(|answer| answer.told.time).min_by_key(nanos);
        let ends: Vec<_> = answers
            .into_iter()
            .flat_map(|Answer { up, told }| {
                told.connections.into_iter().map(move |connection| (Arc::clone(&up.name), connection))
            })
            .collect();
        let told = ends.len();
        let mut connections = join::connections(ends);
        // Both ends of one were counted.
        let total = total.saturating_sub((told - connections.len()) as u64);
        connections.sort_by_cached_key(|connection| Reverse(weight(by, connection)));
        let limit = if limit == 0 { CONNECTIONS_LISTED } else { limit as usize };
        let connections = fitting(connections.into_iter().take(limit), mask.as_ref());
        Ok(v1::ListConnectionsResponse {
            connections,
            total,
            node_name: String::new(),
            time,
            missing_nodes: missing,
        })
    }

    /// The sockets that listen, of all nodes.
    pub(super) async fn listeners(
        &self,
        asker: &Asker,
        request: v1::ListListenersRequest,
    ) -> Result<v1::ListListenersResponse, Status> {
        let v1::ListListenersRequest { allow, deny, field_mask } = request;
        let mask = mask(field_mask, "Listener")?;
        let chosen = Chosen::checked(allow, deny, Purpose::Connections)?;
        let Answers { given: answers, missing, held: _held } = self
            .ask(
                asker,
                &chosen,
                move |Visit { asker, mut observer, filters: (allow, deny), .. }| async move {
                    let request = v1::ListListenersRequest { allow, deny, field_mask: None };
                    asker.heeded(observer.list_listeners(asker.request(request)).await?)
                },
            )
            .await?;
        let total = sum(answers.iter().map(|answer| answer.told.total));
        let time = answers.iter().filter_map(|answer| answer.told.time).min_by_key(nanos);
        let mut listeners: Vec<_> = answers
            .into_iter()
            .flat_map(|Answer { up, told }| {
                let placed = move |one| v1::Listener { node_name: up.name.to_string(), ..one };
                told.listeners.into_iter().map(placed)
            })
            .collect();
        listeners.sort_by_key(|one| {
            let fullness = u64::from(one.queue) * 1_000_000 / u64::from(one.queue_limit.max(1));
            Reverse((fullness, one.dropped))
        });
        let listeners = fitting(listeners.into_iter(), mask.as_ref());
        Ok(v1::ListListenersResponse {
            listeners,
            total,
            node_name: String::new(),
            time,
            missing_nodes: missing,
        })
    }

    /// The workloads of all nodes.
    pub(super) async fn workloads(
        &self,
        asker: &Asker,
        request: v1::ListWorkloadsRequest,
    ) -> Result<v1::ListWorkloadsResponse, Status> {
        let v1::ListWorkloadsRequest { allow, deny, field_mask } = request;
        let mask = mask(field_mask, "WorkloadStatus")?;
        let chosen = Chosen::checked(allow, deny, Purpose::Workloads)?;
        let Answers { given: answers, missing, held: _held } = self.workloads_of(asker, &chosen).await?;
        let mut workloads: Vec<_> = answers
            .into_iter()
            .flat_map(|Answer { up, told }| {
                let placed = move |one| v1::WorkloadStatus { node_name: up.name.to_string(), ..one };
                told.workloads.into_iter().map(placed)
            })
            .collect();
        workloads.sort_by_cached_key(|one| {
            let v1::Workload { namespace, pod, container, name, .. } =
                one.workload.clone().unwrap_or_default();
            (namespace, pod, container, name, one.node_name.clone())
        });
        let workloads = fitting(workloads.into_iter(), mask.as_ref());
        Ok(v1::ListWorkloadsResponse { workloads, node_name: String::new(), missing_nodes: missing })
    }

    /// The workloads that pass, node by node.
    pub(super) async fn workloads_of(
        &self,
        asker: &Asker,
        chosen: &Chosen,
    ) -> Result<Answers<v1::ListWorkloadsResponse>, Status> {
        self.ask(asker, chosen, |Visit { asker, mut observer, filters: (allow, deny), .. }| async move {
            let request = v1::ListWorkloadsRequest { allow, deny, field_mask: None };
            asker.heeded(observer.list_workloads(asker.request(request)).await?)
        })
        .await
    }

    /// Verdicts on the edges of all nodes, with what both ends of one tell.
    pub(super) async fn verdicts(
        &self,
        asker: &Asker,
        request: v1::ExplainRequest,
    ) -> Result<v1::ExplainResponse, Status> {
        let v1::ExplainRequest { allow, deny, field_mask } = request;
        let mask = mask(field_mask, "Summary")?;
        let chosen = Chosen::checked(allow, deny, Purpose::Summaries)?;
        let patience = self.settings.patience;
        let pace =
            Pace { at_a_time: WATCHED_AT_A_TIME, patience: patience + WATCHING, ..Pace::usual(patience) };
        let nodes = self.nodes_now()?;
        let visit = |Visit { asker, mut observer, filters: (allow, deny), .. }| async move {
            let request = v1::ExplainRequest { allow, deny, field_mask: None };
            asker.heeded(observer.explain(asker.request(request)).await?)
        };
        let asked = ask(asker, &nodes, &chosen, pace, visit);
        // Daemons watch for a while: meanwhile it is asked whose addresses are.
        let (asked, addresses) = tokio::join!(asked, addresses(&nodes, asker, patience));
        let Answers { given: answers, missing, held: _held } = asked?;
        let told = answers.into_iter().map(|Answer { up, told }| (Arc::clone(&up.name), told)).collect();
        let joined = join::verdicts(told, &addresses?);
        let edges = fitting(joined.edges.into_iter(), mask.as_ref());
        Ok(v1::ExplainResponse { edges, missing_nodes: missing, ..joined })
    }
}

/// Whose the addresses of these nodes are, as far as the client may see them.
pub(super) async fn addresses(
    nodes: &[Arc<Node>],
    asker: &Asker,
    patience: Duration,
) -> Result<join::Addresses, Status> {
    const NEEDED: [&str; 4] = ["workload.kind", "workload.pod_uid", "workload.container_id", "addresses"];
    let visit = |Visit { asker, mut observer, .. }| async move {
        let field_mask = Some(FieldMask { paths: NEEDED.map(str::to_owned).to_vec() });
        let request = v1::ListWorkloadsRequest { field_mask, ..v1::ListWorkloadsRequest::default() };
        asker.heeded(observer.list_workloads(asker.request(request)).await?)
    };
    let Answers { given: answers, held: _held, .. } =
        ask(asker, nodes, &Chosen::default(), Pace::usual(patience), visit).await?;
    let of = answers.iter().flat_map(|Answer { up, told }: &Answer<v1::ListWorkloadsResponse>| {
        told.workloads.iter().map(move |one| (&up.name, one))
    });
    Ok(join::Addresses::of(of))
}

/// All of them together.
fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// What is wanted of each; daemons are asked for all of it, as what joins two ends may not be wanted.
fn mask(asked: Option<FieldMask>, item: &str) -> Result<Option<Mask>, Status> {
    asked_mask(asked, item, &["node_name"])
}
