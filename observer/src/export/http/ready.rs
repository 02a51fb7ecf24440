//! Whether the daemon lives, and whether it does its work.

use crate::export::metrics::keeper::Kept;
use crate::status::Status;

/// The event loop ends a window each second; one that has ended none for so long does not do its work.
const STANDS_NS: u64 = 10_000_000_000;
/// And one that has ended none for so long will not go on by itself.
const STUCK_NS: u64 = 60_000_000_000;

/// What to answer: that all is well, or what is not.
pub(super) type Verdict = Result<&'static str, String>;

/// It lives: it answers, and its event loop is not stuck.
pub(super) fn lives(kept: &Kept) -> Verdict {
    healthy(kept.stands_ns())
}

/// It does its work: its probes are attached, and its event loop turns.
pub(super) async fn is_ready(kept: &Kept) -> Verdict {
    let stands_ns = kept.stands_ns();
    ready(stands_ns, kept.status().await.as_ref())
}

fn healthy(stands_ns: Option<u64>) -> Verdict {
    match stands_ns {
        Some(ns @ STUCK_NS..) => Err(stands(ns)),
        Some(_) | None => Ok("ok\n"),
    }
}

fn ready(stands_ns: Option<u64>, status: Option<&Status>) -> Verdict {
    match stands_ns {
        None => return Err("not ready: the event loop has not finished its first second\n".to_owned()),
        Some(ns @ STANDS_NS..) => return Err(stands(ns)),
        Some(_) => {}
    }
    let Some(status) = status else {
        return Err("not ready: the event loop does not answer\n".to_owned());
    };
    if status.probes.iter().all(|probe| probe.detached) {
        return Err("not ready: no probe is attached\n".to_owned());
    }
    Ok("ready\n")
}

fn stands(ns: u64) -> String {
    format!("not ready: the event loop stands still for {} s\n", ns / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_the_matter() {
        assert!(ready(None, None).unwrap_err().contains("first second"));
        assert!(ready(Some(11_000_000_000), None).unwrap_err().contains("stands still for 11 s"));
        assert!(ready(Some(1), None).unwrap_err().contains("does not answer"));
        assert_eq!(healthy(None), Ok("ok\n"), "it begins");
        assert_eq!(healthy(Some(STANDS_NS)), Ok("ok\n"), "it may go on");
        assert!(healthy(Some(STUCK_NS)).is_err());
    }
}
