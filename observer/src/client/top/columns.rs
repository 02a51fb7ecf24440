//! The columns of tables on the screen.

use super::super::table::{Column, NODE, figures, text};

/// The columns of workloads. Where the screen has 80, names have 31 of them.
pub(super) const WORKLOADS: [Column; 20] = [
    text("WORKLOAD", 30, 0),
    NODE,
    text("RESTARTS", 8, 1),
    text("VERDICT", 18, 2),
    figures("OPENED", 6, 2),
    figures("FAILED", 6, 1),
    figures("LIVE", 5, 3),
    figures("HS-P50", 7, 2),
    figures("HS-P99", 7, 1),
    figures("RTT-P50", 7, 2),
    figures("RTT-P99", 7, 1),
    figures("RETR", 6, 1),
    figures("RESETS", 6, 1),
    figures("OUT", 7, 3),
    figures("IN", 7, 3),
    figures("STALLED", 7, 3),
    figures("EXECS", 5, 4),
    figures("OOM", 3, 3),
    figures("CLOSED", 6, 4),
    figures("DROPS", 5, 5),
];

/// The columns of edges.
pub(super) const EDGES: [Column; 16] = [
    text("EDGE", 30, 0),
    NODE,
    text("VERDICT", 18, 1),
    figures("OPENED", 6, 2),
    figures("FAILED", 6, 1),
    figures("LIVE", 5, 3),
    figures("HS-P50", 7, 4),
    figures("HS-P99", 7, 2),
    figures("RTT-P50", 7, 3),
    figures("RTT-P99", 7, 1),
    figures("RETR", 6, 1),
    figures("RESETS", 6, 2),
    figures("OUT", 7, 3),
    figures("IN", 7, 3),
    figures("STALLED", 7, 3),
    figures("CLOSED", 6, 4),
];

/// The columns of connections.
pub(super) const LIVE: [Column; 12] = [
    text("CONNECTION", 30, 0),
    figures("AGE", 8, 1),
    figures("HS", 7, 2),
    figures("RTT", 7, 1),
    figures("RETR", 6, 1),
    text("NOW", 21, 1),
    figures("OUT", 7, 2),
    figures("IN", 7, 2),
    text("STATE", 11, 3),
    figures("ACCEPT", 7, 3),
    text("PROCESS", 18, 3),
    text("ADDRESSES", 44, 4),
];

/// The one column of events.
pub(super) const EVENTS: [Column; 1] = [text("EVENT", 30, 0)];
