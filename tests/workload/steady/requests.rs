//! Requests and responses on connections that stay.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use super::Work;
use super::sockets::{Ends, serve};

/// Connections, asked in turn.
const CONNECTIONS: usize = 16;
/// Bytes of a request, and of its response.
const BYTES: usize = 100;

/// One request after the other.
pub(super) struct Requests {
    to: SocketAddr,
    open: Vec<TcpStream>,
    next: usize,
}

impl Requests {
    pub(super) fn new(ends: &Ends) -> Result<Self, String> {
        serve(ends.listen()?, |stream| {
            thread::Builder::new().stack_size(64 << 10).spawn(|| answer(stream)).map(|_thread| ())
        });
        Ok(Self { to: ends.to, open: Vec::new(), next: 0 })
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; BYTES];
    loop {
        match stream.read_exact(&mut buffer) {
            Ok(()) => stream.write_all(&buffer)?,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl Work for Requests {
    /// New ones in each run, so that whoever watches now saw them begin.
    fn begin(&mut self) -> io::Result<()> {
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(self.to)?;
            stream.set_nodelay(true)?;
            self.open.push(stream);
        }
        Ok(())
    }

    fn step(&mut self) -> io::Result<u64> {
        self.next = (self.next + 1) % self.open.len();
        let stream = &mut self.open[self.next];
        let mut buffer = [0; BYTES];
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        Ok(1)
    }

    fn is_timed(&self) -> bool {
        true
    }

    fn end(&mut self) -> io::Result<u64> {
        self.open.clear();
        Ok(0)
    }
}
