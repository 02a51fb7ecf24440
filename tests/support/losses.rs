//! Losses that a test may be the cause of.

use observer_proto::v1::{LossSource, Lost, Status};

/// It is not about connections older than the daemon, which any other test may have.
pub fn is_own(lost: &Lost) -> bool {
    lost.source() != LossSource::Netns
}

/// Those of a status.
pub fn own(status: &Status) -> Vec<&Lost> {
    status.losses.iter().filter(|lost| is_own(lost)).collect()
}
