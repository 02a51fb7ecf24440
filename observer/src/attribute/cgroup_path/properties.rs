//! What holds of every path, whoever made it up.

use proptest::prelude::*;

use super::*;

/// Components that mean something, and ones that almost do.
fn component() -> impl Strategy<Value = String> {
    let id = "[0-9a-f]{64}";
    prop_oneof![
        id,
        "(crio|docker|libpod|libpod-payload|libpod-conmon|cri-containerd|kata_)-[0-9a-f]{63,65}(\\.scope)?",
        "(kubelet-)?kubepods(-burstable)?-pod[0-9a-f_]{31,37}\\.slice(:[a-z]{0,3}:[0-9a-f]{0,64})?",
        "pod[0-9a-f-]{30,38}",
        "(user@[0-9]{1,4}|machine-\\PC{0,4}|systemd-nspawn@\\PC{0,4})\\.(service|scope)",
        "(lxc|lxc\\.payload|libpod_parent|payload|kubepods|system|garden|podruntime|\\.scope|:|::|_)",
        "lxc\\.payload\\.\\PC{0,8}",
        "(\\\\x[0-9a-f+]{0,3}|\\PC){0,12}\\.(service|slice|mount)",
        "\\PC{0,255}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::collection::vec(component(), 0..12).prop_map(|parts| format!("/{}", parts.join("/"))),
        any::<String>(),
    ]
}

/// How much the owner's words take.
fn size(owner: &Owner) -> usize {
    match owner {
        Owner::Container { id, pod_uid } => id.len() + pod_uid.as_ref().map_or(0, String::len),
        Owner::Unit(name) => name.len(),
        Owner::Host => 0,
    }
}

proptest! {
    #[test]
    fn the_owners_path_is_the_beginning_of_the_path(path in path()) {
        let owned = owner(&path);
        prop_assert!(path.starts_with(owned.path) || (owned.owner == Owner::Host && owned.path == "/"));
    }

    #[test]
    fn an_owner_takes_no_more_than_its_path(path in path()) {
        // A byte that is no UTF-8 after its escape is taken away becomes a character of three.
        prop_assert!(size(&owner(&path).owner) <= path.len() + 64);
    }

    /// So a cgroup that is made in another one belongs to the same owner, in whatever order they become known.
    #[test]
    fn the_owners_own_path_has_the_same_owner(path in path()) {
        let owned = owner(&path);
        prop_assert_eq!(&owner(owned.path), &owned);
    }

    #[test]
    fn what_a_container_makes_below_itself_is_its_own(path in path(), below in "[a-z.]{1,20}") {
        let owned = owner(&path);
        if matches!(owned.owner, Owner::Container { .. }) {
            let below = format!("{}/{below}", owned.path);
            prop_assert_eq!(owner(&below), owned);
        }
    }

    #[test]
    fn the_owner_of_a_pods_container_is_told_by_its_path(uid in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", id in "[0-9a-f]{64}", before in "(/[a-z]{1,9}){0,3}") {
        let expected = Owner::Container { id: id.clone(), pod_uid: Some(uid.clone()) };
        let (cgroupfs, escaped) = (format!("{before}/pod{uid}/{id}"), uid.replace('-', "_"));
        prop_assert_eq!(owner(&cgroupfs).owner, expected.clone());
        let systemd = format!("{before}/kubepods-pod{escaped}.slice/crio-{id}.scope");
        prop_assert_eq!(owner(&systemd).owner, expected);
    }
}
