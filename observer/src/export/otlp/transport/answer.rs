//! What an answer means, by OTLP's specification: taken, to be sent again, or refused for good.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
use prost::Message;
use tonic::{Code, Status};

/// A receiver's words are cut beyond.
const MOST_WORDS: usize = 200;
/// Nobody is waited for longer, whatever he asks for.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// A receiver's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::export::otlp) enum Answer {
    /// It has it, but for so many items that it will never take; and what it says to that.
    Taken { rejected: u64, message: String },
    /// It may take it later: after that time at the earliest, where it says one.
    Later { reason: String, after: Option<Duration> },
    /// It will never take it.
    Refused { reason: String },
}

/// `google.rpc.Status`, which errors are told by.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`, which asks for a pause.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

impl Answer {
    pub(super) const fn later(reason: String) -> Self {
        Self::Later { reason, after: None }
    }

    pub(super) fn taken(partial: Option<&ExportLogsPartialSuccess>) -> Self {
        let (rejected, message) =
            partial.map_or((0, ""), |partial| (partial.rejected_log_records, partial.error_message.as_str()));
        Self::Taken { rejected: u64::try_from(rejected).unwrap_or(0), message: message.to_owned() }
    }

    pub(super) fn of_status(status: &Status) -> Self {
        let after = pause_of(status.details());
        let reason = format!("{:?}: {}", status.code(), status.message());
        let again = match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            // Whether this one passes is known by whether it says when.
            Code::ResourceExhausted => after.is_some(),
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::Internal
            | Code::Unauthenticated => false,
        };
        if again { Self::Later { reason, after } } else { Self::Refused { reason } }
    }

    pub(super) fn of_http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let told = RpcStatus::decode(body).map(|told| told.message).unwrap_or_default();
        let colon = if told.is_empty() { "" } else { ": " };
        let reason = format!("{status}{colon}{told}");
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        if !again {
            return Self::Refused { reason };
        }
        let after =
            headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after);
        Self::Later { reason, after }
    }

    /// The same with words that may be shown: short, in one line, and without these secrets.
    pub(super) fn without(self, secrets: &[String]) -> Self {
        let safe = |words: String| {
            let hidden =
                secrets.iter().fold(words, |words, secret| words.replace(secret.as_str(), "(secret)"));
            let cut = &hidden[..hidden.floor_char_boundary(MOST_WORDS)];
            cut.replace(char::is_control, " ")
        };
        match self {
            Self::Taken { rejected, message } => Self::Taken { rejected, message: safe(message) },
            Self::Later { reason, after } => Self::Later { reason: safe(reason), after },
            Self::Refused { reason } => Self::Refused { reason: safe(reason) },
        }
    }
}

/// The pause that a `RetryInfo` among the details asks for.
fn pause_of(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|one| one.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    Some(Duration::try_from(delay).unwrap_or_default().min(LONGEST_PAUSE))
}

/// A number of seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_PAUSE));
    }
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let at = SystemTime::from(parser.parse_timestamp(text.trim()).ok()?);
    let left = at.duration_since(now()).unwrap_or_default();
    Some(left.min(LONGEST_PAUSE))
}

#[allow(clippy::disallowed_methods, reason = "dates of receivers are of the wall clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_info(delay: prost_types::Duration) -> bytes::Bytes {
        let info = RetryInfo { retry_delay: Some(delay) };
        let any = prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: info.encode_to_vec(),
        };
        RpcStatus { code: 8, message: String::new(), details: vec![any] }.encode_to_vec().into()
    }

    #[test]
    fn codes_of_grpc() {
        let again = [1, 4, 10, 11, 14, 15];
        for code in 1..=16 {
            let answer = Answer::of_status(&Status::new(Code::from(code), "x"));
            assert_eq!(matches!(answer, Answer::Later { after: None, .. }), again.contains(&code), "{code}");
        }
        let pause = prost_types::Duration { seconds: 1, nanos: 500_000_000 };
        let asked = |code| Answer::of_status(&Status::with_details(code, "busy", retry_info(pause)));
        let expected = Answer::Later {
            reason: "ResourceExhausted: busy".to_owned(),
            after: Some(Duration::from_millis(1_500)),
        };
        assert_eq!(asked(Code::ResourceExhausted), expected);
        assert!(matches!(asked(Code::Unavailable), Answer::Later { after: Some(_), .. }));
        assert!(matches!(asked(Code::InvalidArgument), Answer::Refused { .. }));
        let forever = prost_types::Duration { seconds: i64::MAX, nanos: 0 };
        let status = Status::with_details(Code::Unavailable, "", retry_info(forever));
        assert!(matches!(Answer::of_status(&status), Answer::Later { after: Some(LONGEST_PAUSE), .. }));
        let past = prost_types::Duration { seconds: -5, nanos: 0 };
        let status = Status::with_details(Code::ResourceExhausted, "", retry_info(past));
        assert!(matches!(Answer::of_status(&status), Answer::Later { after: Some(Duration::ZERO), .. }));
    }

    #[test]
    fn codes_of_http() {
        for code in [300, 301, 400, 401, 403, 404, 413, 429, 500, 501, 502, 503, 504, 505] {
            let status = StatusCode::from_u16(code).unwrap();
            let answer = Answer::of_http(status, &HeaderMap::new(), b"");
            assert_eq!(
                matches!(answer, Answer::Later { .. }),
                [429, 502, 503, 504].contains(&code),
                "{code}"
            );
        }
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, "7".parse().unwrap())]);
        let body = RpcStatus { message: "slow down".to_owned(), ..RpcStatus::default() }.encode_to_vec();
        let expected = Answer::Later {
            reason: "429 Too Many Requests: slow down".to_owned(),
            after: Some(Duration::from_secs(7)),
        };
        assert_eq!(Answer::of_http(StatusCode::TOO_MANY_REQUESTS, &headers, &body), expected);
    }

    #[test]
    fn pauses() {
        assert_eq!(retry_after(" 3 "), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("Sun, 06 Nov 2094 08:49:37 GMT"), Some(LONGEST_PAUSE));
        assert_eq!(retry_after("99999999999999999"), Some(LONGEST_PAUSE));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn words_are_harmless() {
        let secrets = ["Bearer t0ken".to_owned(), "t0ken".to_owned()];
        let answer = Answer::later(format!("got Bearer t0ken\x1b[2J\n{}", "t0ken ".repeat(100)));
        let Answer::Later { reason, .. } = answer.without(&secrets) else { panic!() };
        assert!(reason.starts_with("got (secret)") && !reason.contains("t0ken"), "{reason}");
        assert!(!reason.contains(['\x1b', '\n']) && reason.len() < MOST_WORDS + 20, "{reason}");
    }
}
