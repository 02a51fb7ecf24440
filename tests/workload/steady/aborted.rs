//! Connections that end with a reset as soon as they are accepted: the cheapest way to make many events happen.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::Work;
use super::sockets::Ends;

/// One connection after the other, both ends of it in one thread.
pub(super) struct Aborted {
    to: SocketAddr,
    listener: TcpListener,
}

impl Aborted {
    pub(super) fn new(ends: &Ends) -> Result<Self, String> {
        Ok(Self { to: ends.to, listener: ends.listen()? })
    }
}

impl Work for Aborted {
    fn step(&mut self) -> io::Result<u64> {
        let asking = TcpStream::connect(self.to)?;
        let (accepted, _) = self.listener.accept()?;
        // Its end is a reset then, and leaves no port in use.
        set_socket_linger(&asking, Some(Duration::ZERO))?;
        drop(asking);
        drop(accepted);
        Ok(1)
    }
}
