//! Where the cgroup hierarchy of version 2 is mounted, from the text of mountinfo.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// This process's mounts.
pub(super) const MOUNTINFO: &str = "/proc/self/mountinfo";

/// The mount point of the hierarchy: one that shows its root is preferred over one that shows a part.
pub(super) fn cgroup2(mountinfo: &[u8]) -> Option<PathBuf> {
    let mut part = None;
    for line in mountinfo.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        let (Some(root), Some(point)) = (fields.nth(3), fields.next()) else { continue };
        // Optional fields follow, up to a dash; then the file system's type.
        if fields.find(|field| *field == b"-").is_none() || fields.next() != Some(b"cgroup2") {
            continue;
        }
        if !point.starts_with(b"/") {
            // It is outside of this process's root.
            continue;
        }
        let point = PathBuf::from(OsString::from_vec(unescape(point)));
        if root == b"/" {
            return Some(point);
        }
        part.get_or_insert(point);
    }
    part
}

/// Takes back the octal escapes of white space and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let octal = match (byte, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                rest = after;
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(byte));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURE: &[u8] = b"24 30 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw\n\
        34 25 0:29 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
    const HYBRID: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const CONTAINER: &[u8] = b"612 610 0:29 /../../.. /sys/fs/cgroup ro,relatime - cgroup2 cgroup rw\n\
        640 600 0:29 / /host/sys/fs/my\\040cgroup rw,relatime master:9 - cgroup2 cgroup2 rw\n";

    fn found(mountinfo: &[u8]) -> Option<String> {
        Some(cgroup2(mountinfo)?.to_string_lossy().into_owned())
    }

    #[test]
    fn finds_pure_and_hybrid_mounts() {
        assert_eq!(found(PURE).as_deref(), Some("/sys/fs/cgroup"));
        assert_eq!(found(HYBRID).as_deref(), Some("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn prefers_the_whole_hierarchy_and_unescapes() {
        assert_eq!(found(CONTAINER).as_deref(), Some("/host/sys/fs/my cgroup"));
        let part = CONTAINER.split(|byte| *byte == b'\n').next().unwrap();
        assert_eq!(found(part).as_deref(), Some("/sys/fs/cgroup"));
    }

    #[test]
    fn version_1_alone_and_nonsense_are_none() {
        assert_eq!(found(b"40 31 0:37 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"), None);
        for text in [
            &b""[..],
            b"\n\n",
            b"1 2 3",
            b"1 2 3 / /x",
            b"1 2 3 / /x rw -",
            b"\xff \xff \xff \xff - - cgroup2",
        ] {
            assert_eq!(found(text), None, "{text:?}");
        }
        assert_eq!(unescape(br"a\040b\134c\9\04"), br"a b\c\9\04");
    }
}
