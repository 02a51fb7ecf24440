//! What is told is recorded, and so are incidents.

use super::Core;
use crate::daemon::keeper::Keeper;
use crate::record::Recorder;

impl Core<'_> {
    /// Has all that is told recorded.
    pub(in crate::daemon) fn record(&mut self, recorder: Option<Recorder>) -> std::io::Result<()> {
        let reader = recorder.as_ref().map(Recorder::reader);
        self.keeper = reader.clone().map(|reader| Keeper::start(reader, self.book.clone())).transpose()?;
        self.subscribers.read_from(reader);
        self.recorder = recorder;
        Ok(())
    }

    /// Has all that is still on its way recorded.
    pub(super) fn stop_recording(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.stop();
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.stop();
        }
    }
}
