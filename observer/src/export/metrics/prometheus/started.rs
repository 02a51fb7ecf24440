//! When series began, in Prometheus' messages: newer ones take it for a first value of 0, and so miss no first second.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prost_types::Timestamp;

use crate::event::WallTime;

/// Puts it in, in the order in which the series were told.
pub(super) fn put(families: &mut [MetricFamily], starts: &[WallTime]) {
    let series = families.iter_mut().flat_map(|family| &mut family.metric);
    for (series, start) in series.zip(starts) {
        let start =
            Timestamp { seconds: (start.0 / 1_000_000_000) as i64, nanos: (start.0 % 1_000_000_000) as i32 };
        if let Some(counter) = &mut series.counter {
            counter.start_timestamp = Some(start);
        }
        if let Some(histogram) = &mut series.histogram {
            histogram.start_timestamp = Some(start);
        }
    }
}
