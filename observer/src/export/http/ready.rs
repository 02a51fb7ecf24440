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
    healthy(kept.stands_ns(), kept.age_ns())
}

/// It does its work: its probes are attached, and its event loop turns.
pub(super) async fn is_ready(kept: &Kept) -> Verdict {
    turns(kept.stands_ns())?;
    ready(kept.status().await.as_ref())
}

/// One that has never finished a second has stood still since it began.
fn healthy(stands_ns: Option<u64>, age_ns: u64) -> Verdict {
    match stands_ns.unwrap_or(age_ns) {
        ns @ STUCK_NS.. => Err(stands(ns)),
        _ => Ok("ok\n"),
    }
}

/// What is decided without asking the event loop.
fn turns(stands_ns: Option<u64>) -> Result<(), String> {
    match stands_ns {
        None => Err("not ready: the event loop has not finished its first second\n".to_owned()),
        Some(ns @ STANDS_NS..) => Err(stands(ns)),
        Some(_) => Ok(()),
    }
}

fn ready(status: Option<&Status>) -> Verdict {
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
        assert!(turns(None).unwrap_err().contains("first second"));
        assert!(turns(Some(11_000_000_000)).unwrap_err().contains("stands still for 11 s"));
        assert_eq!(turns(Some(1)), Ok(()));
        assert!(ready(None).unwrap_err().contains("does not answer"));
        assert_eq!(healthy(None, STANDS_NS), Ok("ok\n"), "it begins");
        assert_eq!(healthy(Some(STANDS_NS), u64::MAX), Ok("ok\n"), "it may go on");
        assert!(healthy(Some(STUCK_NS), STUCK_NS).is_err());
        assert!(healthy(None, STUCK_NS).is_err(), "it never began");
    }
}
