//! The journal's own protocol: fields in a datagram, and where that is too long, in a sealed file of memory that is sent along.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::entry::Entry;
use super::transport::{Refused, datagrams};
use crate::config::exporters::Facility;

/// The journal's socket.
#[derive(Debug)]
pub(super) struct Journal(UnixDatagram);

impl Journal {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        datagrams(path).map(Self)
    }

    /// Sends one message. The journal that goes away says so with the next one.
    pub(super) async fn send(&self, entry: &Entry, facility: Facility) -> Result<(), Refused> {
        let message = encoded(entry, facility);
        match self.0.send(&message).await {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                Ok(self.send_file(&message).await?)
            }
            other => Ok(other.map(drop)?),
        }
    }

    /// Sends a file that nobody can change any more.
    async fn send_file(&self, message: &[u8]) -> io::Result<()> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("observer-journal", flags)?);
        file.write_all(message)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files = [file.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&files));
            // A socket of datagrams takes one without any bytes.
            sendmsg(&self.0, &[IoSlice::new(&[])], &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        };
        self.0.async_io(Interest::WRITABLE, send).await
    }
}

/// The message's fields.
fn encoded(entry: &Entry, facility: Facility) -> Vec<u8> {
    let Entry { severity, kind: _, time: _, text, fields } = entry;
    let mut out = Vec::with_capacity(512);
    field(&mut out, "MESSAGE", text);
    field(&mut out, "PRIORITY", &(*severity as u8).to_string());
    field(&mut out, "SYSLOG_FACILITY", &(facility as u8).to_string());
    field(&mut out, "SYSLOG_IDENTIFIER", "observer");
    for (name, value) in fields {
        field(&mut out, name, value);
    }
    out
}

/// One field: with its length where its value has more than one line.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend((value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
