//! Whose a cgroup is, from its path alone: every runtime's layout, with both cgroup drivers.

use std::borrow::Cow;

/// What a path tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// A container.
    Container {
        /// The runtime's id (or the name that LXC and systemd-nspawn know it by).
        id: String,
        /// The pod's UID, where the path has one.
        pod_uid: Option<String>,
    },
    /// A systemd unit; one of a user's own manager with that before it: `user@1000.service/dbus.service`.
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

/// Finds the owner. The outermost container of a pod counts, else the outermost container: what runs in a container
/// belongs to it, also where it is a container itself; but a container that is a whole node (kind, minikube) has the
/// pods of that node in it.
pub(crate) fn owner(path: &str) -> Owned<'_> {
    let mut pod_uid = None;
    let mut container = None;
    let mut unit: Option<Unit<'_>> = None;
    let mut parent = "";
    let mut components = components(path).peekable();
    while let Some((component, end)) = components.next() {
        let (next, next_end) = components.peek().copied().unwrap_or(("", end));
        let (slice, name) = slice_and_name(component);
        let of_pod = pod(slice.unwrap_or(component));
        let is_pods_own = of_pod.is_some() && slice.is_none();
        pod_uid = of_pod.or(pod_uid);
        let found = if let Some(machine) = machine(component).filter(|_| next == "payload") {
            Some((machine, next_end))
        } else if is_pods_own || is_podmans_pod(component, parent, next) {
            None
        } else {
            container_id(&name, parent, pod_uid.is_some()).map(|id| (id, end))
        };
        match found {
            Some((id, end)) if pod_uid.is_some() => {
                return Owned { owner: Owner::Container { id, pod_uid }, path: &path[..end] };
            }
            Some(found) => container = container.or(Some(found)),
            None => unit = Unit::below(unit, component, parent, end),
        }
        parent = component;
    }
    if let Some((id, end)) = container {
        return Owned { owner: Owner::Container { id, pod_uid: None }, path: &path[..end] };
    }
    match unit {
        Some(unit) => Owned { owner: Owner::Unit(unit.full_name()), path: &path[..unit.end] },
        None => Owned { owner: Owner::Host, path: "/" },
    }
}

/// Users may make cgroups there, and call them what they like.
pub(crate) fn is_users(path: &str) -> bool {
    path.starts_with("/user.slice/")
}

/// The components of a path that are not empty, each with the place where it ends.
fn components(path: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut end = 0;
    path.split('/').filter_map(move |component| {
        let at = end + component.len();
        end = at + 1;
        (!component.is_empty()).then_some((component, at))
    })
}

/// `<slice>:<prefix>:<id>` is how runtimes are told a slice and a scope. One with the cgroupfs driver that is told so by
/// a client with the systemd driver makes a single folder of it.
fn slice_and_name(component: &str) -> (Option<&str>, Cow<'_, str>) {
    let mut parts = component.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(slice), Some(prefix), Some(id)) if !id.is_empty() => {
            (Some(slice), Cow::Owned(format!("{prefix}-{id}")))
        }
        _ => (None, Cow::Borrowed(component)),
    }
}

/// A pod's level: `pod<uid>` (cgroupfs) or `[<parent>-]kubepods[-<class>]-pod<uid>.slice` (systemd, which takes `_` for
/// `-`, and repeats the name of a kubelet's own slice in each one below it).
fn pod(component: &str) -> Option<String> {
    let uid = match component.strip_suffix(".slice") {
        Some(slice) => slice.split_once("kubepods")?.1.rsplit_once("-pod")?.1,
        None => component.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    // A UUID, or the 32 digits that static pods have.
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = uid.bytes().filter(|&b| b == b'-').count();
    (digits == 32 && digits + dashes == uid.len()).then_some(uid)
}

/// The prefixes that runtimes give to a container's scope with the systemd driver; CRI-O, Podman and Kata with cgroupfs
/// as well. Scopes with `conmon` hold the monitor, not the container.
const SCOPES: [&str; 8] =
    ["cri-containerd-", "crio-", "docker-", "libpod-payload-", "libpod-", "nerdctl-", "containerd-", "kata_"];

fn container_id(component: &str, parent: &str, in_pod: bool) -> Option<String> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    if let Some(rest) = SCOPES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        return is_id(rest).then(|| rest.to_owned());
    }
    if is_id(component) {
        return Some(component.to_owned());
    }
    if let Some(name) = component.strip_prefix("lxc.payload.").filter(|name| !name.is_empty()) {
        return Some(name.to_owned());
    }
    // LXC before 4.0, and Proxmox: /lxc/<name>; the first ones of 4.0: /lxc.payload/<name>. Cloud Foundry's Garden and
    // Fargate have ids of their own kinds.
    let of_its_own = match parent {
        "lxc" | "lxc.payload" | "garden" => true,
        _ if in_pod => component.len() >= 12 && component.bytes().all(|b| b.is_ascii_hexdigit()),
        _ => is_fargates(component),
    };
    of_its_own.then(|| component.to_owned())
}

/// 64 hexadecimal digits, the id of every OCI runtime's client.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `<task>-<number>`: 32 hexadecimal digits and up to ten decimal ones.
fn is_fargates(text: &str) -> bool {
    text.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && task.bytes().all(|b| b.is_ascii_hexdigit())
            && (1..=10).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// With cgroupfs a pod of Podman is a folder with a bare id as its name, in which are the containers.
fn is_podmans_pod(component: &str, parent: &str, next: &str) -> bool {
    is_id(component) && (parent == "libpod_parent" || next.starts_with("libpod-"))
}

/// The name of a machine of systemd-nspawn, of its own unit or registered with machined. Its processes are below
/// `payload`; beside that is the supervisor, which is the unit's.
fn machine(component: &str) -> Option<String> {
    let name = match component.strip_suffix(".service") {
        Some(service) => {
            ["systemd-nspawn@", "container@"].iter().find_map(|prefix| service.strip_prefix(prefix))?
        }
        None => component.strip_suffix(".scope")?.strip_prefix("machine-")?,
    };
    (!name.is_empty()).then(|| unescape(name))
}

/// A systemd unit on the way down a path.
struct Unit<'a> {
    /// The user's manager that it is a unit of.
    manager: Option<&'a str>,
    name: &'a str,
    end: usize,
}

impl<'a> Unit<'a> {
    /// Goes one level down. What is below a unit is that unit's, whatever it is called, unless it is a user's manager.
    fn below(found: Option<Self>, component: &'a str, parent: &str, end: usize) -> Option<Self> {
        // Talos has no systemd, and its services each have a folder in one of these two. What is called by a bare id
        // is none: it is a container, or the pod of one.
        let of_talos = matches!(parent, "podruntime" | "system")
            && end == parent.len() + component.len() + 2
            && !is_id(component);
        let is_unit = is_unit(component) || of_talos;
        match found {
            None if is_unit => Some(Self { manager: None, name: component, end }),
            Some(Self { manager: None, name, .. }) if is_unit && name.starts_with("user@") => {
                Some(Self { manager: Some(name), name: component, end })
            }
            found => found,
        }
    }

    fn full_name(&self) -> String {
        // systemd puts `_` before a name that the kernel could take for a file of its own.
        let plain = |name: &str| unescape(name.strip_prefix('_').unwrap_or(name));
        match self.manager {
            Some(manager) => format!("{}/{}", plain(manager), plain(self.name)),
            None => plain(self.name),
        }
    }
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
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
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
mod properties;
#[cfg(test)]
mod tests;
