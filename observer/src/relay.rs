//! The relay: asks the daemons of many nodes, and answers as if they were one.
//!
//! It holds nothing but its connections: whoever asks it is asked for at each daemon, with what he may see, and what they
//! answer is put together as it comes. So any number of relays can stand beside each other.

mod call;
mod chosen;
pub(crate) mod find;
mod join;
mod merge;
mod node;
mod nodes;
mod service;
mod windows;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::client::Tls;
use crate::serve::{ClientLimits, Listeners, ServeError};

use self::nodes::Nodes;
use self::service::Service;

/// What the relay is told to do.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where daemons are looked for.
    pub(crate) sources: find::Settings,
    /// By which certificates they are asked.
    pub(crate) tls: Tls,
    /// How long a daemon may take for a connection, and for the first answer of a call.
    pub(crate) patience: Duration,
    /// How long an event waits for earlier ones of other nodes.
    pub(crate) merge_window: Duration,
}

/// Serves until `shutdown` is done.
pub(crate) async fn serve(
    settings: Settings,
    listeners: Listeners,
    limits: ClientLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let mut tasks = JoinSet::new();
    let settings = Arc::new(settings);
    let found = find::start(settings.sources.clone(), &mut tasks);
    let nodes = Nodes::start(found, &settings, &mut tasks);
    listeners.serve(Service::new(nodes, settings).routes(), limits, shutdown).await
}
