//! What `--fields` leaves of the output: fields of the API's messages, or columns of tables.

use std::sync::Arc;

use itertools::Itertools as _;
use observer_proto::Mask;
use prost_types::FieldMask;

use super::Error;
use super::look::Format;
use super::table::Column;

/// What is shown; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) enum Chosen {
    /// Everything.
    #[default]
    All,
    /// These columns of tables, in this order.
    Columns(Arc<[String]>),
    /// These fields of messages.
    Fields(Arc<Fields>),
}

/// Fields of one kind of message.
#[derive(Debug)]
pub(crate) struct Fields {
    /// The message's name in the API.
    pub(crate) item: &'static str,
    /// The fields, by their paths.
    pub(crate) paths: Vec<String>,
    mask: Mask,
    /// The same for a message of a stream, which holds an item in its first field.
    in_stream: Mask,
}

impl Chosen {
    /// What these names mean for that kind of message in that format. Where there are no columns, they are fields in
    /// every format.
    pub(crate) fn of(
        names: &[String],
        format: Format,
        item: &'static str,
        columns: &[Column],
    ) -> Result<Self, Error> {
        if names.is_empty() {
            return Ok(Self::All);
        }
        if format.is_whole() || columns.is_empty() {
            let paths = names.to_vec();
            let mask = Mask::compile(item, &paths, &[]).map_err(|error| Error::Fields(error.to_string()))?;
            let in_stream = mask.clone().within(1);
            return Ok(Self::Fields(Arc::new(Fields { item, paths, mask, in_stream })));
        }
        for name in names {
            if !columns.iter().any(|column| column.is(name)) {
                let titles = columns.iter().map(|column| column.title).unique().join(", ");
                return Err(Error::Fields(format!("there is no column {name:?}; the columns are {titles}")));
            }
        }
        Ok(Self::Columns(names.into()))
    }

    /// What is asked of the daemon: the fields, and those that the client itself needs.
    pub(crate) fn mask(&self, needed: &[&str]) -> Option<FieldMask> {
        let Self::Fields(fields) = self else { return None };
        let needed = needed.iter().map(|path| (*path).to_owned());
        let mut paths = fields.paths.clone();
        paths.extend(needed.filter(|path| !fields.paths.contains(path)));
        Some(FieldMask { paths })
    }

    /// What is shown of an encoded message with that name in the API.
    pub(crate) fn prune(&self, name: &str, message: Vec<u8>) -> Vec<u8> {
        let Self::Fields(fields) = self else { return message };
        if name == fields.item {
            return fields.mask.prune(&message);
        }
        // A message of a stream that holds no item is shown whole.
        let pruned = fields.in_stream.prune(&message);
        if pruned.is_empty() { message } else { pruned }
    }
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::{Lost, WatchEventsResponse, watch_events_response::Payload};
    use prost::Message as _;

    use super::super::table::{figures, text};
    use super::super::testing;
    use super::*;

    fn of(names: &str, format: Format, columns: &[Column]) -> Result<Chosen, String> {
        let names: Vec<String> = names.split(',').map(str::to_owned).collect();
        Chosen::of(&names, format, "Event", columns).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_fields_or_columns() {
        let columns = [text("NAME", 5, 0), figures("HS-P99", 5, 0), text("NAME", 6, 0)];
        assert!(matches!(of("hs-p99,NAME", Format::Wide, &columns), Ok(Chosen::Columns(_))));
        assert!(matches!(of("time,workload.pod", Format::Json, &columns), Ok(Chosen::Fields(_))));
        assert!(matches!(of("time", Format::Compact, &[]), Ok(Chosen::Fields(_))));
        let error = of("name,time", Format::Compact, &columns).unwrap_err();
        assert_eq!(error, "--fields: there is no column \"time\"; the columns are NAME, HS-P99");
        let error = of("time,pod", Format::Yaml, &columns).unwrap_err();
        assert!(
            error.starts_with("--fields: \"pod\": Event has no field \"pod\"; it has sequence,"),
            "{error}"
        );
    }

    #[test]
    fn what_is_asked_for_is_what_is_shown_and_what_is_needed() {
        let chosen = of("time,workload.pod", Format::Json, &[]).unwrap();
        let FieldMask { paths } = chosen.mask(&["sequence", "time"]).unwrap();
        assert_eq!(paths, ["time", "workload.pod", "sequence"]);
        assert_eq!(Chosen::All.mask(&["sequence"]), None);
    }

    #[test]
    fn only_items_are_pruned() {
        let chosen = of("workload.pod", Format::Json, &[]).unwrap();
        let event = testing::response(testing::connect());
        let shown = chosen.prune("WatchEventsResponse", event.encode_to_vec());
        let shown = WatchEventsResponse::decode(shown.as_slice()).unwrap();
        let Some(Payload::Event(shown)) = shown.payload else { panic!("no event") };
        assert_eq!((shown.sequence, shown.workload.unwrap().pod.as_str()), (0, "cart-7d9f"));
        let lost = Lost { count: 3, ..Lost::default() };
        let lost = WatchEventsResponse { payload: Some(Payload::Lost(lost)), ..event }.encode_to_vec();
        assert_eq!(chosen.prune("WatchEventsResponse", lost.clone()), lost);
    }
}
