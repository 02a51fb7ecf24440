//! The recorder's thread: takes what is handed over, and writes it when it is due.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::{Order, bytes, window_bytes};
use crate::inventory::host;
use crate::record::shared::Shared;
use crate::record::writer::Writer;

/// The thread.
pub(super) fn run(shared: &Arc<Shared>, orders: &Receiver<Order>) {
    let mut writer = Writer::new(Arc::clone(shared), host::now());
    loop {
        let idle_ns = writer.tick(host::now());
        let order = match orders.recv_timeout(Duration::from_nanos(idle_ns)) {
            Ok(order) => order,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => Order::Stop,
        };
        let now = host::now();
        match order {
            Order::Events(events) => {
                shared.waiting.fetch_sub(bytes(&events), Ordering::Relaxed);
                writer.events(&events, now);
            }
            Order::Behind(count, after, times) => writer.behind(count, after, times, now),
            Order::Amend(event) => {
                shared.waiting.fetch_sub(event.bytes, Ordering::Relaxed);
                writer.amend(&event, now);
            }
            Order::Complete(workload, until) => writer.complete(&workload, until, now),
            Order::Window(window, now) => {
                shared.waiting.fetch_sub(window_bytes(&window), Ordering::Relaxed);
                writer.window(&window, now);
            }
            Order::Commit(done) => {
                writer.commit_all(now);
                let _gone = done.send(()).is_err();
            }
            Order::Stop => {
                writer.stop(now);
                return;
            }
        }
    }
}
