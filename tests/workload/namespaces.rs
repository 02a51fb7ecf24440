//! Many network namespaces at once, and in the last one a connection. All of it goes with the process.
#![allow(unsafe_code, reason = "another mount namespace has no safe form")]

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rustix::mount::{MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::args::Args;
use crate::process;
use crate::report::say;

/// Makes namespaces that nothing holds but a mount each, as `ip netns add` does, in a mount namespace of this process's
/// own: whoever shall find them has to enter that first. In the last one a client is connected to a listener that never
/// accepts, so that no process has a descriptor of the server's end. `--listen`: in each of the others somebody listens.
pub(crate) fn namespaces(args: &Args) -> Result<u8, String> {
    let (count, port): (u32, u16) = (args.required("--count")?, args.required("--port")?);
    let dir: PathBuf = args.required("--dir")?;
    let began = Instant::now();
    let first = File::open("/proc/self/ns/net").map_err(|error| error.to_string())?;
    prepare(&dir).map_err(|error| format!("cannot prepare {}: {error}", dir.display()))?;
    let mut listeners = Vec::new();
    for number in 0..count {
        let after = |error| format!("after {number} namespaces: {error}");
        make(&dir.join(number.to_string())).map_err(after)?;
        if args.has("--listen") {
            listeners.push(TcpListener::bind(("0.0.0.0", port + 1)).map_err(after)?);
        }
    }
    let _held = connect(port).map_err(|error| format!("cannot connect in the last one: {error}"))?;
    // Then only its mount tells of it.
    move_into_link_name_space(first.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| error.to_string())?;
    say(&format!("{{\"made\":{count},\"after_ms\":{}}}", began.elapsed().as_millis()));
    process::pause()
}

fn prepare(dir: &PathBuf) -> std::io::Result<()> {
    // SAFETY: this process has one thread, and no file of it depends on its mount namespace.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    fs::create_dir_all(dir)?;
    mount("namespaces", dir, "tmpfs", rustix::mount::MountFlags::empty(), None)?;
    Ok(())
}

fn make(path: &PathBuf) -> std::io::Result<()> {
    File::create(path)?;
    // SAFETY: this process has one thread and no socket.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(mount_bind("/proc/thread-self/ns/net", path)?)
}

fn connect(port: u16) -> std::io::Result<(TcpListener, TcpStream)> {
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if !up.success() {
        return Err(std::io::Error::other("no loopback"));
    }
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    Ok((listener, stream))
}
