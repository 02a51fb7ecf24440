//! Metrics of what the daemon has in the kernel and in memory.

use super::{Metric, Unit, Word, counter, gauge, status, word};

const ENTRIES: Unit = Unit::Things("{entry}");
const RECORDS: Unit = Unit::Things("{record}");

const RING: Word = word("ring", "observer.ring");
const PROGRAM: Word = word("program", "observer.program");
const TABLE: Word = word("table", "observer.table");
const MAP: Word = word("map", "observer.map");

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "observer_ring_size_bytes",
        "observer.ring.size",
        Unit::Bytes,
        status!(|of, out| for ring in &of.rings {
            out.count(&[ring.name], ring.size_bytes);
        }),
    )
    .help("The size of a ring buffer, in bytes.")
    .told("Status.rings.size_bytes")
    .by(&[RING]),
    counter(
        "observer_ring_records_total",
        "observer.ring.records",
        RECORDS,
        status!(|of, out| for ring in &of.rings {
            out.count(&[ring.name], ring.records);
        }),
    )
    .help("Records taken from a ring buffer.")
    .told("Status.rings.records")
    .by(&[RING]),
    counter(
        "observer_ring_lost_records_total",
        "observer.ring.lost_records",
        RECORDS,
        status!(|of, out| for ring in &of.rings {
            out.count(&[ring.name], ring.lost);
        }),
    )
    .help("Records that found no room in a ring buffer.")
    .told("Status.rings.lost")
    .by(&[RING]),
    counter(
        "observer_program_runs_total",
        "observer.program.runs",
        Unit::Things("{run}"),
        status!(|of, out| for probe in &of.probes {
            out.count(&[&probe.name], probe.run_count);
        }),
    )
    .help("How often a program in the kernel ran; 0 where the kernel does not count (kernel.bpf_stats_enabled).")
    .told("Status.probes.run_count")
    .by(&[PROGRAM]),
    counter(
        "observer_program_run_seconds_total",
        "observer.program.run_time",
        Unit::Seconds,
        status!(|of, out| for probe in &of.probes {
            out.nanoseconds(&[&probe.name], probe.run_time_ns);
        }),
    )
    .help("How long a program in the kernel ran, in seconds; 0 where the kernel does not measure.")
    .told("Status.probes.run_time_ns")
    .by(&[PROGRAM]),
    gauge(
        "observer_table_entries",
        "observer.table.entries",
        ENTRIES,
        status!(|of, out| for table in &of.tables {
            out.count(&[table.name], table.entries);
        }),
    )
    .help("Entries of a table of the daemon (docs/limits.md).")
    .told("Status.tables.entries")
    .by(&[TABLE]),
    gauge(
        "observer_table_capacity",
        "observer.table.capacity",
        ENTRIES,
        status!(|of, out| for table in &of.tables {
            out.count(&[table.name], table.capacity);
        }),
    )
    .help("How many entries a table of the daemon may have.")
    .told("Status.tables.capacity")
    .by(&[TABLE]),
    gauge(
        "observer_map_entries",
        "observer.map.entries",
        ENTRIES,
        status!(|of, out| for map in &of.kernel_maps {
            if let Some(entries) = map.entries {
                out.count(&[&map.name], entries);
            }
        }),
    )
    .help("Entries of a map in the kernel, where it has not always all of them.")
    .told("Status.kernel_maps.entries")
    .by(&[MAP]),
    gauge(
        "observer_map_capacity",
        "observer.map.capacity",
        ENTRIES,
        status!(|of, out| for map in &of.kernel_maps {
            out.count(&[&map.name], map.capacity);
        }),
    )
    .help("How many entries a map in the kernel may have; of a ring, bytes; 0 for what is kept beside sockets.")
    .told("Status.kernel_maps.capacity")
    .by(&[MAP]),
    gauge(
        "observer_map_memory_bytes",
        "observer.map.memory",
        Unit::Bytes,
        status!(|of, out| for map in &of.kernel_maps {
            out.count(&[&map.name], map.bytes);
        }),
    )
    .help("The kernel's memory that a map takes, in bytes.")
    .told("Status.kernel_maps.bytes")
    .by(&[MAP]),
    gauge("observer_kernel_memory_bytes", "observer.kernel.memory", Unit::Bytes, status!(|of, out| out.count(&[], of.kernel_bytes)))
        .help("The kernel's memory that maps and programs take, in bytes.")
        .told("Status.kernel_bytes"),
    gauge("observer_resident_memory_bytes", "observer.memory.resident", Unit::Bytes, status!(|of, out| out.count(&[], of.resident_bytes)))
        .help("The daemon's resident memory, in bytes.")
        .told("Status.resident_bytes"),
    gauge(
        "observer_resident_memory_limit_bytes",
        "observer.memory.limit",
        Unit::Bytes,
        status!(|of, out| out.count(&[], of.most_resident_bytes)),
    )
    .help("What the daemon's resident memory may be at most (max_memory), in bytes.")
    .told("Status.most_resident_bytes"),
    counter("observer_cpu_seconds_total", "observer.cpu.time", Unit::Seconds, status!(|of, out| out.nanoseconds(&[], of.cpu_time_ns)))
        .help("The processor time that the daemon used, in seconds.")
        .told("Status.cpu_time_ns"),
];
