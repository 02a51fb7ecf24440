//! The running kernel's own types are the sample, and garbage.

use super::*;

/// The kernel that runs the tests is the truth that is at hand everywhere.
fn running() -> Btf {
    Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux").unwrap()).unwrap()
}

#[test]
fn finds_members_through_anonymous_ones_and_arrays() {
    let btf = running();
    assert_eq!(btf.offset("list_head", "prev", 8), Ok(8));
    assert_eq!(btf.offset("sock", "__sk_common.skc_family", 2), btf.offset("sock_common", "skc_family", 2));
    let first = btf.offset("tcp_sock", "rtt_min.s[0].v", 4).unwrap();
    assert_eq!(btf.offset("tcp_sock", "rtt_min.s[1].v", 4), Ok(first + 8));
}

#[test]
fn refuses_what_is_absent_or_of_another_size() {
    let btf = running();
    assert_eq!(btf.offset("sock", "nothing", 4), Err(MemberError::Absent("sock.nothing".into())));
    assert!(matches!(btf.offset("list_head", "next", 4), Err(MemberError::Size { found: 8, .. })));
}

#[test]
fn tells_a_hooks_arguments() {
    let btf = running();
    let arguments = btf.hook_arguments("inet_sock_set_state").unwrap();
    assert_eq!(arguments.len(), 3);
    assert!(btf.is_pointer_to(arguments[0], "sock"));
    assert!(!btf.is_pointer_to(arguments[1], "sock"));
    assert_eq!(btf.hook_arguments("no_such_hook"), None);
}

#[test]
fn refuses_garbage() {
    assert!(Btf::parse(Vec::new()).is_err());
    assert!(Btf::parse(vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0]).is_err());
    let mut cut = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
    cut.truncate(cut.len() / 2);
    assert!(Btf::parse(cut).is_err());
}
