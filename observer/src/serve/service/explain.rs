//! The figures that a verdict is on: what is in memory, and two windows more.

use tonic::Status;

use super::refused;
use crate::event::{Now, Window};
use crate::serve::queue::{Item, Source};

/// In so many windows of a second live sockets are read at least twice: what stands still shows.
const WATCHED: usize = 2;

/// Takes the newest windows and waits for the next ones; they become one.
pub(super) async fn watch(mut source: Source) -> Result<(Window, Now), Status> {
    let mut whole: Option<(Window, Now)> = None;
    let mut add = |window: &Window, now: Now| match &mut whole {
        Some((whole, time)) => {
            whole.merge(window);
            *time = now;
        }
        None => whole = Some((window.clone(), now)),
    };
    let mut watched = 0;
    while watched < WATCHED {
        match source.next().await {
            Some(Item::Windows(past)) => past.newest.iter().for_each(|window| add(window, past.now)),
            Some(Item::Window(window)) => {
                add(&window.0, window.1);
                watched += 1;
            }
            Some(Item::Refused { subscribers }) => return Err(refused(subscribers)),
            // What was lost is in the windows' own figures.
            Some(
                Item::Connected { .. }
                | Item::Lost(_)
                | Item::Folded(_)
                | Item::Elsewhere
                | Item::History(_)
                | Item::Page(_)
                | Item::Event(_),
            ) => {}
            None => return Err(Status::unavailable("the daemon is stopping")),
        }
    }
    let (mut window, now) = whole.ok_or_else(|| Status::unavailable("the daemon has just started"))?;
    window.show_idle();
    Ok((window, now))
}
