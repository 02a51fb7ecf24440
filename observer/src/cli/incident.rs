//! `observer incident`: what went wrong, the time around it, and its story.

use std::io::Write;
use std::time::SystemTime;

use observer_proto::v1::{
    CloseIncidentRequest, Incident, IncidentState, ListIncidentsRequest, OpenIncidentRequest,
    OpenIncidentResponse, WatchIncidentsRequest,
};

use super::again::Reconnect;
use super::export;
use super::fields::{self, Fields};
use super::options::{Connection, Output};
use super::past;
use super::selection::{Selection, pod_pattern};
use crate::client::{
    self, Client, INCIDENTS, Nodes, escape, write_incident, write_incidents, write_json, write_update,
};

/// Flags of `observer incident`.
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List incidents, the newest first, or with -f show them as they are opened, changed and closed
    List(Box<List>),
    /// Show an incident and its story: what happened before it, why, and what followed
    Show(Box<Show>),
    /// Open an incident by hand: the last minutes and the next one are kept; at a relay one on each node that has such
    /// containers
    Open(Box<Open>),
    /// Close an incident before its time
    Close(Box<Close>),
    /// Delete an incident; what is recorded of its time is kept no longer than all else
    Delete(Box<Delete>),
    /// Write an incident, or a part of time, into a file that is read anywhere without a daemon
    Export(Box<export::Args>),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Only those about pods of these namespaces
    #[arg(short = 'n', long, value_name = "NAMESPACE", value_delimiter = ',')]
    namespace: Vec<String>,
    /// Only those about these pods: namespace/prefix, namespace/, /name or prefix
    #[arg(long, value_name = "POD", value_delimiter = ',', value_parser = pod_pattern)]
    pod: Vec<String>,
    /// Only those that are open, or closed
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<State>,
    /// Only those that went on since: 5m (ago), or a time such as 2026-01-31T08:12:03Z
    #[arg(long, value_name = "TIME", value_parser = past::time)]
    since: Option<jiff::Timestamp>,
    /// At most so many, the newest [default: 100]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    limit: u32,
    /// Go on: a line for each that is open, then for each change
    #[arg(short, long, conflicts_with_all = ["state", "since", "limit"])]
    follow: bool,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    reconnect: Reconnect,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum State {
    Open,
    Closed,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// Its id, at a relay also NODE/ID; without one the newest that is open, else the newest
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(super) struct Open {
    /// Why, in words
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(super) struct Close {
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
    /// What is to be said of it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// Their ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl Args {
    /// What says whom to ask, and how the output looks.
    pub(super) fn shared(&mut self) -> (&mut Connection, Option<&mut Output>) {
        match &mut self.command {
            Command::List(args) => (&mut args.connection, Some(&mut args.output)),
            Command::Show(args) => (&mut args.connection, Some(&mut args.output)),
            Command::Open(args) => (&mut args.connection, Some(&mut args.output)),
            Command::Close(args) => (&mut args.connection, Some(&mut args.output)),
            Command::Delete(args) => (&mut args.connection, Some(&mut args.output)),
            Command::Export(args) => (&mut args.connection, None),
        }
    }
}

/// Lists, shows, opens, closes, deletes or exports.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    match args.command {
        Command::List(args) if args.follow => follow(*args, out).await,
        Command::List(args) => list(*args, out).await,
        Command::Show(args) => show(*args, out).await,
        Command::Open(args) => open(*args, out).await,
        Command::Export(args) => export::run(*args, out).await,
        Command::Close(args) => {
            let Close { id, note, output, connection } = *args;
            let closed =
                connection.connect().await?.close_incident(CloseIncidentRequest { id, note }).await?;
            said(out, &output, &closed, "closed")
        }
        Command::Delete(args) => {
            let Delete { ids, output, connection } = *args;
            let client = connection.connect().await?;
            for id in &ids {
                client.delete_incident(id).await?;
                if !output.format().is_whole() {
                    writeln!(out, "{} deleted", escape(id))?;
                }
            }
            Ok(())
        }
    }
}

async fn list(args: List, out: &mut dyn Write) -> anyhow::Result<()> {
    let List { namespace, pod, state, since, limit, follow: _, output, fields, connection, reconnect: _ } =
        args;
    let chosen = fields.of(&output, "Incident", &INCIDENTS)?;
    let state = match state {
        None => IncidentState::Unspecified,
        Some(State::Open) => IncidentState::Open,
        Some(State::Closed) => IncidentState::Closed,
    };
    let request = ListIncidentsRequest {
        namespaces: namespace,
        pods: pod,
        state: state.into(),
        since: since.map(|since| SystemTime::from(since).into()),
        limit,
    };
    let response = connection.connect().await?.incidents(request).await?;
    Ok(write_incidents(out, &fields::look(&output, &chosen), &response)?)
}

async fn follow(args: List, out: &mut dyn Write) -> anyhow::Result<()> {
    let List { namespace, pod, output, connection, reconnect, .. } = args;
    let request = WatchIncidentsRequest { namespaces: namespace, pods: pod };
    let open = async |client: Client| client.watch_incidents(request.clone()).await;
    let mut changes = open(connection.connect().await?).await?;
    let (look, mut nodes) = (output.look(), Nodes::default());
    loop {
        let ended = loop {
            match changes.next(&mut || Ok(())).await? {
                Some(Ok(message)) => write_update(out, &look, &mut nodes, &message)?,
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
            out.flush()?;
        };
        let Some(again) = reconnect.open(&connection, ended, open).await? else { return Ok(()) };
        changes = again;
    }
}

async fn show(args: Show, out: &mut dyn Write) -> anyhow::Result<()> {
    let Show { id, output, connection } = args;
    let client = connection.connect().await?;
    let id = match id {
        Some(id) => id,
        None => newest(&client).await?,
    };
    let response = client.incident(&id).await?;
    Ok(write_incident(out, &output.look(), &response)?)
}

/// The newest incident that is open, else the newest.
async fn newest(client: &Client) -> anyhow::Result<String> {
    for state in [IncidentState::Open, IncidentState::Unspecified] {
        let request =
            ListIncidentsRequest { state: state.into(), limit: 1, ..ListIncidentsRequest::default() };
        if let Some(found) = client.incidents(request).await?.incidents.pop() {
            return Ok(found.id);
        }
    }
    anyhow::bail!("there is no incident; `observer incident open` opens one by hand")
}

async fn open(args: Open, out: &mut dyn Write) -> anyhow::Result<()> {
    let Open { note, selection, output, connection } = args;
    let request = OpenIncidentRequest { allow: selection.allow, deny: selection.deny, note };
    if selection.print_filters {
        return Ok(write_json(out, "OpenIncidentRequest", &request)?);
    }
    let opened = connection.connect().await?.open_incident(request).await?;
    tell_opened(out, &output, opened)
}

/// All incidents that were opened: a relay opens one on each node.
fn tell_opened(out: &mut dyn Write, output: &Output, opened: OpenIncidentResponse) -> anyhow::Result<()> {
    let OpenIncidentResponse { incident, others, missing_nodes } = opened;
    let incident = incident.unwrap_or_default();
    if others.is_empty() && missing_nodes.is_empty() {
        return said(out, output, &incident, "opened");
    }
    [incident].iter().chain(&others).try_for_each(|one| {
        let done = format!("opened on {}", escape(&one.node_name));
        said(out, output, one, &done)
    })?;
    Ok(client::write_missing(out, &output.look(), &missing_nodes)?)
}

/// What was done to an incident; whole where that is wanted.
fn said(out: &mut dyn Write, output: &Output, incident: &Incident, done: &str) -> anyhow::Result<()> {
    if output.format().is_whole() {
        return Ok(client::write_whole(out, &output.look(), "Incident", incident)?);
    }
    Ok(writeln!(out, "{} {done}: {}", escape(&incident.id), escape(&incident.title))?)
}
