//! What the API answers, read with bounds of size and time: pages of lists, and the lines of a watch.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, Status};
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_stream::StreamExt as _;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::StreamReader;

use super::access::{ApiError, clip};

/// The longest page that is taken.
const LARGEST_PAGE: usize = 16 << 20;
/// The longest event that is taken: more than any of these objects has, each watch may hold the beginning of one.
const LARGEST_EVENT: usize = 2 << 20;
/// How long a page may take to arrive.
const PAGE_LIMIT: Duration = Duration::from_mins(1);
/// How much of a refusal is read, and for how long.
const LARGEST_REFUSAL: usize = 64 << 10;
const REFUSAL_LIMIT: Duration = Duration::from_secs(5);

/// A page of a list, its objects still as text.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    pub(super) metadata: ListMeta,
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

/// What every object has, and all that a bookmark has.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) uid: String,
    pub(super) resource_version: String,
}

#[derive(Deserialize)]
struct WithMeta {
    metadata: Meta,
}

/// One line of a watch.
pub(super) enum Change<'a> {
    /// Something is new or other than before.
    Is(Meta, &'a RawValue),
    /// Something is gone.
    Gone(Meta),
    /// Nothing happened up to that version.
    Bookmark(Meta),
    /// It cannot go on.
    Error(Box<Status>),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// The whole of a page.
pub(super) async fn page(body: Body) -> Result<Bytes, ApiError> {
    let whole = Limited::new(body, LARGEST_PAGE).collect();
    match tokio::time::timeout(PAGE_LIMIT, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge(LARGEST_PAGE)),
        Ok(Err(error)) => Err(ApiError::Broken(io::Error::other(error))),
        Err(_elapsed) => Err(ApiError::Silent(PAGE_LIMIT)),
    }
}

/// What a page says.
pub(super) fn parse_page(bytes: &[u8]) -> Result<Page<'_>, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::Nonsense(error.to_string()))
}

/// The API's own words for a refusal.
pub(super) async fn refusal(body: Body) -> String {
    let whole = Limited::new(body, LARGEST_REFUSAL).collect();
    let Ok(Ok(whole)) = tokio::time::timeout(REFUSAL_LIMIT, whole).await else { return String::new() };
    let bytes = whole.to_bytes();
    match serde_json::from_slice::<Status>(&bytes) {
        Ok(status) => clip(&status.message.unwrap_or_default(), 200),
        Err(_other) => clip(&String::from_utf8_lossy(&bytes), 200),
    }
}

/// The lines of a watch.
pub(super) struct Lines {
    lines: std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<String, LinesCodecError>> + Send>>,
}

impl Lines {
    pub(super) fn new(body: Body) -> Self {
        let chunks = body.into_data_stream().map(|chunk| chunk.map_err(io::Error::other));
        let codec = LinesCodec::new_with_max_length(LARGEST_EVENT);
        Self { lines: Box::pin(FramedRead::new(StreamReader::new(chunks), codec)) }
    }

    /// The next line, which has to come within that time; `None` where the API ended the watch.
    pub(super) async fn next(&mut self, limit: Duration) -> Result<Option<String>, ApiError> {
        loop {
            match tokio::time::timeout(limit, self.lines.next()).await {
                Ok(Some(Ok(line))) if line.trim().is_empty() => {}
                Ok(Some(Ok(line))) => return Ok(Some(line)),
                Ok(Some(Err(LinesCodecError::MaxLineLengthExceeded))) => {
                    return Err(ApiError::TooLarge(LARGEST_EVENT));
                }
                Ok(Some(Err(LinesCodecError::Io(error)))) => return Err(ApiError::Broken(error)),
                Ok(None) => return Ok(None),
                Err(_elapsed) => return Err(ApiError::Silent(limit)),
            }
        }
    }
}

/// What a line says.
pub(super) fn parse_line(line: &str) -> Result<Change<'_>, ApiError> {
    let nonsense = |error: serde_json::Error| ApiError::Nonsense(error.to_string());
    let Line { kind, object } = serde_json::from_str(line).map_err(nonsense)?;
    if kind == "ERROR" {
        return serde_json::from_str(object.get()).map(Change::Error).map_err(nonsense);
    }
    let WithMeta { metadata } = serde_json::from_str(object.get()).map_err(nonsense)?;
    if metadata.resource_version.is_empty() {
        return Err(ApiError::Nonsense("an object without a version".to_owned()));
    }
    match &*kind {
        "ADDED" | "MODIFIED" => Ok(Change::Is(metadata, object)),
        "DELETED" => Ok(Change::Gone(metadata)),
        "BOOKMARK" => Ok(Change::Bookmark(metadata)),
        other => Err(ApiError::Nonsense(format!("an event of the type `{}`", clip(other, 40)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let line = |kind: &str| {
            let object = r#"{"metadata":{"uid":"u","resourceVersion":"7"}}"#;
            format!(r#"{{"type":"{kind}","object":{object}}}"#)
        };
        assert!(matches!(parse_line(&line("ADDED")), Ok(Change::Is(meta, _)) if meta.uid == "u"));
        assert!(matches!(parse_line(&line("MODIFIED")), Ok(Change::Is(..))));
        assert!(
            matches!(parse_line(&line("DELETED")), Ok(Change::Gone(meta)) if meta.resource_version == "7")
        );
        assert!(matches!(parse_line(&line("BOOKMARK")), Ok(Change::Bookmark(_))));
        let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;
        assert!(matches!(parse_line(gone), Ok(Change::Error(status)) if status.code == Some(410)));
        let without = r#"{"type":"ADDED","object":{"metadata":{"uid":"u"}}}"#;
        for nonsense in [line("OTHER").as_str(), without, "{", "7", r#"{"type":"ADDED"}"#] {
            assert!(matches!(parse_line(nonsense), Err(ApiError::Nonsense(_))), "{nonsense}");
        }
    }

    #[test]
    fn a_page_may_be_empty() {
        let page = parse_page(br#"{"metadata":{"resourceVersion":"1"},"items":null}"#).unwrap();
        assert!(page.items.is_none() && page.metadata.continue_.is_none());
        assert!(parse_page(b"<html>").is_err());
    }
}
