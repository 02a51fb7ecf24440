//! What a request asks for: which events of the memory, which windows, which order, which fields.

use std::time::Duration;

use observer_proto::{Mask, served as v1};
use prost_types::{FieldMask, Timestamp};
use tonic::Status;

use crate::event::{ConnectionOrder, WallTime};
use crate::serve::Ask;
use crate::session::Part;

/// The longest window.
const LONGEST_WINDOW_S: u64 = 3_600;
/// A debugging session's length where the client names none, and at most.
const USUAL_SESSION: Duration = Duration::from_mins(1);
const LONGEST_SESSION: Duration = Duration::from_hours(1);

/// What is asked for; `None` for new events alone. `started` is this daemon's start.
pub(super) fn of(request: &v1::WatchEventsRequest, started: WallTime) -> Result<Option<Ask>, Status> {
    let v1::WatchEventsRequest {
        allow: _,
        deny: _,
        follow,
        last,
        since,
        until,
        first,
        resume,
        field_mask: _,
    } = request;
    let count = |number: u32| (number > 0).then_some(number as usize);
    let (first, last) = (count(*first), count(*last));
    let time = |field, time: &Option<Timestamp>| time.map(|time| wall_time(field, time)).transpose();
    let (since, until) = (time("since", since)?, time("until", until)?);
    let excluded = [
        ("first", "last", first.is_some() && last.is_some()),
        ("first", "follow", first.is_some() && *follow),
        ("until", "follow", until.is_some() && *follow),
        ("resume", "since", resume.is_some() && since.is_some()),
        ("resume", "first", resume.is_some() && first.is_some()),
        ("resume", "last", resume.is_some() && last.is_some()),
    ];
    if let Some((one, other, _)) = excluded.into_iter().find(|(.., both)| *both) {
        return Err(Status::invalid_argument(format!(
            "{one} and {other} exclude each other; leave one of them out"
        )));
    }
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(Status::invalid_argument("since is later than until, so nothing can be between them"));
    }
    let all = Ask { since, until, first, last, ..Ask::default() };
    let Some(v1::Resume { sequence, start_time }) = resume else {
        return Ok((all != Ask::default()).then_some(all));
    };
    let Some(counted) = start_time else {
        return Err(Status::invalid_argument(
            "resume.start_time: missing; it is in the first message of the stream that was cut off",
        ));
    };
    let counted = wall_time("resume.start_time", *counted)?;
    Ok(Some(Ask { after: *sequence, another_run: counted != started, resumed: Some(counted), ..all }))
}

/// Which recorded windows are asked for: since when and until when; `None` for none.
pub(super) fn windows(
    request: &v1::WatchSummariesRequest,
) -> Result<Option<(WallTime, Option<WallTime>)>, Status> {
    let v1::WatchSummariesRequest { follow, changes, since, until, .. } = request;
    let until = until.map(|time| wall_time("until", time)).transpose()?;
    let Some(since) = since.map(|time| wall_time("since", time)).transpose()? else {
        return match until {
            Some(_) => Err(Status::invalid_argument("until: only with since; say from when on as well")),
            None => Ok(None),
        };
    };
    let excluded = [("since", "changes", *changes), ("until", "follow", *follow && until.is_some())];
    if let Some((one, other, _)) = excluded.into_iter().find(|(.., both)| *both) {
        return Err(Status::invalid_argument(format!(
            "{one} and {other} exclude each other; leave one of them out"
        )));
    }
    if until.is_some_and(|until| since > until) {
        return Err(Status::invalid_argument("since is later than until, so nothing can be between them"));
    }
    Ok(Some((since, until)))
}

/// A time, before 1970 the beginning of that.
pub(crate) fn wall_time(field: &str, Timestamp { seconds, nanos }: Timestamp) -> Result<WallTime, Status> {
    let valid = u64::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let nanos = valid.ok_or_else(|| {
        Status::invalid_argument(format!("{field}: {nanos} ns is not allowed: from 0 to 999999999"))
    })?;
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Ok(WallTime(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

/// The window that is asked for, in nanoseconds.
pub(super) fn window_ns(asked: Option<&prost_types::Duration>, default: Duration) -> Result<u64, Status> {
    let Some(prost_types::Duration { seconds, nanos }) = asked else { return Ok(default.as_nanos() as u64) };
    match u64::try_from(*seconds) {
        Ok(seconds @ 1..=LONGEST_WINDOW_S) if *nanos == 0 => Ok(seconds * 1_000_000_000),
        Ok(_) | Err(_) => Err(Status::invalid_argument(format!(
            "window: {seconds} s and {nanos} ns is not allowed: whole seconds from 1 to {LONGEST_WINDOW_S}",
        ))),
    }
}

/// How long a session may be, in nanoseconds.
pub(super) fn session_ns(asked: Option<&prost_types::Duration>) -> Result<u64, Status> {
    let Some(duration) = asked else { return Ok(USUAL_SESSION.as_nanos() as u64) };
    match Duration::try_from(*duration) {
        Ok(length) if !length.is_zero() && length <= LONGEST_SESSION => Ok(length.as_nanos() as u64),
        Ok(_) | Err(_) => Err(Status::invalid_argument(format!(
            "duration: {} s and {} ns is not allowed: more than 0 and at most {} s",
            duration.seconds,
            duration.nanos,
            LONGEST_SESSION.as_secs()
        ))),
    }
}

/// What a session is to see; all where nothing is named.
pub(super) fn debug_parts(asked: &[i32]) -> Result<Vec<Part>, Status> {
    if asked.is_empty() {
        return Ok(Part::ALL.to_vec());
    }
    let mut parts = Vec::new();
    for number in asked {
        let part = match v1::DebugPart::try_from(*number) {
            Ok(v1::DebugPart::Responses) => Part::Responses,
            Ok(v1::DebugPart::PacketDrops) => Part::PacketDrops,
            Ok(v1::DebugPart::Signals) => Part::Signals,
            Ok(v1::DebugPart::OpenFailures) => Part::OpenFailures,
            Ok(v1::DebugPart::Unspecified) | Err(_) => {
                return Err(Status::invalid_argument(format!(
                    "parts: there is none with the number {number}"
                )));
            }
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// The order that is asked for.
pub(crate) fn connection_order(asked: i32) -> Result<ConnectionOrder, Status> {
    let order = v1::ConnectionOrder::try_from(asked).map_err(|unknown| {
        Status::invalid_argument(format!("order: there is none with the number {}", unknown.0))
    })?;
    Ok(match order {
        v1::ConnectionOrder::Unspecified => ConnectionOrder::Worst,
        v1::ConnectionOrder::Retransmits => ConnectionOrder::Retransmits,
        v1::ConnectionOrder::Rtt => ConnectionOrder::Rtt,
        v1::ConnectionOrder::Handshake => ConnectionOrder::Handshake,
        v1::ConnectionOrder::Bytes => ConnectionOrder::Bytes,
        v1::ConnectionOrder::Unread => ConnectionOrder::Unread,
        v1::ConnectionOrder::Unsent => ConnectionOrder::Unsent,
        v1::ConnectionOrder::Age => ConnectionOrder::Age,
    })
}

/// The fields that are asked for of this item, and those that are told `always`; `None` for all.
pub(crate) fn mask(asked: Option<FieldMask>, item: &str, always: &[&str]) -> Result<Option<Mask>, Status> {
    let Some(FieldMask { paths }) = asked.filter(|mask| !mask.paths.is_empty()) else { return Ok(None) };
    let mask = Mask::compile(item, &paths, always);
    mask.map(Some).map_err(|error| Status::invalid_argument(format!("field_mask: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: WallTime = WallTime(7_000_000_001);

    fn at(seconds: i64, nanos: i32) -> Timestamp {
        Timestamp { seconds, nanos }
    }

    fn asked(change: impl FnOnce(&mut v1::WatchEventsRequest)) -> Result<Option<Ask>, String> {
        let mut request = v1::WatchEventsRequest::default();
        change(&mut request);
        of(&request, STARTED).map_err(|status| status.message().to_owned())
    }

    #[test]
    fn nothing_is_new_events_alone() {
        assert_eq!(asked(|_| {}), Ok(None));
        assert_eq!(asked(|request| request.follow = true), Ok(None));
    }

    #[test]
    fn times_and_counts() {
        let ask = Ask::default();
        assert_eq!(asked(|of| of.last = 3), Ok(Some(Ask { last: Some(3), ..ask })));
        let both = asked(|of| (of.since, of.until) = (Some(at(-5, 0)), Some(at(2, 3))));
        let (since, until) = (Some(WallTime(0)), Some(WallTime(2_000_000_003)));
        assert_eq!(both, Ok(Some(Ask { since, until, ..ask })));
        assert_eq!(
            asked(|of| of.since = Some(at(i64::MAX, 0))).unwrap().unwrap().since,
            Some(WallTime(u64::MAX))
        );
        assert!(asked(|of| of.since = Some(at(1, -1))).unwrap_err().starts_with("since: -1 ns is not"));
    }

    #[test]
    fn a_stream_that_was_cut_off_goes_on_with_the_same_daemon_alone() {
        let resumed = |start_time| asked(|of| of.resume = Some(v1::Resume { sequence: 9, start_time }));
        let ask = Ask { after: 9, resumed: Some(STARTED), ..Ask::default() };
        assert_eq!(resumed(Some(at(7, 1))), Ok(Some(ask)));
        let other = Some(WallTime(7_000_000_002));
        assert_eq!(resumed(Some(at(7, 2))), Ok(Some(Ask { another_run: true, resumed: other, ..ask })));
        assert!(resumed(None).unwrap_err().starts_with("resume.start_time: missing"));
    }

    #[test]
    fn windows_of_the_past_are_between_two_times() {
        let asked = |change: fn(&mut v1::WatchSummariesRequest)| {
            let mut request = v1::WatchSummariesRequest::default();
            change(&mut request);
            windows(&request).map_err(|status| status.message().to_owned())
        };
        assert_eq!(asked(|_| {}), Ok(None));
        assert_eq!(asked(|of| of.since = Some(at(1, 2))), Ok(Some((WallTime(1_000_000_002), None))));
        let both = asked(|of| (of.since, of.until) = (Some(at(1, 0)), Some(at(2, 0))));
        assert_eq!(both, Ok(Some((WallTime(1_000_000_000), Some(WallTime(2_000_000_000))))));
        assert!(asked(|of| of.until = Some(at(2, 0))).unwrap_err().starts_with("until: only with since"));
        let refused = asked(|of| (of.since, of.changes) = (Some(at(1, 0)), true)).unwrap_err();
        assert!(refused.starts_with("since and changes exclude"), "{refused}");
        let refused = asked(|of| (of.since, of.until) = (Some(at(2, 0)), Some(at(1, 0)))).unwrap_err();
        assert!(refused.starts_with("since is later"), "{refused}");
        let refused = asked(|of| {
            (of.since, of.until, of.follow) = (Some(at(1, 0)), Some(at(2, 0)), true);
        });
        assert!(refused.unwrap_err().starts_with("until and follow exclude"));
    }

    #[test]
    fn what_excludes_each_other_is_named() {
        let refused = |change: fn(&mut v1::WatchEventsRequest)| asked(change).unwrap_err();
        assert!(refused(|of| (of.first, of.last) = (1, 1)).starts_with("first and last exclude"));
        assert!(refused(|of| (of.first, of.follow) = (1, true)).starts_with("first and follow"));
        assert!(refused(|of| (of.until, of.follow) = (Some(at(1, 0)), true)).starts_with("until and follow"));
        assert!(
            refused(|of| (of.since, of.until) = (Some(at(2, 0)), Some(at(1, 0))))
                .starts_with("since is later")
        );
        let both = refused(|of| (of.resume, of.since) = (Some(v1::Resume::default()), Some(at(1, 0))));
        assert!(both.starts_with("resume and since"), "{both}");
    }
}
