//! The two ends of a load's connections: in one network namespace, or in two.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::args::Args;

/// Where a load connects to, and where that is.
pub(super) struct Ends {
    /// The listening end.
    pub(super) to: SocketAddr,
    /// The file of its network namespace; none for this process's own.
    namespace: Option<String>,
}

impl Ends {
    /// `--port`, `--to` (loopback, unless it is given) and `--listen-in`.
    pub(super) fn from_args(args: &Args) -> Result<Self, String> {
        let to: IpAddr = args.or("--to", IpAddr::V4(Ipv4Addr::LOCALHOST))?;
        Ok(Self {
            to: SocketAddr::new(to, args.required("--port")?),
            namespace: args.text("--listen-in").map(str::to_owned),
        })
    }

    /// Listens there. A socket stays in the namespace that its thread was in when it was made.
    pub(super) fn listen(&self) -> Result<TcpListener, String> {
        let listen = || -> io::Result<TcpListener> {
            let Some(namespace) = &self.namespace else { return TcpListener::bind(self.to) };
            let (own, there) = (File::open("/proc/thread-self/ns/net")?, File::open(namespace)?);
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network))?;
            let listener = TcpListener::bind(self.to);
            move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network))?;
            listener
        };
        listen().map_err(|error| format!("cannot listen at {}: {error}", self.to))
    }
}

/// Has a thread answer one connection after the other, as long as this process runs.
pub(super) fn serve(listener: TcpListener, answer: impl Fn(TcpStream) -> io::Result<()> + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(&answer) {
                eprintln!("workload: the answering side: {error}");
            }
        }
    });
}
