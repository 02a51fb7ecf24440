//! What the pure stages cost, record by record and event by event.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use observer::bench::{
    Aggregation, Attribution, Decoded, Events, Filtering, Raw, connections, decode, processes,
};

/// Connections of a round (four records each), and processes (two each).
const CONNECTIONS: u64 = 1000;
const PROCESSES: u64 = 500;

/// What happens in a round.
type Happening = (&'static str, fn(u64) -> Raw);

const HAPPENINGS: [Happening; 2] = [
    ("connections", |round| connections(round, CONNECTIONS)),
    ("processes", |round| processes(round, PROCESSES)),
];

fn stages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stages");
    for (name, raw) in HAPPENINGS {
        let one = raw(0);
        group.throughput(Throughput::Elements(one.count() as u64));
        group.bench_function(format!("decode_{name}"), |bench| bench.iter(|| black_box(decode(&one))));

        let mut attribution = Attribution::default();
        let mut events = Events::default();
        let mut round = 0;
        group.bench_function(format!("attribute_{name}"), |bench| {
            let next = || {
                round += 1;
                (decode(&raw(round)), round)
            };
            let attribute = |(records, round): (Decoded, u64)| {
                attribution.attribute(records, round, &mut events);
            };
            bench.iter_batched(next, attribute, BatchSize::PerIteration);
        });

        let (mut attribution, mut aggregation) = (Attribution::default(), Aggregation::default());
        let mut round = 0;
        group.bench_function(format!("aggregate_{name}"), |bench| {
            let next = || {
                round += 1;
                let mut events = Events::default();
                attribution.attribute(decode(&raw(round)), round, &mut events);
                (events, round)
            };
            let aggregate = |(events, round): (Events, u64)| {
                aggregation.aggregate(&events, round);
                // Dropped outside of what is measured.
                events
            };
            bench.iter_batched(next, aggregate, BatchSize::PerIteration);
        });
    }

    let mut events = Events::default();
    Attribution::default().attribute(decode(&connections(0, CONNECTIONS)), 0, &mut events);
    group.throughput(Throughput::Elements(events.count() as u64));
    for (name, filter) in [("failures", Filtering::failures()), ("pod_and_port", Filtering::pod_and_port())] {
        let Some(filter) = filter else { continue };
        group.bench_function(format!("filter_{name}"), |bench| {
            bench.iter(|| black_box(filter.passing(&events)));
        });
    }
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
