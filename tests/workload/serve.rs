//! The server's side: answers in the way that a test asked for, or does not even accept.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, ipproto, listen, socket, sockopt};

use crate::args::Args;
use crate::process;
use crate::report::say;

/// What a connection gets.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Everything comes back.
    Echo,
    /// Everything is read and nothing said.
    Sink,
    /// Nothing is read, so that the peer's window closes.
    Stall,
    /// The connection is reset as soon as it is accepted.
    Reset,
    /// For each request of that many bytes, a response of that many.
    Respond { request: usize, response: usize },
}

impl Manner {
    fn from_args(args: &Args) -> Result<Self, String> {
        if args.has("--sink") {
            return Ok(Self::Sink);
        }
        if args.has("--stall") {
            return Ok(Self::Stall);
        }
        if args.has("--reset") {
            return Ok(Self::Reset);
        }
        match (args.optional("--request")?, args.optional("--response")?) {
            (Some(request), Some(response)) => Ok(Self::Respond { request, response }),
            (None, None) => Ok(Self::Echo),
            _ => Err("--request and --response go together".to_owned()),
        }
    }
}

/// Serves until it is killed, a thread a connection.
pub(crate) fn serve(args: &Args) -> Result<u8, String> {
    let manner = Manner::from_args(args)?;
    let log = args.has("--log");
    let listener = listener(args, 4096)?;
    announce(&listener)?;
    if let Some(late) = args.milliseconds("--accept-after-ms")? {
        thread::sleep(late);
    }
    let most = args.or("--accept", usize::MAX)?;
    for stream in listener.incoming().take(most) {
        match stream {
            Ok(stream) => {
                let spawned =
                    thread::Builder::new().stack_size(128 << 10).spawn(move || answer(stream, manner, log));
                if let Err(error) = spawned {
                    eprintln!("workload: no thread for a connection: {error}");
                }
            }
            // Out of file descriptors: the connections that end make room.
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
    say("{\"accepting\":false}");
    process::pause()
}

/// Listens and never accepts: once `backlog` + 1 connections wait, the kernel drops what else comes.
pub(crate) fn listen_only(args: &Args) -> Result<u8, String> {
    let listener = listener(args, args.required("--backlog")?)?;
    announce(&listener)?;
    process::pause()
}

/// A listener for IPv4 and IPv6 alike (as most servers have), or for IPv4 alone.
fn listener(args: &Args, backlog: i32) -> Result<TcpListener, String> {
    let port: u16 = args.required("--port")?;
    let (family, address) = if args.has("--v4") {
        (AddressFamily::INET, IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    } else {
        (AddressFamily::INET6, IpAddr::V6(Ipv6Addr::UNSPECIFIED))
    };
    let open = || -> rustix::io::Result<TcpListener> {
        let fd = socket(family, SocketType::STREAM, Some(ipproto::TCP))?;
        if family == AddressFamily::INET6 {
            sockopt::set_ipv6_v6only(&fd, false)?;
        }
        sockopt::set_socket_reuseaddr(&fd, true)?;
        bind(&fd, &SocketAddr::new(address, port))?;
        listen(&fd, backlog)?;
        Ok(TcpListener::from(fd))
    };
    open().map_err(|error| format!("cannot listen on port {port}: {error}"))
}

fn announce(listener: &TcpListener) -> Result<(), String> {
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    say(&format!("{{\"listening\":{port}}}"));
    Ok(())
}

fn answer(mut stream: TcpStream, manner: Manner, log: bool) {
    let addresses = stream.peer_addr().and_then(|peer| Ok((peer, stream.local_addr()?)));
    let _ = stream.set_nodelay(true);
    let mut received = 0;
    let mut sent = 0;
    let result = converse(&mut stream, manner, &mut received, &mut sent);
    drop(stream);
    if log && let Ok((peer, local)) = addresses {
        let error = result
            .err()
            .map_or(String::new(), |error| format!(",\"errno\":{}", error.raw_os_error().unwrap_or(0)));
        say(&format!(
            "{{\"accepted\":\"{}\",\"local\":\"{}\",\"received\":{received},\"sent\":{sent}{error}}}",
            canonical(peer),
            canonical(local),
        ));
    }
}

/// Talks until the peer ends it, and counts both ways.
fn converse(stream: &mut TcpStream, manner: Manner, received: &mut u64, sent: &mut u64) -> io::Result<()> {
    let mut buffer = vec![0_u8; 64 << 10];
    match manner {
        Manner::Echo | Manner::Sink => loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            *received += count as u64;
            if matches!(manner, Manner::Echo) {
                stream.write_all(&buffer[..count])?;
                *sent += count as u64;
            }
        },
        Manner::Stall => loop {
            thread::park();
        },
        Manner::Reset => Ok(sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))?),
        Manner::Respond { request, response } => {
            let body = vec![b'r'; response];
            let mut pending = 0;
            loop {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                *received += count as u64;
                pending += count;
                while pending >= request.max(1) {
                    pending -= request.max(1);
                    stream.write_all(&body)?;
                    *sent += response as u64;
                }
            }
        }
    }
}

/// An address as a person writes it: an IPv4 peer of an IPv6 socket is IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        // With its scope, if it has one.
        IpAddr::V6(_) => address,
        v4 @ IpAddr::V4(_) => SocketAddr::new(v4, address.port()),
    }
}
