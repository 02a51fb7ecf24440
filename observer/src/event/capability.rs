//! The names of capabilities.

/// In the order of their numbers (include/uapi/linux/capability.h), named as Kubernetes does.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The names of a set of capabilities, a bit each. More than half of them are told as `ALL`, with those that are missing
/// behind it, each after a minus.
pub(crate) fn capabilities(set: u64) -> Vec<String> {
    let all = (1 << NAMES.len()) - 1;
    let names = |set: u64| {
        let name = |bit: usize| NAMES.get(bit).map_or_else(|| format!("CAP_{bit}"), |&name| name.to_owned());
        (0..u64::BITS as usize).filter(move |bit| set >> bit & 1 == 1).map(name)
    };
    let missing = all & !set;
    if missing.count_ones() as usize >= NAMES.len() / 2 {
        return names(set).collect();
    }
    ["ALL".to_owned()].into_iter().chain(names(missing).map(|name| format!("-{name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels_numbers() {
        assert_eq!(capabilities(0), [""; 0]);
        // CAP_NET_ADMIN is 12, CAP_SYS_ADMIN 21, CAP_BPF 39; 50 is none yet.
        assert_eq!(capabilities(1 << 12 | 1 << 21 | 1 << 39), ["NET_ADMIN", "SYS_ADMIN", "BPF"]);
        assert_eq!(capabilities(1 << 50), ["CAP_50"]);
        assert_eq!(capabilities(0x1ff_ffff_ffff), ["ALL"]);
        assert_eq!(capabilities(0x1ff_feff_ffff), ["ALL", "-SYS_RESOURCE"]);
    }
}
