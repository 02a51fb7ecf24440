//! Attempts to connect that are refused: the cheapest way to make something happen.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};

use super::Work;
use super::sockets::Ends;

/// One attempt after the other, at a port where nobody listens.
pub(super) struct Refused {
    to: SocketAddr,
}

impl Refused {
    pub(super) fn new(ends: &Ends) -> Self {
        Self { to: ends.to }
    }
}

impl Work for Refused {
    fn step(&mut self) -> io::Result<u64> {
        match TcpStream::connect(self.to) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(1),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::other("somebody listens there")),
        }
    }
}
