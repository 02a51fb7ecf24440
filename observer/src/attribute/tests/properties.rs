//! What holds in whatever order whatever happens: no path, process, name or label makes attribution panic or grow.

use proptest::prelude::*;

use super::*;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Made(u64, String),
    Removed(u64),
    Exec(u64, u32),
    Exit(u64, u32),
    Closed(u64),
    Named(String),
    Unknown(String),
    Later(u64),
}

/// Few ids, so that they are used again.
fn id() -> impl Strategy<Value = String> {
    (0_u8..24).prop_map(|n| format!("{n:064x}"))
}

fn step() -> impl Strategy<Value = Step> {
    let group = || 2_u64..60;
    let path = prop_oneof![
        id().prop_map(|id| format!("/kubepods/burstable/pod{UID}/{id}")),
        id().prop_map(|id| format!("/machine.slice/libpod-{id}.scope")),
        "(/[a-c]{1,2}\\.(service|slice)){1,3}",
        any::<String>(),
    ];
    prop_oneof![
        4 => (group(), path).prop_map(|(group, path)| Step::Made(group, path)),
        2 => group().prop_map(Step::Removed),
        4 => (group(), 1_u32..40).prop_map(|(group, pid)| Step::Exec(group, pid)),
        2 => (group(), 1_u32..40).prop_map(|(group, pid)| Step::Exit(group, pid)),
        2 => group().prop_map(Step::Closed),
        2 => id().prop_map(Step::Named),
        1 => id().prop_map(Step::Unknown),
        1 => (0_u64..2_000_000_000_000).prop_map(Step::Later),
    ]
}

/// What becomes of it; the events are counted.
fn run(steps: Vec<Step>, label: &str) -> Bench {
    let mut bench = Bench::new();
    for step in steps {
        match step {
            Step::Made(group, path) => bench.record(group, Body::CgroupMade { path }),
            Step::Removed(group) => bench.record(group, Body::CgroupRemoved),
            Step::Exec(group, pid) => bench.record(group, exec(pid, u64::from(pid))),
            Step::Exit(group, pid) => bench.record(group, exit(pid, u64::from(pid), Ending::Code(1))),
            Step::Closed(group) => bench.record(group, closed("10.0.0.9:1", "10.0.0.8:2")),
            Step::Named(id) => {
                let mut pod = pod_fact("10.0.0.9", "s1", UID);
                pod.labels = [(label.to_owned(), label.to_owned())].into();
                let (name, image) = (label.to_owned(), label.to_owned());
                bench.fact(Fact::Container(ContainerFact {
                    container_id: id,
                    sandbox: false,
                    name,
                    image,
                    attempt: None,
                    pod: Arc::new(pod),
                }));
            }
            Step::Unknown(container_id) => bench.fact(Fact::Unknown { container_id }),
            Step::Later(ns) => bench.time += ns,
        }
        bench.act(Attributor::expire);
    }
    bench
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tables_keep_their_bounds_and_events_their_order(
        steps in prop::collection::vec(step(), 0..200),
        label in any::<String>(),
    ) {
        let mut bench = run(steps, &label);
        for table in bench.attributor.tables() {
            prop_assert!(table.entries <= table.capacity, "{table:?}");
        }
        bench.act(|attributor, _, out| attributor.flush(out));
        for (event, sequence) in bench.events.iter().zip(1..) {
            prop_assert_eq!(event.sequence, sequence);
            prop_assert!(event.workload.is_some());
        }
    }
}
