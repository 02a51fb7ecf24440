//! The same of what was told, to be hidden as it would have been when it happened.

use observer_proto::v1::event::Detail;
use observer_proto::v1::{Endpoint, Event, ExecOrigin, SignalOrigin, Workload};

use super::Scope;
use crate::filter::told;

impl Scope {
    /// Hides what is not to be seen of an event whose owner is; tells whether there was anything.
    pub(in crate::filter) fn hide_told(&self, event: &mut Event) -> bool {
        let sees = |workload: &Workload| self.sees(&told::workload(workload));
        if let Some(Detail::ProcessExec(exec)) = &mut event.detail {
            let hides = exec.entered.as_ref().is_some_and(|entered| !sees(entered));
            if hides {
                exec.set_origin(ExecOrigin::Unspecified);
                exec.entered = None;
                exec.entered_namespaces.clear();
            }
            return hides;
        }
        if let Some(Detail::Signal(signal)) = &mut event.detail {
            let hides = signal.sender_workload.as_ref().is_some_and(|of| !sees(of));
            if hides {
                signal.sender = None;
                signal.sender_workload = None;
                signal.set_origin(SignalOrigin::Unspecified);
            }
            return hides;
        }
        let Some(tcp) = event.tcp_mut() else { return false };
        let hides = |end: &Endpoint| {
            end.workload.as_ref().is_some_and(|workload| !sees(workload)) || self.hides_service(&end.service)
        };
        let far = if tcp.outgoing { &mut tcp.destination } else { &mut tcp.source };
        let mut hidden = false;
        if let Some(far) = far.as_mut().filter(|far| hides(far)) {
            hidden = true;
            far.workload = None;
            far.service.clear();
            far.node_name.clear();
        }
        if tcp.backend.as_ref().is_some_and(hides) {
            hidden = true;
            tcp.backend = None;
        }
        hidden
    }

    /// A service, as `namespace/name`, is one of others.
    pub(in crate::filter) fn hides_service(&self, service: &str) -> bool {
        let Self::Namespaces(namespaces) = self else { return false };
        let namespace = service.split_once('/').map_or("", |(namespace, _)| namespace);
        !service.is_empty() && !namespaces.contains(namespace)
    }
}
