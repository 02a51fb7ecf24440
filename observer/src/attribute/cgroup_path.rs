//! Whose a cgroup is, from its path alone: every runtime's layout, with both cgroup drivers.

/// What a path tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// A container.
    Container {
        /// The runtime's id (or LXC's name).
        id: String,
        /// The pod's UID, where the path has one.
        pod_uid: Option<String>,
    },
    /// A systemd unit.
    Unit(String),
    /// Neither.
    Host,
}

/// A path's owner, and how much of the path is the owner's own cgroup: what lies below it belongs to
/// it as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned<'a> {
    /// Whose.
    pub(crate) owner: Owner,
    /// The owner's own path.
    pub(crate) path: &'a str,
}

/// Finds the owner. The outermost container counts: what runs in a container belongs to it, also
/// where it is a container itself.
pub(crate) fn owner(path: &str) -> Owned<'_> {
    let mut pod_uid = None;
    let mut parent = "";
    let mut unit: Option<(&str, usize)> = None;
    let mut end = 0;
    for component in path.split('/') {
        end += component.len();
        if let Some(uid) = pod(component) {
            pod_uid = Some(uid);
        } else if let Some(id) = container(component, parent, pod_uid.is_some()) {
            return Owned { owner: Owner::Container { id, pod_uid }, path: &path[..end] };
        } else if is_unit(component) {
            unit = Some((component, end));
        }
        if !component.is_empty() {
            parent = component;
        }
        end += 1;
    }
    match unit {
        Some((name, end)) => Owned { owner: Owner::Unit(unescape(name)), path: &path[..end] },
        None => Owned { owner: Owner::Host, path: "/" },
    }
}

/// A pod's level: `pod<uid>` (cgroupfs) or `kubepods[-<class>]-pod<uid>.slice` (systemd, which takes
/// `_` for `-`).
fn pod(component: &str) -> Option<String> {
    let uid = match component.strip_suffix(".slice") {
        Some(slice) => slice.strip_prefix("kubepods")?.rsplit_once("-pod")?.1,
        None => component.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    // A UUID, or the 32 digits that static pods have.
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = uid.bytes().filter(|&b| b == b'-').count();
    (digits == 32 && digits + dashes == uid.len()).then_some(uid)
}

/// The prefixes that runtimes give to a container's scope with the systemd driver, CRI-O's with
/// cgroupfs as well. `conmon` scopes hold the monitor, not the container.
const SCOPES: [&str; 6] = ["cri-containerd-", "crio-", "docker-", "libpod-", "nerdctl-", "containerd-"];

fn container(component: &str, parent: &str, in_pod: bool) -> Option<String> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    if let Some(rest) = SCOPES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        return is_id(rest).then(|| rest.to_owned());
    }
    if is_id(component) {
        return Some(component.to_owned());
    }
    if let Some(name) = component.strip_prefix("lxc.payload.") {
        return Some(name.to_owned());
    }
    // Old LXC: /lxc/<name>; a runtime on cgroupfs inside a pod may take short ids.
    if parent == "lxc" && !component.is_empty() {
        return Some(component.to_owned());
    }
    (in_pod && component.len() >= 12 && component.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| component.to_owned())
}

/// 64 hexadecimal digits, the id of every OCI runtime's client.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_unit(component: &str) -> bool {
    [".service", ".scope", ".mount", ".socket", ".swap"]
        .iter()
        .any(|suffix| component.strip_suffix(suffix).is_some_and(|name| !name.is_empty()))
}

/// systemd writes some bytes of a unit's name as `\xNN`.
fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'\\')
            .then(|| tail.strip_prefix(b"x")?.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        if let Some(byte) = escaped {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const UID: &str = "4f1c2d3e-5a6b-4c7d-8e9f-001122334455";

    fn in_pod(path: &str) {
        let owned = owner(path);
        let expected = Owner::Container { id: ID.into(), pod_uid: Some(UID.into()) };
        assert_eq!(owned.owner, expected, "{path}");
        assert!(owned.path.contains(ID) && path.starts_with(owned.path), "{}", owned.path);
    }

    #[test]
    fn pods_of_every_driver_and_runtime() {
        let escaped = UID.replace('-', "_");
        in_pod(&format!("/kubepods/burstable/pod{UID}/{ID}"));
        in_pod(&format!("/kubepods/pod{UID}/{ID}"));
        in_pod(&format!("/kubepods/besteffort/pod{UID}/crio-{ID}"));
        in_pod(&format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{escaped}.slice/cri-containerd-{ID}.scope"
        ));
        in_pod(&format!("/kubepods.slice/kubepods-pod{escaped}.slice/crio-{ID}.scope"));
        in_pod(&format!(
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{escaped}.slice/docker-{ID}.scope"
        ));
        // kind and nested kubelets put a node's own path before it.
        in_pod(&format!("/kubelet.slice/kubelet-kubepods.slice/kubepods/burstable/pod{UID}/{ID}"));
    }

    #[test]
    fn what_runs_below_a_container_is_its_own() {
        let path = format!("/kubepods/burstable/pod{UID}/{ID}/system.slice/sshd.service");
        assert_eq!(owner(&path).path, format!("/kubepods/burstable/pod{UID}/{ID}"));
        let nested = format!("/docker/{ID}/docker/{}", ID.replace('0', "f"));
        assert_eq!(owner(&nested).owner, Owner::Container { id: ID.into(), pod_uid: None });
    }

    #[test]
    fn containers_without_pods() {
        for path in [
            format!("/docker/{ID}"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/machine.slice/libpod-{ID}.scope"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
            format!("/system.slice/nerdctl-{ID}.scope"),
            format!("/default/{ID}"),
        ] {
            assert_eq!(owner(&path).owner, Owner::Container { id: ID.into(), pod_uid: None }, "{path}");
        }
        assert_eq!(
            owner("/lxc.payload.web1/init.scope").owner,
            Owner::Container { id: "web1".into(), pod_uid: None }
        );
        assert_eq!(owner("/lxc/web1").owner, Owner::Container { id: "web1".into(), pod_uid: None });
    }

    #[test]
    fn units_and_the_host() {
        let unit = |path: &str| owner(path).owner;
        assert_eq!(unit("/system.slice/ssh.service"), Owner::Unit("ssh.service".into()));
        assert_eq!(unit("/init.scope"), Owner::Unit("init.scope".into()));
        assert_eq!(
            unit(
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte.scope"
            ),
            Owner::Unit("vte.scope".into())
        );
        assert_eq!(
            unit("/system.slice/dev-disk-by\\x2duuid.swap"),
            Owner::Unit("dev-disk-by-uuid.swap".into())
        );
        assert_eq!(
            unit(&format!("/machine.slice/libpod-conmon-{ID}.scope")),
            Owner::Unit(format!("libpod-conmon-{ID}.scope"))
        );
        for path in ["/", "", "/kubepods", &format!("/kubepods/burstable/pod{UID}"), "/system.slice", "/a/b"]
        {
            assert_eq!(unit(path), Owner::Host, "{path}");
        }
    }

    #[test]
    fn no_path_makes_it_panic() {
        for path in ["////", "/pod", "/.scope", "/é.service/\\x", "/\\x2.service", "\\xzz.service", "/lxc/"]
        {
            let owned = owner(path);
            assert!(path.starts_with(owned.path) || owned.path == "/", "{path}: {owned:?}");
        }
    }
}
