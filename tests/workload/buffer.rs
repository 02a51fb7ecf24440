//! A program that keeps in memory what its dependency has not taken: as long as that answers, little.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::args::Args;
use crate::report::say;

/// How many hand over at a time.
const SENDERS: usize = 4;

/// Makes an item each interval, and has it taken by the dependency: a connection, a byte there and a byte back. What is
/// not taken stays, and is tried again, until memory runs out.
pub(crate) fn buffer(args: &Args) -> Result<u8, String> {
    let to: SocketAddr = args.required("--to")?;
    let interval = Duration::from_millis(args.or("--interval-ms", 50)?);
    let bytes = args.or("--kib", 256_usize)? << 10;
    let timeout = Duration::from_millis(args.or("--timeout-ms", 1_500)?);
    let kept: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    for _ in 0..SENDERS {
        let kept = Arc::clone(&kept);
        thread::spawn(move || {
            loop {
                let item = kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(item) = item else {
                    thread::sleep(interval);
                    continue;
                };
                if !is_taken(to, timeout) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(item);
                }
            }
        });
    }
    say("{\"buffering\":true}");
    loop {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(vec![1; bytes]);
        thread::sleep(interval);
    }
}

fn is_taken(to: SocketAddr, timeout: Duration) -> bool {
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&to, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])
    };
    ask().is_ok()
}
