//! What events have in common.

use crate::v1::event::Detail;
use crate::v1::{
    Event, Tcp, TcpAccept, TcpClose, TcpConnect, TcpConnectFailure, TcpConnectPending, TcpReset, TcpResponse,
    TcpRetransmit,
};

impl Event {
    /// The connection, for an event that is about one.
    pub fn tcp(&self) -> Option<&Tcp> {
        match self.detail.as_ref()? {
            Detail::TcpConnect(TcpConnect { tcp, .. })
            | Detail::TcpAccept(TcpAccept { tcp, .. })
            | Detail::TcpConnectFailure(TcpConnectFailure { tcp, .. })
            | Detail::TcpConnectPending(TcpConnectPending { tcp, .. })
            | Detail::TcpRetransmit(TcpRetransmit { tcp, .. })
            | Detail::TcpReset(TcpReset { tcp, .. })
            | Detail::TcpClose(TcpClose { tcp, .. })
            | Detail::TcpResponse(TcpResponse { tcp, .. }) => tcp.as_ref(),
            Detail::ProcessExec(_)
            | Detail::ProcessExit(_)
            | Detail::OomKill(_)
            | Detail::ContainerStart(_)
            | Detail::ContainerStop(_)
            | Detail::ContainerReady(_)
            | Detail::ContainerCrashLoop(_)
            | Detail::PacketDrop(_)
            | Detail::Signal(_)
            | Detail::OpenFailure(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn tcp_mut(&mut self) -> Option<&mut Tcp> {
        match self.detail.as_mut()? {
            Detail::TcpConnect(TcpConnect { tcp, .. })
            | Detail::TcpAccept(TcpAccept { tcp, .. })
            | Detail::TcpConnectFailure(TcpConnectFailure { tcp, .. })
            | Detail::TcpConnectPending(TcpConnectPending { tcp, .. })
            | Detail::TcpRetransmit(TcpRetransmit { tcp, .. })
            | Detail::TcpReset(TcpReset { tcp, .. })
            | Detail::TcpClose(TcpClose { tcp, .. })
            | Detail::TcpResponse(TcpResponse { tcp, .. }) => tcp.as_mut(),
            Detail::ProcessExec(_)
            | Detail::ProcessExit(_)
            | Detail::OomKill(_)
            | Detail::ContainerStart(_)
            | Detail::ContainerStop(_)
            | Detail::ContainerReady(_)
            | Detail::ContainerCrashLoop(_)
            | Detail::PacketDrop(_)
            | Detail::Signal(_)
            | Detail::OpenFailure(_) => None,
        }
    }
}
