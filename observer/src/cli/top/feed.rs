//! What the daemon tells, for as long as the view is open: summaries always, the rest as the page asks for it.

use std::future::pending;

use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::watch_summaries_response::Payload as SummaryPayload;
use observer_proto::v1::{
    IncidentState, ListIncidentsRequest, WatchEventsRequest, WatchEventsResponse, WatchSummariesRequest,
    WatchSummariesResponse,
};
use tokio::sync::{mpsc, watch};

use super::super::again::Reconnect;
use super::super::options::Connection;
use crate::client::top::{Message, Selected, Subject, Wants};
use crate::client::{Answers, Client, Error, Lines, Look};

/// The streams that are open, and how they are opened again.
pub(super) struct Feed {
    connection: Connection,
    reconnect: Reconnect,
    request: WatchSummariesRequest,
    selected: Selected,
    look: Look,
    out: mpsc::Sender<Message>,
    client: Client,
    summaries: Answers<WatchSummariesResponse>,
    events: Option<Events>,
}

/// The events of the page that is shown.
struct Events {
    number: u64,
    request: WatchEventsRequest,
    subject: Subject,
    lines: Lines,
    answers: Option<Answers<WatchEventsResponse>>,
}

impl Feed {
    /// Connects, and begins with summaries.
    pub(super) async fn open(
        connection: Connection,
        reconnect: Reconnect,
        (request, selected): (WatchSummariesRequest, Selected),
        look: Look,
        out: mpsc::Sender<Message>,
    ) -> Result<Self, Error> {
        let client = connection.connect().await?;
        let summaries = client.watch_summaries(request.clone()).await?;
        Ok(Self { connection, reconnect, request, selected, look, out, client, summaries, events: None })
    }

    /// Tells the view all that comes, until the daemon is gone for too long.
    pub(super) async fn run(mut self, mut wants: watch::Receiver<Wants>) -> anyhow::Result<()> {
        loop {
            let ended = self.attend(&mut wants).await;
            let tell = async |words| self.tell(Message::Away(words)).await;
            let open = async |client: Client| {
                let summaries = client.watch_summaries(self.request.clone()).await?;
                Ok((client, summaries))
            };
            let again = self.reconnect.open_telling(&self.connection, ended, tell, open).await?;
            let Some((client, summaries)) = again else { return Ok(()) };
            (self.client, self.summaries) = (client, summaries);
            self.tell(Message::Back).await;
            if let Some(events) = &mut self.events {
                // Without a gap and nothing twice, as far as the daemon's memory reaches.
                let request = events.lines.resumed(events.request.clone());
                events.answers = None;
                self.open_events(request).await;
            }
        }
    }

    /// Tells what comes, until the summaries end.
    async fn attend(&mut self, wants: &mut watch::Receiver<Wants>) -> Result<(), Error> {
        let now = wants.borrow_and_update().clone();
        self.follow(&now).await;
        self.list(&now).await;
        loop {
            let mut nothing = || Ok(());
            tokio::select! {
                message = self.summaries.next(&mut nothing) => {
                    let Ok(Some(message)) = message else { return Ok(()) };
                    let message = message?;
                    let ended = matches!(message.payload, Some(SummaryPayload::WindowEnd(_)));
                    self.tell(Message::Summary(Box::new(message))).await;
                    if ended {
                        let now = wants.borrow().clone();
                        self.list(&now).await;
                    }
                }
                message = next(&mut self.events) => self.event(message).await,
                changed = wants.changed() => {
                    if changed.is_err() {
                        return pending().await;
                    }
                    let now = wants.borrow_and_update().clone();
                    self.follow(&now).await;
                    self.list_connections(&now).await;
                }
            }
        }
    }

    /// Lists what the view needs each time that a window has ended.
    async fn list(&mut self, wants: &Wants) {
        match self.client.workloads(self.selected.workloads()).await {
            Ok(response) => self.tell(Message::Workloads(response)).await,
            Err(error) => self.refused(0, &error).await,
        }
        let open = IncidentState::Open.into();
        let newest = ListIncidentsRequest { state: open, limit: 1, ..ListIncidentsRequest::default() };
        // A daemon that knows none has none that is open.
        if let Ok(response) = self.client.incidents(newest).await {
            self.tell(Message::Incidents(response)).await;
        }
        self.list_connections(wants).await;
    }

    async fn list_connections(&self, wants: &Wants) {
        let Some((number, request)) = &wants.connections else { return };
        match self.client.connections(request.clone()).await {
            Ok(response) => self.tell(Message::Connections(*number, response)).await,
            Err(error) => self.refused(*number, &error).await,
        }
    }

    /// Opens the stream of events that is wanted now, and closes the one before.
    async fn follow(&mut self, wants: &Wants) {
        let Some((number, request, subject)) = &wants.events else {
            self.events = None;
            return;
        };
        if self.events.as_ref().is_some_and(|events| events.number == *number) {
            return;
        }
        self.events = Some(Events {
            number: *number,
            request: request.clone(),
            subject: subject.clone(),
            lines: Lines::new(&self.look),
            answers: None,
        });
        self.open_events(request.clone()).await;
    }

    async fn open_events(&mut self, request: WatchEventsRequest) {
        let Some(events) = &mut self.events else { return };
        match self.client.watch_events(request).await {
            Ok(answers) => events.answers = Some(answers),
            Err(error) => {
                let number = events.number;
                self.refused(number, &error).await;
            }
        }
    }

    /// A message of the stream of events, or its end.
    async fn event(&mut self, message: Option<Result<WatchEventsResponse, Error>>) {
        let Some(events) = &mut self.events else { return };
        let number = events.number;
        match message {
            Some(Ok(message)) => {
                // Each one is counted, also where it is not of the page.
                let line = events.lines.line(&message);
                let is_of = match &message.payload {
                    Some(Payload::Event(event)) => events.subject.has(event),
                    Some(_) | None => true,
                };
                if let Some(line) = line.filter(|_| is_of) {
                    self.tell(Message::Line(number, line)).await;
                }
            }
            Some(Err(error)) => {
                events.answers = None;
                self.refused(number, &error).await;
            }
            // The summaries end as well, and say why.
            None => events.answers = None,
        }
    }

    /// The daemon is there and does not tell; where it went away, the end of the summaries says so.
    async fn refused(&self, number: u64, error: &Error) {
        if !error.is_hang_up() {
            self.tell(Message::Refused(number, error.to_string().replace('\n', " "))).await;
        }
    }

    /// The view ends by itself, and this with it: nobody is there to be told otherwise.
    async fn tell(&self, message: Message) {
        _ = self.out.send(message).await;
    }
}

/// The next message of the events, if any are wanted.
async fn next(events: &mut Option<Events>) -> Option<Result<WatchEventsResponse, Error>> {
    let Some(answers) = events.as_mut().and_then(|events| events.answers.as_mut()) else {
        return pending().await;
    };
    answers.next(&mut || Ok(())).await.ok().flatten()
}
