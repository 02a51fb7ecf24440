//! Connect, send, receive, close.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::Work;
use super::sockets::{Ends, serve};

/// Bytes sent each way on a connection.
const BYTES: usize = 100;

/// One connection after the other.
pub(super) struct Connections {
    to: SocketAddr,
    /// The listening end, where it has no thread of its own.
    listener: Option<TcpListener>,
}

impl Connections {
    /// `one_thread`: both ends are in it.
    pub(super) fn new(ends: &Ends, one_thread: bool) -> Result<Self, String> {
        let listener = ends.listen()?;
        let listener = if one_thread {
            Some(listener)
        } else {
            serve(listener, answer);
            None
        };
        Ok(Self { to: ends.to, listener })
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; BYTES];
    stream.read_exact(&mut buffer)?;
    stream.write_all(&buffer)?;
    // Until the other side closes.
    stream.read(&mut buffer).map(|_nothing| ())
}

impl Work for Connections {
    fn step(&mut self) -> io::Result<u64> {
        let mut asking = TcpStream::connect(self.to)?;
        let mut buffer = [0; BYTES];
        asking.write_all(&buffer)?;
        let accepted = match &self.listener {
            Some(listener) => {
                let (mut accepted, _) = listener.accept()?;
                accepted.read_exact(&mut buffer)?;
                accepted.write_all(&buffer)?;
                Some(accepted)
            }
            None => None,
        };
        asking.read_exact(&mut buffer)?;
        drop(asking);
        drop(accepted);
        Ok(1)
    }
}
