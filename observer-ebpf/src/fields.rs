//! The fields of kernel structures that the probes read, by name: the daemon finds their offsets in
//! the running kernel's BTF and the probes read them through typed pointers, so that the verifier
//! refuses a wrong one.

/// Hands the list of fields to the macro `$with`.
///
/// Each line: the global that holds the offset, the structure, the path of the member (a dot for a
/// member of a member, `[n]` for an element; after `|` another path to try), the type that is read
/// (a bit field at the beginning of its byte is a `u8`, to be masked), and whether the probes can do
/// without.
#[macro_export]
macro_rules! kernel_fields {
    ($with:ident) => {
        $with! {
            TASK_TGID: "task_struct", "tgid", u32, required;
            TASK_REAL_PARENT: "task_struct", "real_parent", *const Kernel, required;
            TASK_GROUP_LEADER: "task_struct", "group_leader", *const Kernel, required;
            TASK_START_BOOTTIME: "task_struct", "start_boottime", u64, required;
            TASK_FLAGS: "task_struct", "flags", u32, required;
            TASK_EXECS: "task_struct", "self_exec_id", u64, required;
            TASK_PARENT_EXECS: "task_struct", "parent_exec_id", u64, required;
            TASK_MM: "task_struct", "mm", *const Kernel, required;
            TASK_EXIT_CODE: "task_struct", "exit_code", u32, required;
            TASK_SIGNAL: "task_struct", "signal", *const Kernel, required;
            TASK_CGROUPS: "task_struct", "cgroups", *const Kernel, required;
            TASK_COMM: "task_struct", "comm", [u64; 2], required;
            TASK_CRED: "task_struct", "cred", *const Kernel, required;
            TASK_FS: "task_struct", "fs", *const Kernel, required;
            TASK_NSPROXY: "task_struct", "nsproxy", *const Kernel, required;
            TASK_CPU_TIME: "task_struct", "se.sum_exec_runtime", u64, required;
            TASK_CALL_STATUS: "task_struct", "thread_info.status", u32, optional;
            TASK_THREAD_NEXT: "task_struct", "thread_node.next", *const Kernel, required;
            CRED_CAPABILITIES: "cred", "cap_effective", u64, required;
            NSPROXY_MNT: "nsproxy", "mnt_ns", *const Kernel, required;
            NSPROXY_PID: "nsproxy", "pid_ns_for_children", *const Kernel, required;
            NSPROXY_NET: "nsproxy", "net_ns", *const Kernel, required;
            MNT_INUM: "mnt_namespace", "ns.inum", u32, required;
            PID_INUM: "pid_namespace", "ns.inum", u32, required;
            FS_DIRECTORY_MOUNT: "fs_struct", "pwd.mnt", *const Kernel, required;
            FS_DIRECTORY: "fs_struct", "pwd.dentry", *const Kernel, required;
            FS_ROOT_MOUNT: "fs_struct", "root.mnt", *const Kernel, required;
            FS_ROOT: "fs_struct", "root.dentry", *const Kernel, required;
            DENTRY_PARENT: "dentry", "d_parent", *const Kernel, required;
            DENTRY_NAME: "dentry", "d_name.name", *const Kernel, required;
            VFSMOUNT_ROOT: "vfsmount", "mnt_root", *const Kernel, required;
            MOUNT_ROOT: "mount", "mnt.mnt_root", *const Kernel, required;
            MOUNT_PARENT: "mount", "mnt_parent", *const Kernel, required;
            MOUNT_POINT: "mount", "mnt_mountpoint", *const Kernel, required;
            MM_ARG_START: "mm_struct", "arg_start", u64, required;
            MM_ARG_END: "mm_struct", "arg_end", u64, required;
            MM_FILE_PAGES: "mm_struct", "rss_stat[0].count|rss_stat.count[0]", u64, optional;
            MM_ANON_PAGES: "mm_struct", "rss_stat[1].count|rss_stat.count[1]", u64, optional;
            MM_SHMEM_PAGES: "mm_struct", "rss_stat[3].count|rss_stat.count[3]", u64, optional;
            BINPRM_FILENAME: "linux_binprm", "filename", *const Kernel, required;
            BINPRM_INTERPRETER: "linux_binprm", "interp", *const Kernel, required;
            SIGNAL_LIVE: "signal_struct", "live.counter", u32, required;
            SIGNAL_FLAGS: "signal_struct", "flags", u32, required;
            SIGNAL_GROUP_EXIT_CODE: "signal_struct", "group_exit_code", u32, required;
            SIGNAL_OOM_MM: "signal_struct", "oom_mm", *const Kernel, optional;
            SIGNAL_TTY: "signal_struct", "tty", *const Kernel, required;
            SIGNAL_THREADS: "signal_struct", "nr_threads", u32, required;
            SIGNAL_THREAD_HEAD: "signal_struct", "thread_head.next", *const Kernel, required;
            SIGNAL_CPU_TIME: "signal_struct", "sum_sched_runtime", u64, required;
            SIGNAL_PEAK_PAGES: "signal_struct", "maxrss", u64, required;
            CSS_SET_SUBSYS: "css_set", "subsys[0]", *const Kernel, optional;
            CSS_PARENT: "cgroup_subsys_state", "parent", *const Kernel, optional;
            CSS_CGROUP: "cgroup_subsys_state", "cgroup", *const Kernel, optional;
            MEMCG_USAGE: "mem_cgroup", "memory.usage.counter", u64, optional;
            MEMCG_LIMIT: "mem_cgroup", "memory.max", u64, optional;
            CSS_SET_DFL_CGRP: "css_set", "dfl_cgrp", *const Kernel, required;
            CGROUP_KN: "cgroup", "kn", *const Kernel, required;
            CGROUP_ROOT: "cgroup", "root", *const Kernel, required;
            CGROUP_ROOT_HIERARCHY: "cgroup_root", "hierarchy_id", u32, required;
            KERNFS_NODE_ID: "kernfs_node", "id", u64, required;
            KERNFS_NAME: "kernfs_node", "name", *const Kernel, required;
            KERNFS_PARENT: "kernfs_node", "__parent|parent", *const Kernel, required;
            SOCK_FAMILY: "sock_common", "skc_family", u16, required;
            SOCK_STATE: "sock_common", "skc_state", u8, required;
            SOCK_LOCAL_PORT: "sock_common", "skc_num", u16, required;
            SOCK_REMOTE_PORT: "sock_common", "skc_dport", u16, required;
            SOCK_LOCAL_V4: "sock_common", "skc_rcv_saddr", u32, required;
            SOCK_REMOTE_V4: "sock_common", "skc_daddr", u32, required;
            SOCK_LOCAL_V6: "sock_common", "skc_v6_rcv_saddr", [u64; 2], optional;
            SOCK_REMOTE_V6: "sock_common", "skc_v6_daddr", [u64; 2], optional;
            SOCK_INTERFACE: "sock_common", "skc_bound_dev_if", u32, required;
            SOCK_NET: "sock_common", "skc_net.net", *const Kernel, required;
            SOCK_FLAGS: "sock_common", "skc_flags", u64, required;
            SOCK_ERR: "sock", "sk_err", u32, required;
            SOCK_CGROUP: "sock", "sk_cgrp_data.cgroup", *const Kernel, required;
            SOCK_SOCKET: "sock", "sk_socket", *const Kernel, required;
            SOCK_BACKLOG: "sock", "sk_ack_backlog", u32, required;
            SOCK_MAX_BACKLOG: "sock", "sk_max_ack_backlog", u32, required;
            SOCK_DROPS: "sock", "sk_drops.counter", u32, optional;
            SOCK_LINGER_TIME: "sock", "sk_lingertime", u64, required;
            SOCK_PACING_RATE: "sock", "sk_pacing_rate", u64, required;
            SOCKET_SK: "socket", "sk", *const Kernel, required;
            NET_INUM: "net", "ns.inum", u32, required;
            TCP_LOCAL_PORT_BE: "tcp_sock", "inet_conn.icsk_inet.inet_sport", u16, required;
            TCP_BYTES_SENT: "tcp_sock", "bytes_sent", u64, required;
            TCP_BYTES_RETRANS: "tcp_sock", "bytes_retrans", u64, required;
            TCP_BYTES_RECEIVED: "tcp_sock", "bytes_received", u64, required;
            TCP_SEGS_OUT: "tcp_sock", "segs_out", u32, required;
            TCP_SEGS_IN: "tcp_sock", "segs_in", u32, required;
            TCP_TOTAL_RETRANS: "tcp_sock", "total_retrans", u32, required;
            TCP_SRTT_US: "tcp_sock", "srtt_us", u32, required;
            TCP_MDEV_US: "tcp_sock", "mdev_us", u32, required;
            TCP_MIN_RTT: "tcp_sock", "rtt_min.s[0].v", u32, required;
            TCP_DELIVERED: "tcp_sock", "delivered", u32, required;
            TCP_DELIVERED_CE: "tcp_sock", "delivered_ce", u32, required;
            TCP_DSACK_DUPS: "tcp_sock", "dsack_dups", u32, required;
            TCP_REORD_SEEN: "tcp_sock", "reord_seen", u32, required;
            TCP_CHRONO_TYPE: "tcp_sock", "chrono_type", u8, required;
            TCP_CHRONO_START: "tcp_sock", "chrono_start", u32, required;
            TCP_CHRONO_STAT: "tcp_sock", "chrono_stat", [u32; 3], required;
            TCP_RCV_NXT: "tcp_sock", "rcv_nxt", u32, required;
            TCP_COPIED_SEQ: "tcp_sock", "copied_seq", u32, required;
            TCP_SND_UNA: "tcp_sock", "snd_una", u32, required;
            TCP_SND_NXT: "tcp_sock", "snd_nxt", u32, required;
            TCP_WRITE_SEQ: "tcp_sock", "write_seq", u32, required;
            TCP_SND_WND: "tcp_sock", "snd_wnd", u32, required;
            TCP_RCV_WND: "tcp_sock", "rcv_wnd", u32, required;
            TCP_SND_CWND: "tcp_sock", "snd_cwnd", u32, required;
            TCP_MSS: "tcp_sock", "mss_cache", u32, required;
            TCP_RATE_DELIVERED: "tcp_sock", "rate_delivered", u32, required;
            TCP_RATE_INTERVAL_US: "tcp_sock", "rate_interval_us", u32, required;
            TCP_CA_STATE: "tcp_sock", "inet_conn.icsk_ca_state", u8, required;
            TCP_RETRANSMITS: "tcp_sock", "inet_conn.icsk_retransmits", u8, required;
            TCP_BACKOFF: "tcp_sock", "inet_conn.icsk_backoff", u8, required;
            TCP_PENDING_TIMER: "tcp_sock", "inet_conn.icsk_pending", u8, required;
            TCP_PROBES_OUT: "tcp_sock", "inet_conn.icsk_probes_out", u8, required;
            TCP_PROBES_SINCE: "tcp_sock", "inet_conn.icsk_probes_tstamp", u32, optional;
            REQUEST_RETRANS: "request_sock", "num_retrans", u8, required;
            SKB_CB: "sk_buff", "cb", [u8; 48], required;
            SKB_LEN: "sk_buff", "len", u32, required;
            SKB_HEAD: "sk_buff", "head", *const Kernel, required;
            SKB_DEV: "sk_buff", "dev", *const Kernel, required;
            SKB_NETWORK_HEADER: "sk_buff", "network_header", u16, required;
            SKB_TRANSPORT_HEADER: "sk_buff", "transport_header", u16, required;
            TCP_CB_FLAGS: "tcp_skb_cb", "tcp_flags", u8, optional;
            TCP_CB_FLAGS_WIDE: "tcp_skb_cb", "tcp_flags", u16, optional;
            TCP_CB_END_SEQ: "tcp_skb_cb", "end_seq", u32, required;
            TCP_CB_SACKED: "tcp_skb_cb", "sacked", u8, required;
            TCP_CB_SEGMENTS: "tcp_skb_cb", "tcp_gso_segs", u16, required;
            SKB_SK: "sk_buff", "sk", *const Kernel, optional;
            SKB_PROTOCOL: "sk_buff", "protocol", u16, optional;
            SKB_INCOMING: "sk_buff", "skb_iif", u32, optional;
            TCP_CB_SEQ: "tcp_skb_cb", "seq", u32, optional;
            SIGINFO_CODE: "kernel_siginfo", "si_code", i32, optional;
            REGS_SYSCALL: "pt_regs", "orig_ax", u64, optional;
            REGS_FIRST: "pt_regs", "di", u64, optional;
            REGS_SECOND: "pt_regs", "si", u64, optional;
            NETDEV_NET: "net_device", "nd_net.net", *const Kernel, required;
            NETDEV_INDEX: "net_device", "ifindex", u32, required;
        }
    };
}

/// One field: where the daemon finds it and where the probes expect its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The probes' global, a `u32`.
    pub global: &'static str,
    /// The structure's name in BTF.
    pub structure: &'static str,
    /// The member's path, alternatives parted by `|`.
    pub member: &'static str,
    /// How many bytes the probes read.
    pub size: usize,
    /// The probes cannot do without.
    pub required: bool,
}

/// Stands for any kernel structure behind a pointer; never read as such.
pub enum Kernel {}

macro_rules! table {
    ($($global:ident: $structure:literal, $member:literal, $type:ty, $need:ident;)*) => {
        /// All fields that the probes read.
        pub const FIELDS: &[Field] = &[$(Field {
            global: stringify!($global),
            structure: $structure,
            member: $member,
            size: size_of::<$type>(),
            required: matches!(stringify!($need).as_bytes(), b"required"),
        }),*];
    };
}

kernel_fields!(table);
