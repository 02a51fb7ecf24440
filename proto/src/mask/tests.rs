//! Masks against the other way to the same: decode the whole, then clear the fields.

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, ReflectMessage as _, Value};

use super::*;
use crate::{Encoded, served, v1};

const ITEMS: [&str; 5] = ["Event", "Summary", "Connection", "Listener", "WorkloadStatus"];

fn message(name: &str) -> MessageDescriptor {
    MESSAGES.get_message_by_name(&format!("{PACKAGE}.{name}")).unwrap()
}

fn mask(of: &str, paths: &[&str]) -> Result<Mask, String> {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    Mask::compile(of, &paths, &[]).map_err(|error| error.to_string())
}

/// All paths of a message, those that lead through others included.
fn paths(of: &MessageDescriptor) -> Vec<String> {
    let through = |field: FieldDescriptor| {
        let inner = message_of(&field).map(|inner| paths(&inner)).unwrap_or_default();
        let name = field.name().to_owned();
        let longer: Vec<String> = inner.iter().map(|path| format!("{name}.{path}")).collect();
        std::iter::once(name).chain(longer)
    };
    of.fields().flat_map(through).collect()
}

/// A message with some of its fields set, those of a oneof in turn, so that the last one stays.
fn some(of: &MessageDescriptor, rng: &mut TestRng) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        if rng.random_bool(0.6) {
            message.set_field(&field, value(&field, rng));
        }
    }
    message
}

fn value(field: &FieldDescriptor, rng: &mut TestRng) -> Value {
    if field.is_map() {
        let entry = |rng: &mut TestRng| (MapKey::String(rng.random::<u16>().to_string()), text(rng));
        return Value::Map((0..rng.random_range(0..3)).map(|_| entry(rng)).collect());
    }
    if field.is_list() {
        return Value::List((0..rng.random_range(0..4)).map(|_| single(field, rng)).collect());
    }
    single(field, rng)
}

fn text(rng: &mut TestRng) -> Value {
    // At times long enough for a length of more than one byte.
    let length = if rng.random_bool(0.1) { 300 } else { rng.random_range(0..20) };
    Value::String("x".repeat(length))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "a test notices by itself where the API has another kind")]
fn single(field: &FieldDescriptor, rng: &mut TestRng) -> Value {
    match field.kind() {
        Kind::Message(inner) => Value::Message(some(&inner, rng)),
        Kind::Enum(_) => Value::EnumNumber(rng.random_range(0..20)),
        Kind::String => text(rng),
        Kind::Bool => Value::Bool(rng.random()),
        Kind::Uint32 => Value::U32(rng.random()),
        Kind::Uint64 => Value::U64(rng.random()),
        Kind::Int32 | Kind::Sint32 => Value::I32(rng.random()),
        Kind::Int64 | Kind::Sint64 => Value::I64(rng.random()),
        Kind::Double => Value::F64(rng.random()),
        Kind::Bytes => Value::Bytes(vec![rng.random(); 3].into()),
        other => panic!("{other:?}"),
    }
}

/// Clears what no path names.
fn clear(message: &mut DynamicMessage, paths: &[&str]) {
    for field in message.descriptor().fields() {
        let inner: Vec<&str> =
            paths.iter().filter_map(|path| path.strip_prefix(field.name())?.strip_prefix('.')).collect();
        if paths.contains(&field.name()) || !message.has_field(&field) {
            continue;
        }
        if inner.is_empty() {
            message.clear_field(&field);
            continue;
        }
        let value = message.get_field_mut(&field);
        if let Some(several) = value.as_list_mut() {
            for one in several {
                clear(one.as_message_mut().unwrap(), &inner);
            }
        } else {
            clear(value.as_message_mut().unwrap(), &inner);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn pruning_is_clearing(item in prop::sample::select(&ITEMS[..]), count in 0_usize..12, rng in any::<u64>().prop_perturb(|_, rng| rng)) {
        let (of, mut rng) = (message(item), rng);
        let all = paths(&of);
        let chosen: Vec<&str> = (0..count).map(|_| all[rng.random_range(0..all.len())].as_str()).collect();
        let mask = mask(item, &chosen).unwrap();
        let bytes = some(&of, &mut rng).encode_to_vec();
        let decode = |bytes: &[u8]| DynamicMessage::decode(of.clone(), bytes).unwrap();
        let mut cleared = decode(&bytes);
        clear(&mut cleared, &chosen);
        // A message that was cleared of all that it held differs from an empty one, but not in what it says.
        let [cleared, pruned] = [cleared.encode_to_vec(), mask.prune(&bytes)].map(|bytes| decode(&bytes));
        prop_assert!(cleared == pruned, "{chosen:?}\n{cleared}\n{pruned}");
    }

    #[test]
    fn garbage_is_left_out(item in prop::sample::select(&ITEMS[..]), garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let all = paths(&message(item));
        let names: Vec<&str> = all.iter().map(String::as_str).filter(|path| path.contains('.')).take(100).collect();
        prop_assert!(mask(item, &names).unwrap().prune(&garbage).len() <= garbage.len());
    }

    #[test]
    fn what_is_cut_off_is_told_up_to_there(cut in 0_usize..1000, rng in any::<u64>().prop_perturb(|_, rng| rng)) {
        let (of, mut rng) = (message("Event"), rng);
        let bytes = some(&of, &mut rng).encode_to_vec();
        let mask = mask("Event", &["time", "workload.pod", "tcp_close.tcp.source.workload"]).unwrap();
        let told = mask.prune(&bytes[..cut.min(bytes.len())]);
        prop_assert!(told.len() <= mask.prune(&bytes).len() + 16);
    }
}

#[test]
fn a_served_message_keeps_what_it_holds_encoded() {
    let workload = v1::Workload { pod: "web".to_owned(), name: "web".to_owned(), ..v1::Workload::default() };
    let tcp = served::TcpSummary { opened: 3, failed: 4, ..served::TcpSummary::default() };
    let summary = served::Summary {
        workload: Some(Encoded::of(&workload)),
        tcp: Some(tcp),
        window_ns: 9,
        ..served::Summary::default()
    };
    let told = mask("Summary", &["workload.pod", "tcp.failed"]).unwrap().apply(summary);
    let got = v1::Summary::decode(told.encode_to_vec().as_slice()).unwrap();
    let workload = v1::Workload { pod: "web".to_owned(), ..v1::Workload::default() };
    let tcp = v1::TcpSummary { failed: 4, ..v1::TcpSummary::default() };
    assert_eq!(got, v1::Summary { workload: Some(workload), tcp: Some(tcp), ..v1::Summary::default() });
}

#[test]
fn every_item_can_be_masked() {
    for item in ITEMS {
        let all = paths(&message(item));
        assert!(all.len() > 20 && all.iter().all(|path| mask(item, &[path]).is_ok()), "{item}");
    }
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let refused = |path: &str| mask("Event", &[path]).unwrap_err();
    let unknown = refused("workload.pood");
    assert!(
        unknown
            .starts_with("\"workload.pood\": Workload has no field \"pood\"; it has kind, name, namespace"),
        "{unknown}"
    );
    assert!(refused("").contains("Event has no field \"\"; it has sequence, time, type"));
    assert!(refused("detail").contains("Event has no field \"detail\""));
    assert!(refused("time.\u{1b}[2J").starts_with("\"time.\\u{1b}[2J\": time is a Timestamp, so no part"));
    assert!(refused("workload.labels.app").contains("labels is a map"));
    assert!(refused("workload.pod.").contains("pod is no message"));
    assert!(refused("type.name").contains("type is no message"));
    assert!(mask("Event", &["workload", "workload.pood"]).is_err());
    let long = refused(&"workload.".repeat(30));
    assert!(long.starts_with("the path that begins with \"workload.workload.") && long.len() < 120, "{long}");
    assert!(mask("Event", &["time"; 100]).is_ok());
    assert!(mask("Event", &["time"; 101]).unwrap_err().starts_with("101 paths are too many"));
}

#[test]
fn the_wider_path_wins_and_some_are_always_told() {
    let whole = mask("Event", &["workload"]);
    assert_eq!(mask("Event", &["workload", "workload.pod"]), whole);
    assert_eq!(mask("Event", &["workload.pod", "workload"]), whole);
    let always = Mask::compile("Event", &["time".to_owned()], &["sequence"]).unwrap();
    assert_eq!(Ok(always), mask("Event", &["sequence", "time"]));
}
