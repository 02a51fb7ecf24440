//! How messages of syslog travel: datagrams, or a stream in which each has its length before it (RFC 6587).

use std::io;
use std::path::Path;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, lookup_host};

use super::journal::Journal;
use crate::config::exporters::Address;

/// How long a receiver may take to be reached and to take a message.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What a receiver says is read away so often before a message. One that goes on and on is no reason to wait.
const READS: usize = 16;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It may be taken later.
    #[error(transparent)]
    Io(io::Error),
    /// It never will be.
    #[error("the message is larger than a datagram")]
    TooLarge,
    /// Nor will this one, which cannot be written as one.
    #[error("the message cannot be written")]
    Unfit(#[source] io::Error),
}

/// An open way.
#[derive(Debug)]
pub(super) enum Transport {
    Journal(Journal),
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Transport {
    /// Opens one.
    pub(super) async fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Journal(path) => Ok(Self::Journal(Journal::open(path)?)),
            Address::Unix(path) => Ok(Self::Unix(datagrams(path)?)),
            Address::Udp(host) => udp(host).await.map(Self::Udp),
            Address::Tcp(host) => tcp(host).await.map(Self::Tcp),
        }
    }

    /// Sends one message.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), Refused> {
        match self {
            // It has another form of message.
            Self::Journal(_) => Err(Refused::TooLarge),
            Self::Unix(socket) => Ok(socket.send(message).await.map(drop)?),
            Self::Udp(socket) => Ok(socket.send(message).await.map(drop)?),
            Self::Tcp(stream) => {
                still_there(stream)?;
                let framed = [format!("{} ", message.len()).as_bytes(), message].concat();
                Ok(stream.write_all(&framed).await?)
            }
        }
    }
}

/// A socket that sends to that one.
pub(super) fn datagrams(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

async fn udp(host: &str) -> io::Result<UdpSocket> {
    let mut last = None;
    for address in lookup_host(host).await? {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("the host has no address")))
}

async fn tcp(host: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    // A receiver that went away without a word is found out by what it does not acknowledge.
    SockRef::from(&stream).set_tcp_user_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A receiver says nothing; where there is an end to read, it has gone, and would not take what is sent.
fn still_there(stream: &TcpStream) -> io::Result<()> {
    let mut said = [0; 512];
    for _ in 0..READS {
        match stream.try_read(&mut said) {
            Ok(0) => return Err(io::ErrorKind::ConnectionReset.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_a_receiver_says_is_not_read_for_ever_and_its_end_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tcp(&listener.local_addr().unwrap().to_string()).await.unwrap();
        let (mut receiver, _) = listener.accept().await.unwrap();
        still_there(&stream).unwrap();
        receiver.write_all(&vec![0; 32 << 10]).await.unwrap();
        drop(receiver);
        let ended = tokio::time::timeout(PATIENCE, async {
            let mut looks = 0;
            while still_there(&stream).is_ok() {
                looks += 1;
                stream.readable().await.unwrap();
            }
            looks
        });
        assert!(ended.await.unwrap() >= (32 << 10) / (READS * 512));
    }
}
