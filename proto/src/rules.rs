//! Rules of the API, as buf's `STANDARD` and `COMMENTS` have them (https://buf.build/docs/lint/rules), and its `WIRE_JSON`
//! compatibility: what a client was built with stays what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use prost_types::FileDescriptorProto;

use crate::v1::FILE_DESCRIPTOR_SET;

const PACKAGE: &str = "observer.v1";
/// Its values are the same in JSON, on the command line and in metrics, so they do not carry the enumeration's name.
const PLAIN_ENUM: &str = "observer.v1.EventType";
/// All that was released. A line may come, and none may go.
const RELEASED: &str = include_str!("../released.txt");

fn pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap()
}

fn files(pool: &DescriptorPool) -> Vec<FileDescriptorProto> {
    let files = pool.files().filter(|file| file.package_name() == PACKAGE);
    files.map(|file| file.file_descriptor_proto().clone()).collect()
}

fn messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let own = pool.all_messages().filter(|message| message.package_name() == PACKAGE);
    own.filter(|message| !message.is_map_entry()).collect()
}

fn enums(pool: &DescriptorPool) -> Vec<EnumDescriptor> {
    pool.all_enums().filter(|one| one.package_name() == PACKAGE).collect()
}

fn is_snake(name: &str, letter: fn(&char) -> bool) -> bool {
    name.starts_with(|first: char| letter(&first))
        && name.chars().all(|one| letter(&one) || one.is_ascii_digit() || one == '_')
        && !name.contains("__")
        && !name.ends_with('_')
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|one| one.is_ascii_alphanumeric())
}

/// `EventType` as `EVENT_TYPE`.
fn screaming(name: &str) -> String {
    let mut screaming = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            screaming.push('_');
        }
        screaming.push(letter.to_ascii_uppercase());
    }
    screaming
}

#[test]
fn names_are_as_everywhere() {
    let pool = pool();
    for message in messages(&pool) {
        assert!(is_pascal(message.name()), "{}", message.full_name());
        for field in message.fields() {
            assert!(is_snake(field.name(), char::is_ascii_lowercase), "{}", field.full_name());
        }
    }
    for one in enums(&pool) {
        assert!(is_pascal(one.name()), "{}", one.full_name());
        let zero = one.get_value(0).unwrap();
        assert_eq!(zero.name(), format!("{}_UNSPECIFIED", screaming(one.name())));
        for value in one.values().filter(|value| value.number() != 0) {
            let plain = one.full_name() == PLAIN_ENUM;
            let prefix = format!("{}_", screaming(one.name()));
            let fits = if plain {
                is_snake(value.name(), char::is_ascii_lowercase)
            } else {
                value.name().starts_with(&prefix) && is_snake(value.name(), char::is_ascii_uppercase)
            };
            assert!(fits, "{}", value.full_name());
        }
    }
    let (mut requests, mut responses) = (BTreeSet::new(), BTreeSet::new());
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        assert!(is_pascal(method.name()), "{}", method.full_name());
        let [request, response] = [method.input(), method.output()].map(|of| of.name().to_owned());
        assert_eq!(
            [&request, &response],
            [&format!("{}Request", method.name()), &format!("{}Response", method.name())]
        );
        assert!(
            requests.insert(request) && responses.insert(response),
            "{} is used twice",
            method.full_name()
        );
    }
    for file in files(&pool) {
        assert!(file.name().starts_with("observer/v1/") && file.syntax() == "proto3", "{}", file.name());
    }
}

/// What may be without a comment: the file itself has its own, and options have none.
fn needs_comment(path: &[i32]) -> bool {
    // Numbers of fields of FileDescriptorProto, DescriptorProto, EnumDescriptorProto and ServiceDescriptorProto.
    matches!(path, [4..=6, _] | [4..=6, _, 2, _] | [4, _, 3 | 4 | 8, _])
}

#[test]
fn everything_is_documented() {
    let pool = pool();
    let mut places = 0;
    for file in files(&pool) {
        let info = file.source_code_info.clone().unwrap();
        for location in info.location.iter().filter(|location| needs_comment(&location.path)) {
            places += 1;
            let words = location.leading_comments().trim();
            let (name, line) = (file.name(), location.span.first().map_or(0, |line| line + 1));
            assert!(
                words.len() > 3 && words.trim_end_matches(')').ends_with('.'),
                "{name}:{line}: a comment in whole sentences: {words:?}"
            );
        }
    }
    assert!(places > 300, "{places} places only");
}

/// What a field is on the wire and in JSON.
#[allow(clippy::wildcard_enum_match_arm, reason = "all other kinds are scalars")]
fn signature(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(of) => of.full_name().to_owned(),
        scalar => format!("{scalar:?}"),
    };
    let label = match (field.is_map(), field.is_list(), field.supports_presence()) {
        (true, ..) => "map ",
        (_, true, _) => "repeated ",
        (.., true) => "optional ",
        _ => "",
    };
    let group = field.containing_oneof().filter(|group| !group.is_synthetic());
    let group = group.map_or_else(String::new, |group| format!(" of {}", group.name()));
    format!("{} = {} {label}{kind}{group}", field.full_name(), field.number())
}

#[test]
fn what_was_released_stays() {
    let pool = pool();
    let mut lines = Vec::new();
    lines.extend(
        messages(&pool)
            .iter()
            .flat_map(|message| message.fields().map(|field| signature(&field)).collect::<Vec<_>>()),
    );
    for one in enums(&pool) {
        lines.extend(
            one.values().map(|value| format!("{}.{} = {}", one.full_name(), value.name(), value.number())),
        );
    }
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let stream = if method.is_server_streaming() { "stream " } else { "" };
        lines.push(format!(
            "{}({}) {stream}{}",
            method.full_name(),
            method.input().name(),
            method.output().name()
        ));
    }
    lines.sort_unstable();
    let current: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
    let released: BTreeSet<&str> = RELEASED.lines().filter(|line| !line.starts_with('#')).collect();
    let gone: Vec<_> = released.difference(&current).collect();
    assert!(gone.is_empty(), "clients were built with these: {gone:#?}");
    let new = current.difference(&released).fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    });
    assert!(new.is_empty(), "to be added to proto/released.txt in the order of the alphabet:\n{new}");
}

#[test]
fn no_number_is_used_twice_over_time() {
    let numbers = RELEASED.lines().filter_map(|line| {
        let (name, rest) = line.split_once(" = ")?;
        let (owner, _) = name.rsplit_once('.')?;
        Some(((owner, rest.split(' ').next()?), name))
    });
    let mut names: BTreeMap<_, &str> = BTreeMap::new();
    for (number, name) in numbers {
        assert_eq!(names.insert(number, name), None, "{name}");
    }
}
