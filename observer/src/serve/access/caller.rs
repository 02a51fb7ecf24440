//! A client's connection, as calls know it.

use std::fmt;
use std::sync::Arc;

use tonic::{Request, Status};

use super::clients::{Presence, Reached};
use super::identity::Name;
use super::relayed::both;
use super::{Clients, Identity, Scope, Seat};

/// Who calls; goes with each request of a connection.
#[derive(Debug)]
pub(crate) struct Caller {
    name: Name,
    pid: Option<u32>,
    /// What it may see; `None` for nothing.
    scope: Option<Scope>,
    /// It may ask for others.
    relays: bool,
    /// It asks for another without being allowed to.
    presumes: bool,
    clients: Arc<Clients>,
    /// Its connection; `None` for one who is asked for, whose relay has one.
    _presence: Option<Presence>,
}

impl Caller {
    /// With one more connection, if that client may have one more.
    pub(in crate::serve) fn new(
        identity: &Identity,
        scope: Option<Scope>,
        relays: bool,
        clients: &Arc<Clients>,
    ) -> Option<Self> {
        let name = identity.name();
        let counted = if scope.is_some() { name.clone() } else { Name::without_a_rule() };
        let presence = clients.enter(&counted, identity.is_many())?;
        Some(Self {
            name,
            pid: identity.pid(),
            scope,
            relays,
            presumes: false,
            clients: Arc::clone(clients),
            _presence: Some(presence),
        })
    }

    /// Whoever it asks for, who is to see no more than that of what it sees itself.
    pub(super) fn asking_for(&self, name: &str, scope: Option<&Scope>) -> Self {
        let scope = self.scope.as_ref().zip(scope).and_then(|(own, asked)| both(own, asked));
        Self {
            // One that may not has its own limits, whatever names it makes up.
            name: if self.relays { self.name.asking_for(name) } else { self.name.clone() },
            pid: self.pid,
            scope,
            relays: false,
            presumes: !self.relays,
            clients: Arc::clone(&self.clients),
            _presence: None,
        }
    }

    /// What it may see; `None` for nothing.
    pub(in crate::serve) const fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// It may ask for others.
    pub(in crate::serve) const fn relays(&self) -> bool {
        self.relays
    }

    /// Lets a call begin: what it may show, and to whom. Or says why not; either is written down.
    pub(crate) fn admit<T>(call: &Request<T>, name: &str) -> Result<(Scope, Arc<Self>), Status> {
        // Whoever serves the connection has said so.
        let caller = call.extensions().get::<Arc<Self>>().map(Arc::clone);
        let caller = caller.ok_or_else(|| Status::unauthenticated("nobody knows who asks"))?;
        Ok((caller.enter(name)?, caller))
    }

    fn enter(&self, call: &str) -> Result<Scope, Status> {
        let admitted = match (&self.scope, self.clients.call(&self.name)) {
            _ if self.presumes => Err(Status::permission_denied(format!(
                "{}: no rule of the access file here says that it may ask for others (relay = true)",
                self.name
            ))),
            (_, Err(Reached(most))) => Err(Status::resource_exhausted(format!(
                "more than {most} calls in a second, as many as one client is allowed; ask less often",
            ))),
            (Some(scope), Ok(())) => Ok(scope.clone()),
            (None, Ok(())) => Err(Status::permission_denied(format!(
                "{} may see nothing here: no rule of the access file here is for it",
                self.name
            ))),
        };
        self.write_down(call, admitted.as_ref().map_err(Status::code));
        admitted
    }

    /// Its connection is ended: it may not see any more what it could see when it came in, or its certificate is not good
    /// any more.
    pub(in crate::serve) fn shown_out(&self) {
        log::info!(target: "audit", "client={} shown out: what it may see has changed", self.name);
    }

    /// What it is called where something is written down that it did.
    pub(crate) fn name(&self) -> String {
        self.name.to_string()
    }

    /// A place for a stream.
    pub(crate) fn seat(&self) -> Result<Seat, Status> {
        self.clients.seat(&self.name, self.name == Name::root()).map_err(|Reached(most)| {
            Status::resource_exhausted(format!(
                "{most} streams are open already, as many as are allowed to {}; end one or try again later",
                self.name
            ))
        })
    }

    /// A line of the audit. Nothing in it is a client's own text.
    fn write_down(&self, call: &str, admitted: Result<&Scope, tonic::Code>) {
        let Some(unwritten) = self.clients.line(&self.name) else { return };
        let pid = self.pid.map(|pid| format!(" pid={pid}")).unwrap_or_default();
        let before = if unwritten > 0 { format!(" unwritten={unwritten}") } else { String::new() };
        let result = match admitted {
            Ok(scope) => format!("allowed sees={scope}"),
            Err(code) => format!("refused code={code:?}"),
        };
        log::info!(target: "audit", "client={}{pid} call={call} {result}{before}", self.name);
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.name)
    }
}
