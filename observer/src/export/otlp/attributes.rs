//! Attributes: OpenTelemetry's names with their values.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};

/// Longer texts are cut: command lines and the like may be of any length.
const MOST_BYTES: usize = 4096;

/// Attributes in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// Adds a text; nothing where it is empty, as what is empty is not known.
    pub(super) fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.add(key, Value::StringValue(cut(text).to_owned()));
        }
    }

    /// Adds several texts under one name; nothing where there are none.
    pub(super) fn texts<'a>(&mut self, key: &str, texts: impl IntoIterator<Item = &'a str>) {
        let values: Vec<AnyValue> = texts.into_iter().map(any).collect();
        if !values.is_empty() {
            self.add(key, Value::ArrayValue(ArrayValue { values }));
        }
    }

    /// Adds a number.
    pub(super) fn number(&mut self, key: &str, number: u64) {
        self.add(key, Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)));
    }

    /// Adds a number, where there is one.
    pub(super) fn known(&mut self, key: &str, number: Option<impl Into<u64>>) {
        if let Some(number) = number {
            self.number(key, number.into());
        }
    }

    /// Adds a time in seconds.
    pub(super) fn seconds(&mut self, key: &str, ns: Option<u64>) {
        if let Some(ns) = ns {
            self.add(key, Value::DoubleValue(ns as f64 / 1e9));
        }
    }

    /// Adds that something is so; nothing where it is not.
    pub(super) fn flag(&mut self, key: &str, is_so: bool) {
        if is_so {
            self.add(key, Value::BoolValue(true));
        }
    }

    /// All of them.
    pub(super) fn into_inner(self) -> Vec<KeyValue> {
        self.0
    }

    fn add(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }
}

/// A text as a value.
pub(super) fn any(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(cut(text).to_owned())) }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_BYTES)]
}

/// The text of one of them, for tests.
#[cfg(test)]
pub(super) fn of<'a>(all: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    all.iter()
        .find(|one| one.key == key)
        .and_then(|one| one.value.as_ref())
        .and_then(|one| one.value.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out_and_what_is_long_is_cut() {
        let mut all = Attributes::default();
        all.text("empty", "");
        all.flag("no", false);
        all.known("none", None::<u32>);
        all.seconds("none", None);
        all.text("long", &"ä".repeat(4000));
        all.known("some", Some(3_u32));
        all.number("large", u64::MAX);
        let all = all.into_inner();
        assert_eq!(all.len(), 3);
        assert!(matches!(of(&all, "long"), Some(Value::StringValue(text)) if text.len() == MOST_BYTES));
        assert_eq!(of(&all, "some"), Some(&Value::IntValue(3)));
        assert_eq!(of(&all, "large"), Some(&Value::IntValue(i64::MAX)));
    }
}
