//! JSON: one object a line, the proto's own mapping with its own field names and plain numbers.

mod ordered;

use std::io;
use std::sync::LazyLock;

use observer_proto::v1::FILE_DESCRIPTOR_SET;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use serde::Serialize as _;
use serde::de::Error as _;

use super::look::{Format, Look};
use super::{escape, yaml};
use ordered::Ordered;

/// The descriptors of the API; empty if they could not be read, which a test excludes.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap_or_default());

/// Names as in the proto, so that `jq` and the proto agree; 64-bit integers as numbers, so that they
/// compare as such. Every proto3 JSON parser takes both. Absent and zero fields are left out.
const OPTIONS: SerializeOptions = SerializeOptions::new()
    .use_proto_field_name(true)
    .stringify_64_bit_integers(false)
    .skip_default_fields(true);

/// Writes a message of the API, by its name in `observer.v1`, with all fields that were chosen: as YAML where that is wanted,
/// else as JSON.
pub(crate) fn write_whole<M: prost::Message>(
    out: &mut dyn io::Write,
    look: &Look,
    name: &str,
    message: &M,
) -> io::Result<()> {
    let message = dynamic(name, &look.chosen.prune(name, message.encode_to_vec()))?;
    let line = line(&message)?;
    if look.format != Format::Yaml {
        return writeln!(out, "{}", escape::escape_json(&line));
    }
    yaml::write(out, &serde_json::from_str(&line)?)
}

/// The same of what is no message of the API.
pub(crate) fn write_value(out: &mut dyn io::Write, look: &Look, value: &serde_json::Value) -> io::Result<()> {
    if look.format == Format::Yaml {
        return yaml::write(out, value);
    }
    writeln!(out, "{}", escape::escape_json(&value.to_string()))
}

/// Writes a message of the API, by its name in `observer.v1`, and a newline.
pub(crate) fn write_json<M: prost::Message>(
    out: &mut dyn io::Write,
    name: &str,
    message: &M,
) -> io::Result<()> {
    write_encoded(out, name, &message.encode_to_vec())
}

/// The same of one that is encoded.
pub(crate) fn write_encoded(out: &mut dyn io::Write, name: &str, message: &[u8]) -> io::Result<()> {
    let line = line(&dynamic(name, message)?)?;
    writeln!(out, "{}", escape::escape_json(&line))
}

/// A message by its name in `observer.v1`, with what is known of its fields.
pub(super) fn dynamic(name: &str, message: &[u8]) -> io::Result<DynamicMessage> {
    DynamicMessage::decode(descriptor(name).map_err(io::Error::other)?, message).map_err(io::Error::other)
}

/// A message as JSON; still to be escaped.
pub(super) fn line(message: &DynamicMessage) -> io::Result<String> {
    let mut line = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut line);
    Ordered(message, &OPTIONS).serialize(&mut serializer).map_err(io::Error::other)?;
    String::from_utf8(line).map_err(io::Error::other)
}

/// What to do with fields and values that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Refuse the message.
    Refused,
    /// Leave them out.
    LeftOut,
}

/// Reads a message of the API, by its name in `observer.v1`, from one JSON object.
pub(crate) fn read_json<M: prost::Message + Default>(
    text: &str,
    name: &str,
    unknown: Unknown,
) -> Result<M, serde_json::Error> {
    let descriptor = descriptor(name).map_err(serde_json::Error::custom)?;
    let options = DeserializeOptions::new().deny_unknown_fields(unknown == Unknown::Refused);
    let mut json = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor, &mut json, &options)?;
    json.end()?;
    dynamic.transcode_to().map_err(serde_json::Error::custom)
}

fn descriptor(name: &str) -> Result<MessageDescriptor, String> {
    POOL.get_message_by_name(&format!("observer.v1.{name}"))
        .ok_or_else(|| format!("the API has no message {name}"))
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::event::Detail;
    use observer_proto::v1::{Event, Lost, ProcessExec, WatchEventsResponse, watch_events_response::Payload};
    use prost::Message as _;

    use super::super::testing;
    use super::*;

    fn json<M: prost::Message>(name: &str, message: &M) -> String {
        let mut out = Vec::new();
        write_json(&mut out, name, message).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_one_line_with_the_protos_names() {
        let line = json("WatchEventsResponse", &testing::response(testing::connect()));
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["node_name"], "node1");
        assert_eq!(value["time"], "2026-01-31T08:12:03.114159265Z");
        let event = &value["event"];
        assert_eq!(event["type"], "tcp_connect");
        assert_eq!(event["sequence"], 41);
        assert_eq!(event["tcp_connect"]["handshake_latency_ns"], 142_300);
        assert_eq!(event["tcp_connect"]["tcp"]["destination"]["port"], 6379);
        assert_eq!(event["workload"]["kind"], "WORKLOAD_KIND_POD");
        assert_eq!(event["workload"]["labels"]["app"], "cart");
        assert!(event["workload"].get("sandbox").is_none());
    }

    #[test]
    fn keys_of_maps_are_in_order_and_all_else_is_as_the_library_has_it() {
        let mut event = testing::connect();
        let labels = &mut event.workload.as_mut().unwrap().labels;
        labels.extend((10..40).rev().map(|n| (format!("label-{n}"), n.to_string())));
        let exec = ProcessExec {
            raw_arguments: vec![b"\xff\x00sh".to_vec(), Vec::new()],
            arguments: vec!["sh".to_owned(), String::new()],
            origin: 99,
            terminal: true,
            ..ProcessExec::default()
        };
        let executed = Event { detail: Some(Detail::ProcessExec(exec)), ..event.clone() };
        for event in [event, executed] {
            let response = testing::response(event);
            let line = json("WatchEventsResponse", &response);
            let first = line.find("\"labels\":{\"app\":\"cart\",\"label-10\":\"10\",\"label-11\"");
            assert!(first.is_some(), "{line}");
            let bytes = response.encode_to_vec();
            let message = descriptor("WatchEventsResponse").unwrap();
            let dynamic = DynamicMessage::decode(message, bytes.as_slice()).unwrap();
            let library = dynamic.serialize_with_options(serde_json::value::Serializer, &OPTIONS).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), library);
            let read: WatchEventsResponse =
                read_json(&line, "WatchEventsResponse", Unknown::Refused).unwrap();
            assert_eq!(read, response);
        }
    }

    #[test]
    fn lost_notices_and_hostile_text_are_json_too() {
        let lost =
            Lost { count: u64::MAX, kind: "a\x1b\"\n\u{9b}".to_owned(), cpu: Some(0), ..Lost::default() };
        let response = WatchEventsResponse { payload: Some(Payload::Lost(lost)), ..Default::default() };
        let line = json("WatchEventsResponse", &response);
        assert_eq!(
            line,
            "{\"lost\":{\"kind\":\"a\\u001b\\\"\\n\\u009b\",\"cpu\":0,\"count\":18446744073709551615}}\n"
        );
    }

    #[test]
    fn every_message_that_is_written_has_a_descriptor() {
        for name in ["WatchEventsRequest", "WatchEventsResponse", "WatchSummariesRequest"] {
            assert!(POOL.get_message_by_name(&format!("observer.v1.{name}")).is_some(), "{name}");
        }
        for name in ["WatchSummariesResponse", "Connection", "WorkloadStatus", "Status", "Capability"] {
            assert!(POOL.get_message_by_name(&format!("observer.v1.{name}")).is_some(), "{name}");
        }
    }
}
