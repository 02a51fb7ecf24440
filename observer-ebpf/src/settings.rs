//! What the daemon tells the probes before they are loaded: frozen read-only globals.

/// The names of the settings, each a `u32` global of the probes.
pub mod name {
    /// 1 where `sched_process_exit` says whether the whole process ends (its second argument).
    pub const EXIT_HAS_GROUP_DEAD: &str = "EXIT_HAS_GROUP_DEAD";
    /// 1 where `mark_victim` gives the task, 0 where it gives only a pid.
    pub const VICTIM_IS_TASK: &str = "VICTIM_IS_TASK";
    /// Where `css_set.subsys` has the memory controller; [`ABSENT`](super::ABSENT) without one.
    pub const MEMORY_CONTROLLER: &str = "MEMORY_CONTROLLER";
    /// 1 where `tcp_retransmit_skb` gives an error (its third argument), and runs where there is one.
    pub const RETRANSMIT_HAS_ERROR: &str = "RETRANSMIT_HAS_ERROR";
    /// 1 where `tcp_send_reset` gives a reason (its third argument).
    pub const RESET_HAS_REASON: &str = "RESET_HAS_REASON";
    /// 1 where `kfree_skb` gives the socket that the packet came to (its fourth argument).
    pub const DROP_HAS_SOCKET: &str = "DROP_HAS_SOCKET";
    /// Records of one cgroup and [`class`](crate::budget::class) that are told in a period; 0 for no limit.
    pub const EVENT_BUDGET: &str = "EVENT_BUDGET";
}

/// The offset of a field that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;
