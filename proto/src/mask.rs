//! Field masks: which fields of a message are told, applied to its encoded bytes without decoding them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::LazyLock;

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use prost_types::FileDescriptorSet;

use crate::v1::FILE_DESCRIPTOR_SET;

const PACKAGE: &str = "observer.v1";
/// So many paths a mask may have.
const MOST_PATHS: usize = 100;
/// So many bytes a path may have.
const LONGEST_PATH: usize = 200;

/// The API's messages without their comments, which are most of the descriptor; empty if it could not be read, which a
/// test excludes.
static MESSAGES: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    files.file.iter_mut().for_each(|file| file.source_code_info = None);
    DescriptorPool::from_file_descriptor_set(files).unwrap_or_default()
});

/// The fields of one kind of message that are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Fields);

/// By number.
type Fields = BTreeMap<u32, Told>;

/// What is told of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Whole,
    /// These fields of the message in it.
    Part(Fields),
}

/// A mask that names what is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMask(String);

impl fmt::Display for InvalidMask {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Error for InvalidMask {}

impl Mask {
    /// Compiles the paths of a mask for a message of the API. `always` are told as well.
    pub fn compile(message: &str, paths: &[String], always: &[&str]) -> Result<Self, InvalidMask> {
        let of = MESSAGES
            .get_message_by_name(&format!("{PACKAGE}.{message}"))
            .ok_or_else(|| InvalidMask(format!("the API has no message {message}")))?;
        if paths.len() > MOST_PATHS {
            let words = format!("{} paths are too many: at most {MOST_PATHS} are allowed", paths.len());
            return Err(InvalidMask(words));
        }
        let mut fields = Fields::new();
        for path in paths.iter().map(String::as_str).chain(always.iter().copied()) {
            if path.len() > LONGEST_PATH {
                let begin: String = path.chars().take(40).collect();
                let words =
                    format!("the path that begins with {begin:?} is longer than {LONGEST_PATH} bytes");
                return Err(InvalidMask(words));
            }
            add(&mut fields, &of, path, path)?;
        }
        Ok(Self(fields))
    }

    /// The mask of a message that holds the masked one in this field, and of which nothing else is told.
    #[must_use]
    pub fn within(self, field: u32) -> Self {
        Self(Fields::from([(field, Told::Part(self.0))]))
    }

    /// What is told of an encoded message. From where it is malformed nothing is told of it.
    pub fn prune(&self, message: &[u8]) -> Vec<u8> {
        let mut told = Vec::with_capacity(message.len().min(512));
        // Where it ends early, what came before is told.
        let _whole = copy(&self.0, message, &mut told);
        told
    }

    /// What is told of a message.
    pub fn apply<M: Message + Default>(&self, message: M) -> M {
        // What was encoded here can be decoded.
        M::decode(self.prune(&message.encode_to_vec()).as_slice()).unwrap_or(message)
    }
}

/// Adds what a path names, of which `rest` is still to be followed from this message on.
fn add(fields: &mut Fields, of: &MessageDescriptor, rest: &str, path: &str) -> Result<(), InvalidMask> {
    let (name, rest) = rest.split_once('.').map_or((rest, None), |(name, rest)| (name, Some(rest)));
    let field = of.get_field_by_name(name).ok_or_else(|| unknown(of, name, path))?;
    let Some(rest) = rest else {
        fields.insert(field.number(), Told::Whole);
        return Ok(());
    };
    let inner = message_of(&field).ok_or_else(|| no_way_into(&field, path))?;
    match fields.entry(field.number()).or_insert_with(|| Told::Part(Fields::new())) {
        Told::Part(fields) => add(fields, &inner, rest, path),
        // It is told already; that the path exists is checked all the same.
        Told::Whole => add(&mut Fields::new(), &inner, rest, path),
    }
}

/// The message whose fields can be told one by one.
fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let kind = field.kind();
    let message = kind.as_message().filter(|_| !field.is_map())?;
    (message.package_name() == PACKAGE).then(|| message.clone())
}

fn unknown(of: &MessageDescriptor, name: &str, path: &str) -> InvalidMask {
    let names: Vec<String> = of.fields().map(|field| field.name().to_owned()).collect();
    InvalidMask(format!("{path:?}: {} has no field {name:?}; it has {}", of.name(), names.join(", ")))
}

fn no_way_into(field: &FieldDescriptor, path: &str) -> InvalidMask {
    let kind = match field.kind() {
        _ if field.is_map() => "a map".to_owned(),
        Kind::Message(message) => format!("a {}", message.name()),
        Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64
        | Kind::Bool
        | Kind::String
        | Kind::Bytes
        | Kind::Enum(_) => "no message".to_owned(),
    };
    let name = field.name();
    InvalidMask(format!("{path:?}: {name} is {kind}, so no part of it can be had; end the path with {name}"))
}

/// Copies the fields that are told. `None` where the message is malformed: what came before is copied.
fn copy(fields: &Fields, mut from: &[u8], to: &mut Vec<u8>) -> Option<()> {
    while !from.is_empty() {
        let whole = from;
        let (number, wire_type) = decode_key(&mut from).ok()?;
        let value = take(&mut from, wire_type)?;
        match fields.get(&number) {
            Some(Told::Whole) => to.extend_from_slice(&whole[..whole.len() - from.len()]),
            Some(Told::Part(fields)) if wire_type == WireType::LengthDelimited => {
                encode_key(number, wire_type, to);
                copy_part(fields, value, to)?;
            }
            // A part of what is no message: none of ours has it so.
            Some(Told::Part(_)) | None => {}
        }
    }
    Some(())
}

/// Copies what is told of the message in a field, behind its length.
fn copy_part(fields: &Fields, from: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let place = to.len();
    // Most lengths fit into one byte.
    to.push(0);
    let copied = copy(fields, from, to);
    let length = to.len() - place - 1;
    if length < 0x80 {
        to[place] = length as u8;
    } else {
        let mut prefix = Vec::with_capacity(10);
        encode_varint(length as u64, &mut prefix);
        to.splice(place..=place, prefix);
    }
    copied
}

/// Takes a field's value off; of one with a length what is behind that, of others nothing.
fn take<'a>(from: &mut &'a [u8], wire_type: WireType) -> Option<&'a [u8]> {
    let length = match wire_type {
        WireType::Varint => return decode_varint(from).ok().map(|_| &[][..]),
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(from).ok()?).ok()?,
        // proto3 has no groups.
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (value, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(value)
}
