//! How values in tables are written: durations and sizes with units, lists that may be one value.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::bounds::{bytes_text, parse_bytes, parse_duration};

/// The word that turns a bound off.
const OFF: &str = "off";

/// A duration within bounds, such as `15s`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(
    of: D,
    bounds: &RangeInclusive<Duration>,
) -> Result<Duration, D::Error> {
    within(&String::deserialize(of)?, bounds, "").map_err(D::Error::custom)
}

/// The same, or `off`.
pub(crate) fn duration_or_off<'de, D: Deserializer<'de>>(
    of: D,
    bounds: &RangeInclusive<Duration>,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(of)?;
    if text == OFF {
        return Ok(None);
    }
    within(&text, bounds, ", and `off`").map(Some).map_err(D::Error::custom)
}

fn within(text: &str, bounds: &RangeInclusive<Duration>, more: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|value| bounds.contains(value)).ok_or_else(|| {
        let [least, most] = [bounds.start(), bounds.end()].map(spelled);
        format!("`{text}` is not allowed; allowed are durations from {least} to {most}{more}")
    })
}

/// As it would be written.
fn spelled(duration: &Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (0, millis) if millis > 0 => format!("{millis}ms"),
        (seconds, _) if seconds > 0 && seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        (seconds, _) => format!("{seconds}s"),
    }
}

/// A size within bounds, `100MiB` or in bytes; or `off`.
pub(crate) fn bytes_or_off<'de, D: Deserializer<'de>>(
    of: D,
    bounds: &RangeInclusive<u64>,
) -> Result<Option<u64>, D::Error> {
    let Word(text) = Word::deserialize(of)?;
    if text == OFF {
        return Ok(None);
    }
    parse_bytes(&text).filter(|value| bounds.contains(value)).map(Some).ok_or_else(|| {
        let [least, most] = [*bounds.start(), *bounds.end()].map(bytes_text);
        D::Error::custom(format!(
            "`{text}` is not allowed; allowed are sizes from {least} to {most}, and `off`"
        ))
    })
}

/// A size within bounds.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(of: D, bounds: &RangeInclusive<u64>) -> Result<u64, D::Error> {
    let Word(text) = Word::deserialize(of)?;
    parse_bytes(&text).filter(|value| bounds.contains(value)).ok_or_else(|| {
        let [least, most] = [*bounds.start(), *bounds.end()].map(bytes_text);
        D::Error::custom(format!("`{text}` is not allowed; allowed are sizes from {least} to {most}"))
    })
}

/// A whole number within bounds.
pub(crate) fn count<'de, D: Deserializer<'de>>(of: D, bounds: &RangeInclusive<u64>) -> Result<u64, D::Error> {
    let number = i64::deserialize(of)?;
    u64::try_from(number).ok().filter(|value| bounds.contains(value)).ok_or_else(|| {
        let (least, most) = (bounds.start(), bounds.end());
        D::Error::custom(format!("{number} is not allowed; allowed are whole numbers from {least} to {most}"))
    })
}

/// A word, or a number as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(of: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Word;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string or a whole number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }

        of.deserialize_any(Either)
    }
}

/// One or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Many<T>(pub(crate) Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(of: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = Many<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("one, or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.into_deserializer()).map(|one| Many(vec![one]))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                T::deserialize(number.into_deserializer()).map(|one| Many(vec![one]))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(table)).map(|one| Many(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Many)
            }
        }

        of.deserialize_any(Any(PhantomData))
    }
}
