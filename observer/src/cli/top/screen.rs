//! The terminal while the view has it: raw, on its other screen, and given back however that ends.

use std::io::{self, Write};
use std::panic;

use crossterm::cursor::Show;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, style};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::client::top::{Top, view};

/// The terminal.
pub(super) struct Screen<'a> {
    terminal: Terminal<CrosstermBackend<&'a mut dyn Write>>,
}

impl<'a> Screen<'a> {
    /// Takes the terminal.
    pub(super) fn enter(out: &'a mut dyn Write, colours: bool) -> io::Result<Self> {
        // The decision is made: the library would ask NO_COLOR by itself.
        style::force_color_output(colours);
        enable_raw_mode()?;
        // From here on `drop` gives it back.
        let terminal = Terminal::new(CrosstermBackend::new(out));
        let mut screen =
            terminal.map(|terminal| Self { terminal }).inspect_err(|_| _ = disable_raw_mode())?;
        give_back_on_panic();
        // Not by the library's own way, which asks the terminal where its cursor is: a slow one answers too late.
        execute!(screen.terminal.backend_mut(), EnterAlternateScreen, Clear(ClearType::All))?;
        Ok(screen)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Draws what has changed.
    pub(super) fn draw(&mut self, top: &Top) -> io::Result<()> {
        self.terminal.draw(|frame| view(top, frame))?;
        Ok(())
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // The terminal may be gone: there is nobody to tell.
        _ = execute!(self.terminal.backend_mut(), LeaveAlternateScreen, Show);
        _ = disable_raw_mode();
    }
}

/// What a panic says would be lost with the other screen.
fn give_back_on_panic() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        _ = disable_raw_mode();
        before(info);
    }));
}
