//! As many bytes as go through one connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::Work;
use super::sockets::{Ends, serve};

/// Bytes written, and read, at once.
const CHUNK: usize = 128 << 10;

/// One connection, filled as fast as it is emptied.
pub(super) struct Bulk {
    to: SocketAddr,
    open: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Bulk {
    pub(super) fn new(ends: &Ends) -> Result<Self, String> {
        serve(ends.listen()?, |mut stream| {
            let mut buffer = vec![0; CHUNK];
            while stream.read(&mut buffer)? > 0 {}
            Ok(())
        });
        Ok(Self { to: ends.to, open: None, buffer: vec![0; CHUNK] })
    }
}

impl Work for Bulk {
    fn begin(&mut self) -> io::Result<()> {
        self.open = Some(TcpStream::connect(self.to)?);
        Ok(())
    }

    fn step(&mut self) -> io::Result<u64> {
        let stream = self.open.as_mut().ok_or(ErrorKind::NotConnected)?;
        stream.write_all(&self.buffer)?;
        Ok(CHUNK as u64)
    }

    /// Waits until the other side has read all of it and closed.
    fn end(&mut self) -> io::Result<u64> {
        if let Some(mut stream) = self.open.take() {
            stream.shutdown(Shutdown::Write)?;
            let more = stream.read(&mut self.buffer)?;
            if more > 0 {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        Ok(0)
    }
}
