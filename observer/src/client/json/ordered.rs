//! A message with the keys of its maps in order, so that the same message is always the same line.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, SerializeOptions, Value};
use serde::{Serialize, Serializer};

/// A message as JSON. What Google's own messages are in JSON, the library knows.
pub(super) struct Ordered<'a>(pub(super) &'a DynamicMessage, pub(super) &'a SerializeOptions);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(message, options) = *self;
        let descriptor = message.descriptor();
        if descriptor.package_name() == "google.protobuf" {
            return message.serialize_with_options(serializer, options);
        }
        let fields = descriptor.fields().filter(|field| message.has_field(field));
        serializer.collect_map(fields.map(|field| {
            let (value, kind) = (message.get_field(&field), field.kind());
            (field.name().to_owned(), Of { value, kind, options })
        }))
    }
}

/// A value of that kind.
struct Of<'a> {
    value: Cow<'a, Value>,
    kind: Kind,
    options: &'a SerializeOptions,
}

impl Serialize for Of<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { value, kind, options } = self;
        match &**value {
            Value::Bool(value) => value.serialize(serializer),
            Value::I32(value) => value.serialize(serializer),
            Value::I64(value) => value.serialize(serializer),
            Value::U32(value) => value.serialize(serializer),
            Value::U64(value) => value.serialize(serializer),
            Value::F32(value) if value.is_finite() => value.serialize(serializer),
            Value::F64(value) if value.is_finite() => value.serialize(serializer),
            Value::F32(value) => serializer.serialize_str(infinite(f64::from(*value))),
            Value::F64(value) => serializer.serialize_str(infinite(*value)),
            Value::String(value) => value.serialize(serializer),
            Value::Bytes(value) => serializer.serialize_str(&BASE64_STANDARD.encode(value)),
            Value::EnumNumber(number) => match kind.as_enum().and_then(|of| of.get_value(*number)) {
                Some(known) => serializer.serialize_str(known.name()),
                None => number.serialize(serializer),
            },
            Value::Message(message) => Ordered(message, options).serialize(serializer),
            Value::List(values) => serializer.collect_seq(values.iter().map(|value| Of {
                value: Cow::Borrowed(value),
                kind: kind.clone(),
                options,
            })),
            Value::Map(values) => {
                let kind = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
                let mut entries: Vec<(String, &Value)> =
                    values.iter().map(|(key, value)| (text(key), value)).collect();
                entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                serializer.collect_map(entries.into_iter().filter_map(|(key, value)| {
                    let kind = kind.clone()?;
                    Some((key, Of { value: Cow::Borrowed(value), kind, options }))
                }))
            }
        }
    }
}

fn text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// As the JSON mapping spells what JSON's numbers do not have.
fn infinite(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}
