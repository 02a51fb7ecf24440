//! `observer top`: workloads, edges, connections and events on the whole terminal, the worst first.

mod feed;
mod screen;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyEventKind};
use jiff::tz::TimeZone;
use observer_proto::v1::WatchSummariesRequest;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_stream::StreamExt as _;

use super::again::Reconnect;
use super::options::{self, Connection};
use super::selection::Selection;
use crate::client::top::{Message, Selected, Setup, Theme, Top, Wants};
use crate::client::{Chosen, Color, Format, Look, Painter, TimeFormat, write_json};

use self::feed::Feed;
use self::screen::Screen;

/// What comes from the daemon is drawn no more often; keys are at once.
const FRAME: Duration = Duration::from_millis(50);

/// So many messages wait to be taken in.
const QUEUE: usize = 256;

/// Flags of `observer top`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show what happened in so long a time, and so often, whole seconds from 1s to 1h
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = options::window)]
    interval: Duration,
    #[command(flatten)]
    selection: Selection<false>,
    /// Colours; auto: unless NO_COLOR is set [default: auto]
    #[arg(long, value_name = "WHEN", value_enum, help_heading = "Output")]
    pub(super) color: Option<Color>,
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    reconnect: Reconnect,
}

/// There is no terminal to draw on.
#[derive(Debug, thiserror::Error)]
#[error(
    "top needs a terminal to draw on and to read keys from, and {0}\n\
     Use `observer summary -f` for tables in a pipe or a file, or `ssh -t` for a terminal on another machine."
)]
pub(super) struct NoTerminal(&'static str);

/// Shows the view until it is left.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { interval, selection, color, connection, reconnect } = args;
    let request = WatchSummariesRequest {
        allow: selection.allow.clone(),
        deny: selection.deny.clone(),
        follow: true,
        window: Some(options::proto_window(interval)),
        ..WatchSummariesRequest::default()
    };
    if selection.print_filters {
        return Ok(write_json(out, "WatchSummariesRequest", &request)?);
    }
    check_terminal()?;
    let colours = color.unwrap_or(Color::Auto).enabled(true);
    let look = Look {
        format: Format::Compact,
        painter: Painter { enabled: false },
        width: None,
        times: TimeFormat::Time,
        zone: TimeZone::system(),
        chosen: Chosen::All,
    };
    let selected = Selected { allow: selection.allow, deny: selection.deny };
    let theme = Theme { colours, unicode: is_unicode() };
    let setup = Setup { look: look.clone(), theme, selected: selected.clone(), interval };
    // What goes wrong at once is told as by all other commands.
    let (send, receive) = mpsc::channel(QUEUE);
    let (wanted, wants) = watch::channel(Wants::default());
    let feed = Feed::open(connection, reconnect, (request, selected), look, send).await?;
    let mut screen = Screen::enter(out, colours)?;
    let top = Top::new(setup, screen.size()?);
    tokio::select! {
        ended = Box::pin(feed.run(wants)) => ended,
        ended = Box::pin(show(top, &mut screen, receive, wanted)) => ended,
    }
}

/// Draws, and takes in what comes, until the view is left.
async fn show(
    mut top: Top,
    screen: &mut Screen<'_>,
    mut inbox: mpsc::Receiver<Message>,
    wanted: watch::Sender<Wants>,
) -> anyhow::Result<()> {
    let mut keys = EventStream::new();
    let mut ended = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    while !top.ended() {
        top.settle();
        screen.draw(&top)?;
        let drawn = Instant::now();
        let wants = top.wants();
        wanted.send_if_modified(|last| std::mem::replace(last, wants.clone()) != wants);
        loop {
            tokio::select! {
                key = keys.next() => {
                    let Some(key) = key else { return Ok(()) };
                    let Some(message) = message(&key?) else { continue };
                    top.update(message);
                    break;
                }
                Some(message) = inbox.recv() => top.update(message),
                () = sleep_until(drawn + FRAME), if top.changed() => break,
                _ = ended.recv() => return Ok(()),
                _ = hung_up.recv() => return Ok(()),
            }
        }
    }
    Ok(())
}

/// What of the terminal's own events changes the view.
fn message(event: &Event) -> Option<Message> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Message::Key(*key)),
        Event::Resize(columns, rows) => Some(Message::Resized(*columns, *rows)),
        Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => None,
    }
}

fn check_terminal() -> Result<(), NoTerminal> {
    if !io::stdin().is_terminal() {
        return Err(NoTerminal("stdin is none"));
    }
    if !io::stdout().is_terminal() {
        return Err(NoTerminal("stdout is none"));
    }
    if options::is_dumb() {
        return Err(NoTerminal("TERM=dumb says that this one cannot move its cursor"));
    }
    Ok(())
}

/// The terminal shows more than ASCII, as far as the environment says so.
fn is_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(options::set);
    let locale = locale.map(|locale| locale.to_string_lossy().to_lowercase());
    locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}
