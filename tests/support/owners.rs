//! Whose an event is, beside whose it should be.

use anyhow::{Context, Result, ensure};
use observer_proto::v1::{Event, PeerKind, Workload, WorkloadKind};

use crate::container::Container;
use crate::pod::Pod;
use crate::watch::tcp;

/// The workload is that pod.
pub fn is_pod(workload: Option<&Workload>, pod: &Pod) -> Result<()> {
    let workload = workload.context("no workload")?;
    ensure!(
        workload.kind() == WorkloadKind::Pod
            && workload.pod == pod.name()
            && workload.namespace == pod.namespace()
            && workload.pod_uid == pod.uid(),
        "it is {workload:?}, not {}/{}",
        pod.namespace(),
        pod.name()
    );
    Ok(())
}

/// A side of a connection: the event's own workload is that container, and the other end is that pod.
pub fn is_between(
    event: &Event,
    pod: &Pod,
    container: &Container,
    other: &Pod,
    outgoing: bool,
) -> Result<()> {
    is_pod(event.workload.as_ref(), pod)?;
    let own = event.workload.as_ref().context("no workload")?;
    ensure!(own.container == container.name() && own.container_id == container.id(), "{event:?}");
    let tcp = tcp(event).context("no tcp")?;
    ensure!(tcp.outgoing == outgoing && u64::from(tcp.netns) == pod.netns().inode()?, "{event:?}");
    let (source, destination) =
        (tcp.source.as_ref().context("ends")?, tcp.destination.as_ref().context("ends")?);
    let (near, far) = if outgoing { (source, destination) } else { (destination, source) };
    is_pod(near.workload.as_ref(), pod)?;
    is_pod(far.workload.as_ref(), other)?;
    ensure!(far.kind() == PeerKind::Pod, "{event:?}");
    Ok(())
}
