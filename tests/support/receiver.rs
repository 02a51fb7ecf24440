//! Receivers of log messages: sockets of the test's own, and the real journal of systemd in a mount namespace of its own.

use std::io::{BufReader, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use serde_json::Value;

use crate::guardian::Guardian;
use crate::wait::{PATIENCE, eventually};

/// What makes the journal's daemon work without a system around it.
const JOURNALD: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/log/journal /etc/systemd && \
     mount -t tmpfs tmpfs /etc/systemd && \
     printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=no\\nRateLimitBurst=0\\n' > /etc/systemd/journald.conf && \
     exec /usr/lib/systemd/systemd-journald";

/// Messages as they came, in order.
#[derive(Clone, Debug, Default)]
pub struct Messages(Arc<Mutex<Vec<String>>>);

impl Messages {
    /// Those so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many at least.
    pub async fn wait(&self, count: usize) -> Result<Vec<String>> {
        eventually(PATIENCE, "messages", || async {
            let all = self.all();
            Ok(if all.len() >= count { Ok(all) } else { Err((all.len(), all.last().cloned())) })
        })
        .await
    }

    fn push(&self, message: &[u8]) {
        let text = String::from_utf8_lossy(message).into_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

/// Reads datagrams of a unix socket, for as long as the test lasts.
pub fn unix(path: &Path) -> Result<Messages> {
    let socket = UnixDatagram::bind(path)?;
    let messages = Messages::default();
    let into = messages.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(length) = socket.recv(&mut buffer) {
            into.push(&buffer[..length]);
        }
    });
    Ok(messages)
}

/// The same of UDP.
pub fn udp() -> Result<(SocketAddr, Messages)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // It reads more slowly than the daemon sends.
    set_socket_recv_buffer_size_force(&socket, 8 << 20)?;
    let (address, messages) = (socket.local_addr()?, Messages::default());
    let into = messages.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length) = socket.recv(&mut buffer) {
            into.push(&buffer[..length]);
        }
    });
    Ok((address, messages))
}

/// A receiver of streams in which each message has its length before it.
#[derive(Debug)]
pub struct Tcp {
    /// What came over all connections.
    pub messages: Messages,
    connection: Arc<Mutex<Option<TcpStream>>>,
    address: SocketAddr,
    stopping: Arc<std::sync::atomic::AtomicBool>,
}

impl Tcp {
    /// Listens there; port 0: anywhere.
    pub fn listen(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let (messages, connection, stopping) = (Messages::default(), Arc::default(), Arc::default());
        let tcp = Self { messages, connection, address: listener.local_addr()?, stopping };
        let (into, current, stopping) =
            (tcp.messages.clone(), Arc::clone(&tcp.connection), Arc::clone(&tcp.stopping));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopping.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                *current.lock().unwrap_or_else(PoisonError::into_inner) = stream.try_clone().ok();
                let _ended = read_framed(stream, &into);
            }
        });
        Ok(tcp)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Tcp {
    /// It goes away, with the connection that is open.
    fn drop(&mut self) {
        self.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Some(stream) = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _gone = stream.shutdown(std::net::Shutdown::Both);
        }
        // The listener is told.
        let _gone = TcpStream::connect(self.address);
    }
}

/// Reads `LENGTH MESSAGE`, again and again.
fn read_framed(stream: TcpStream, into: &Messages) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            match byte[0] {
                b' ' => break,
                digit => length = length * 10 + usize::from(digit.checked_sub(b'0').context("no digit")?),
            }
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message)?;
        into.push(&message);
    }
}

/// systemd's journal. It ends when it is dropped.
#[derive(Debug)]
pub struct Journal(Child);

impl Journal {
    /// Starts it.
    pub async fn start() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", JOURNALD]).stdin(Stdio::null()).stderr(Stdio::null());
        let journal = Self(Guardian::shared()?.mark(&mut command).spawn().context("no unshare")?);
        eventually(PATIENCE, "the journal's socket", || async {
            let socket = journal.socket();
            Ok(if socket.exists() { Ok(()) } else { Err(socket) })
        })
        .await?;
        Ok(journal)
    }

    /// Its socket, as seen from here.
    pub fn socket(&self) -> PathBuf {
        format!("/proc/{}/root/run/systemd/journal/socket", self.0.id()).into()
    }

    /// What systemd's own reader finds of that identifier.
    pub fn read(&self, identifier: &str) -> Result<Vec<Value>> {
        let folder = format!("/proc/{}/root/run/log/journal", self.0.id());
        let of = format!("SYSLOG_IDENTIFIER={identifier}");
        let args = ["--directory", &folder, "--no-pager", "--all", "-o", "json", &of];
        let output = Command::new("journalctl").args(args).output().context("no journalctl")?;
        ensure!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout)?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}
