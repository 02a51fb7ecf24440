//! The daemon's state in sections, what was lost before everything else; or a relay's.

mod exporters;
mod maps;
mod probes;
mod recorder;
mod relay;
mod replay;
mod sessions;

use std::io;

use observer_proto::v1::{Capability, IdentitySource, Status};

use super::chosen::Chosen;
use super::color::Paint;
use super::escape::escape;
use super::look::Look;
use super::table::{Table, figures, text};
use super::units::{bytes, duration, plural};
use super::{cells, folded, json, lost};

/// Writes the state.
pub(crate) fn write_status(out: &mut dyn io::Write, look: &Look, status: &Status) -> io::Result<()> {
    if look.is_whole() {
        return json::write_whole(out, look, "Status", status);
    }
    if let Chosen::Fields(fields) = &look.chosen {
        let mut table = Table::new([text("FIELD", 22, 0), text("VALUE", 30, 0)]);
        for pair in cells::pairs(fields, look, status)? {
            table.row(Paint::Plain, pair.into());
        }
        return table.write(out, look);
    }
    if let Some(of) = &status.relay {
        return relay::write_relay(out, look, status, of);
    }
    if let Some(told) = &status.replay {
        replay::write_replay(out, look, status, told)?;
    }
    write_head(out, look, status)?;
    write_losses(out, look, status)?;
    sessions::write_sessions(out, look, status)?;
    if !status.folded_events.is_empty() {
        heading(out, look, "Only counted since the start, beyond a container's budget")?;
        writeln!(out, "  {}", folded::counts(&status.folded_events))?;
    }
    heading(out, look, "Capabilities")?;
    for capability in &status.capabilities {
        write_capability(out, look, capability)?;
    }
    heading(out, look, "Identities")?;
    write_sources(out, look, &status.identity_sources)?;
    recorder::write_recorder(out, look, status.recorder.as_ref())?;
    exporters::write_exporters(out, look, status)?;
    write_events(out, look, status)?;
    write_rings(out, look, status)?;
    maps::write_maps(out, look, status)?;
    probes::write_probes(out, look, status)
}

/// Each of where something is heard from, and whether that works.
fn write_sources(out: &mut dyn io::Write, look: &Look, sources: &[IdentitySource]) -> io::Result<()> {
    for source in sources {
        let (mark, paint) = if source.healthy { ("ok", Paint::Good) } else { ("failing", Paint::Failure) };
        let line =
            format!("{} {}: {}", escape(&source.name), escape(&source.endpoint), escape(&source.message));
        writeln!(out, "  {} {line}", look.painter.paint(paint, mark))?;
    }
    Ok(())
}

fn write_head(out: &mut dyn io::Write, look: &Look, status: &Status) -> io::Result<()> {
    let clock = look.clock();
    let head = format!(
        "observer {} on {}, kernel {}",
        escape(&status.version),
        escape(&status.node_name),
        escape(&status.kernel_release)
    );
    writeln!(out, "{}", look.painter.paint(Paint::Bold, head))?;
    let since =
        status.start_time.as_ref().map_or_else(String::new, |time| format!(" since {}", clock.date(time)));
    let share = super::units::percent(status.cpu_time_ns, status.uptime_ns);
    writeln!(
        out,
        "  up {}{since}, attached in {}",
        duration(status.uptime_ns),
        duration(status.attach_duration_ns)
    )?;
    writeln!(
        out,
        "  memory {} of at most {}, and {} of the kernel's, processor {} ({share} of one)",
        bytes(status.resident_bytes),
        bytes(status.most_resident_bytes),
        bytes(status.kernel_bytes),
        duration(status.cpu_time_ns)
    )?;
    let oldest = status
        .oldest_event
        .as_ref()
        .map_or_else(String::new, |time| format!(", the oldest of {}", clock.date(time)));
    let subscribers = plural(u64::from(status.subscribers), "subscriber");
    writeln!(out, "  {subscribers}, {} in memory{oldest}", plural(status.events_stored, "event"))?;
    if status.open_incidents > 0 {
        let open = plural(u64::from(status.open_incidents), "open incident");
        let words = format!("  {open}: see `observer incident list`");
        writeln!(out, "{}", look.painter.paint(Paint::Failure, words))?;
    }
    Ok(())
}

fn write_losses(out: &mut dyn io::Write, look: &Look, status: &Status) -> io::Result<()> {
    heading(out, look, "Lost since the start")?;
    let losses = lost::merge(&status.losses);
    if losses.is_empty() {
        return writeln!(out, "  {}", look.painter.paint(Paint::Good, "nothing"));
    }
    for loss in losses {
        writeln!(out, "  {}", look.painter.paint(Paint::Warning, lost::words(&loss, &look.clock())))?;
    }
    Ok(())
}

/// One capability: a line where it is there; where it is not, why, what is missing and what to do.
pub(crate) fn write_capability(
    out: &mut dyn io::Write,
    look: &Look,
    capability: &Capability,
) -> io::Result<()> {
    let name = escape(&capability.name);
    if capability.available {
        return writeln!(out, "  {} {name}", look.painter.paint(Paint::Good, "yes"));
    }
    writeln!(out, "  {} {name}: {}", look.painter.paint(Paint::Failure, "no "), escape(&capability.reason))?;
    for (what, words) in [("missing", &capability.consequence), ("remedy", &capability.remedy)] {
        if !words.is_empty() {
            writeln!(out, "      {what}: {}", escape(words))?;
        }
    }
    Ok(())
}

fn write_events(out: &mut dyn io::Write, look: &Look, status: &Status) -> io::Result<()> {
    heading(out, look, "Events since the start")?;
    let mut table = Table::new([text("  TYPE", 22, 0), figures("COUNT", 12, 0)]);
    for event in &status.events {
        table.row(Paint::Plain, vec![format!("  {}", escape(&event.r#type)), event.count.to_string()]);
    }
    table.write(out, look)
}

fn write_rings(out: &mut dyn io::Write, look: &Look, status: &Status) -> io::Result<()> {
    heading(out, look, "Rings and tables")?;
    let mut table = Table::new([
        text("  RING", 22, 0),
        figures("SIZE", 12, 0),
        figures("RECORDS", 12, 0),
        figures("LOST", 8, 0),
    ]);
    for ring in &status.rings {
        let paint = if ring.lost > 0 { Paint::Warning } else { Paint::Plain };
        let cells = vec![
            format!("  {}", escape(&ring.name)),
            bytes(ring.size_bytes),
            ring.records.to_string(),
            ring.lost.to_string(),
        ];
        table.row(paint, cells);
    }
    table.write(out, look)?;
    let mut table =
        Table::new([text("  TABLE", 22, 0), figures("ENTRIES", 12, 0), figures("CAPACITY", 12, 0)]);
    for one in &status.tables {
        let paint = if one.entries >= one.capacity { Paint::Warning } else { Paint::Plain };
        table.row(
            paint,
            vec![format!("  {}", escape(&one.name)), one.entries.to_string(), one.capacity.to_string()],
        );
    }
    table.write(out, look)
}

/// A heading of a section.
pub(crate) fn heading(out: &mut dyn io::Write, look: &Look, words: &str) -> io::Result<()> {
    writeln!(out, "{}", look.painter.paint(Paint::Bold, words))
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::{EventCount, KernelMap, LossSource, Lost, Probe, Ring};

    use super::super::testing;
    use super::*;

    fn status() -> Status {
        let mut lost = Lost { kind: "tcp_close".to_owned(), cpu: Some(0), count: 2, ..Lost::default() };
        lost.set_source(LossSource::Ring);
        Status {
            version: "0.1.0".to_owned(),
            node_name: "node1".to_owned(),
            kernel_release: "6.12.0".to_owned(),
            uptime_ns: 7_380_000_000_000,
            attach_duration_ns: 210_000_000,
            cpu_time_ns: 7_380_000_000,
            resident_bytes: 24 << 20,
            most_resident_bytes: 128 << 20,
            kernel_bytes: 21 << 20,
            kernel_maps: vec![
                KernelMap {
                    name: "NETWORK".to_owned(),
                    r#type: "ringbuf".to_owned(),
                    capacity: 16 << 20,
                    bytes: (16 << 20) + 12_288,
                    ..KernelMap::default()
                },
                KernelMap {
                    name: "BUDGETS".to_owned(),
                    r#type: "hash".to_owned(),
                    entries: Some(3),
                    capacity: 1_024,
                    bytes: 81_920,
                },
            ],
            subscribers: 1,
            losses: vec![lost.clone(), Lost { cpu: Some(1), count: 1, ..lost }],
            capabilities: vec![
                Capability { name: "tcp_close".to_owned(), available: true, ..Capability::default() },
                Capability {
                    name: "tcp_reset".to_owned(),
                    available: false,
                    reason: "no hook".to_owned(),
                    consequence: "resets are not seen".to_owned(),
                    remedy: "kernel 5.15".to_owned(),
                },
            ],
            identity_sources: vec![IdentitySource {
                name: "cri".to_owned(),
                endpoint: "unix:///run/containerd/containerd.sock".to_owned(),
                healthy: true,
                message: "containerd 2.0".to_owned(),
            }],
            events: vec![EventCount { r#type: "tcp_close".to_owned(), count: 12 }],
            rings: vec![Ring { name: "network".to_owned(), size_bytes: 8 << 20, records: 12, lost: 3 }],
            probes: vec![Probe {
                name: "p".to_owned(),
                hook: "h".to_owned(),
                detached: false,
                run_count: 2,
                run_time_ns: 1_000,
            }],
            ..Status::default()
        }
    }

    #[test]
    fn losses_and_what_is_missing_cannot_be_overlooked() {
        let mut out = Vec::new();
        write_status(&mut out, &testing::look(), &status()).unwrap();
        let expected = "\
observer 0.1.0 on node1, kernel 6.12.0
  up 2 h 3 min, attached in 210 ms
  memory 24 MiB of at most 128 MiB, and 21 MiB of the kernel's, processor 7.4 s (0.1% of one)
  1 subscriber, 0 events in memory
Lost since the start
  3 tcp_close records had no room in the ring
Capabilities
  yes tcp_close
  no  tcp_reset: no hook
      missing: resets are not seen
      remedy: kernel 5.15
Identities
  ok cri unix:///run/containerd/containerd.sock: containerd 2.0
Events since the start
  TYPE       COUNT
  tcp_close     12
Rings and tables
  RING        SIZE  RECORDS  LOST
  network  8.0 MiB       12     3
Maps in the kernel
  MAP      TYPE     ENTRIES  CAPACITY  MEMORY
  NETWORK  ringbuf        -  16777216  16 MiB
  BUDGETS  hash           3      1024  80 KiB
Probes
  PROBE  HOOK  RUNS    EACH
  p      h        2  500 ns
";
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(shown, expected, "\n{shown}");
    }
}
