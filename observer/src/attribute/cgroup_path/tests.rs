//! Paths as real systems of every kind have them, and whose they are.

use super::*;

const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
const OTHER: &str = "e8c29da1a2f6c4bb032304f7dfbc5a767e026092c4a2fcbc830e58565f972f54";
const UID: &str = "4f1c2d3e-5a6b-4c7d-8e9f-001122334455";
const STATIC: &str = "b1e89a2fcc688644de3eb95aee8025ce";

fn container(id: &str, pod_uid: Option<&str>) -> Owner {
    Owner::Container { id: id.to_owned(), pod_uid: pod_uid.map(str::to_owned) }
}

/// The path is that pod's container's, and so is what lies below it.
fn in_pod(path: &str, uid: &str) {
    for below in ["", "/container", "/init.scope", "/kube-proxy", "/system.slice/sshd.service"] {
        let whole = format!("{path}{below}");
        let owned = owner(&whole);
        assert_eq!((owned.owner, owned.path), (container(ID, Some(uid)), path), "{whole}");
    }
}

/// The path is a container's without a pod, and so is what lies below it.
fn alone(path: &str, id: &str) {
    for below in ["", "/container", "/init.scope", "/system.slice/sshd.service"] {
        let whole = format!("{path}{below}");
        let owned = owner(&whole);
        assert_eq!((owned.owner, owned.path), (container(id, None), path), "{whole}");
    }
}

fn unit(path: &str, name: &str) {
    assert_eq!(owner(path).owner, Owner::Unit(name.to_owned()), "{path}");
}

fn host(path: &str) {
    assert_eq!(owner(path), Owned { owner: Owner::Host, path: "/" }, "{path}");
}

#[test]
fn pods_with_the_cgroupfs_driver() {
    // kubeadm, k3s, RKE2, GKE, MicroK8s, Talos; each class.
    in_pod(&format!("/kubepods/pod{UID}/{ID}"), UID);
    in_pod(&format!("/kubepods/burstable/pod{UID}/{ID}"), UID);
    in_pod(&format!("/kubepods/besteffort/pod{STATIC}/{ID}"), STATIC);
    // CRI-O has its prefix here too.
    in_pod(&format!("/kubepods/besteffort/pod{UID}/crio-{ID}"), UID);
    // Kata's virtual machine.
    in_pod(&format!("/kubepods/burstable/pod{UID}/kata_{ID}"), UID);
}

#[test]
fn pods_with_the_systemd_driver() {
    let escaped = UID.replace('-', "_");
    let slices = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{escaped}.slice");
    // kubeadm, EKS and Bottlerocket; OpenShift; dockershim and cri-dockerd; runtimes with other prefixes.
    for scope in ["cri-containerd-", "crio-", "docker-", "containerd-"] {
        in_pod(&format!("{slices}/{scope}{ID}.scope"), UID);
    }
    // Guaranteed pods have no class.
    in_pod(&format!("/kubepods.slice/kubepods-pod{escaped}.slice/crio-{ID}.scope"), UID);
    in_pod(
        &format!(
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{STATIC}.slice/cri-containerd-{ID}.scope"
        ),
        STATIC,
    );
}

#[test]
fn a_runtime_with_another_driver_than_its_kubelet() {
    let pod = format!("kubepods-besteffort-pod{}.slice", UID.replace('-', "_"));
    for before in ["", "/system.slice/containerd.service", "/system.slice/k3s.service"] {
        in_pod(&format!("{before}/{pod}:cri-containerd:{ID}"), UID);
    }
    in_pod(&format!("/{pod}:crio:{ID}"), UID);
    alone(&format!("/system.slice:docker:{ID}"), ID);
    host("/a:b:");
    host("/a:b:c");
}

#[test]
fn nodes_that_are_containers_have_pods_in_them() {
    let kubelet = format!(
        "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{}.slice",
        UID.replace('-', "_")
    );
    // kind and minikube, with Docker, Podman and LXC as what the node runs in.
    for node in [
        format!("/docker/{OTHER}"),
        format!("/system.slice/docker-{OTHER}.scope"),
        format!("/machine.slice/libpod-{OTHER}.scope/container"),
        "/lxc.payload.node-1".to_owned(),
    ] {
        in_pod(&format!("{node}/kubelet/kubepods/burstable/pod{UID}/{ID}"), UID);
        in_pod(&format!("{node}/kubepods/burstable/pod{UID}/{ID}"), UID);
        in_pod(&format!("{node}/{kubelet}/cri-containerd-{ID}.scope"), UID);
    }
    alone(&format!("/docker/{ID}"), ID);
    // The node's own services are the node's, and a pod without a container too.
    assert_eq!(owner(&format!("/docker/{ID}/system.slice/kubelet.service")).owner, container(ID, None));
    assert_eq!(owner(&format!("/docker/{ID}/kubelet/kubepods/pod{UID}")).owner, container(ID, None));
}

#[test]
fn containers_in_containers_belong_to_the_outer_one() {
    assert_eq!(owner(&format!("/docker/{ID}/docker/{OTHER}")).path, format!("/docker/{ID}"));
    let in_pod = format!("/kubepods/burstable/pod{UID}/{ID}");
    // Docker, and a whole cluster, in a pod.
    for below in [format!("docker/{OTHER}"), format!("docker/{OTHER}/kubepods/pod{STATIC}/{OTHER}")] {
        let path = format!("{in_pod}/{below}");
        assert_eq!(owner(&path), Owned { owner: container(ID, Some(UID)), path: &path[..in_pod.len()] });
    }
}

#[test]
fn docker_and_nerdctl() {
    alone(&format!("/docker/{ID}"), ID);
    alone(&format!("/system.slice/docker-{ID}.scope"), ID);
    alone(&format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"), ID);
    // A parent of one's own, and what services of clouds make of it.
    alone(&format!("/my.slice/docker-{ID}.scope"), ID);
    alone(&format!("/actions_job/{ID}"), ID);
    alone(&format!("/ecs/0123456789abcdef0123456789abcdef/{ID}"), ID);
    alone(&format!("/ecstasks.slice/ecstasks-0123456789abcdef.slice/docker-{ID}.scope"), ID);
    alone(
        "/ecs/34dc0b5e626f2c5c4c5170e34b10e765/34dc0b5e626f2c5c4c5170e34b10e765-1234567890",
        "34dc0b5e626f2c5c4c5170e34b10e765-1234567890",
    );
    alone(&format!("/default/{ID}"), ID);
    alone(&format!("/system.slice/nerdctl-{ID}.scope"), ID);
    alone(&format!("/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-{ID}.scope"), ID);
    unit("/system.slice/docker.service", "docker.service");
}

#[test]
fn podman() {
    alone(&format!("/machine.slice/libpod-{ID}.scope"), ID);
    alone(&format!("/libpod_parent/libpod-{ID}"), ID);
    alone(&format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"), ID);
    // Its pods.
    alone(&format!("/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope"), ID);
    alone(&format!("/libpod_parent/{OTHER}/libpod-{ID}"), ID);
    alone(&format!("/mine/{OTHER}/libpod-{ID}"), ID);
    host(&format!("/libpod_parent/{OTHER}"));
    host(&format!("/machine.slice/machine-libpod_pod_{OTHER}.slice"));
    // Quadlet's services split their cgroup in two.
    for service in [
        "/system.slice/nginx.service",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/redis.service",
        "/user.slice/user-1003.slice/user@1003.service/app.slice/app-kollektivkart.slice/kollektivkart@8000.service",
    ] {
        alone(&format!("{service}/libpod-payload-{ID}"), ID);
        // Before version 4.
        alone(&format!("{service}/{ID}"), ID);
    }
    unit("/system.slice/nginx.service/runtime", "nginx.service");
    // Its monitor is none of the container.
    host("/libpod_parent/conmon");
    host(&format!("/libpod_parent/{OTHER}/conmon"));
    unit(&format!("/machine.slice/libpod-conmon-{ID}.scope"), &format!("libpod-conmon-{ID}.scope"));
    let crio = format!("/kubepods.slice/kubepods-pod{}.slice", UID.replace('-', "_"));
    unit(&format!("{crio}/crio-conmon-{ID}.scope"), &format!("crio-conmon-{ID}.scope"));
}

#[test]
fn lxc_and_its_kin() {
    // LXC 4, LXD, Incus, Waydroid; in a project of LXD's.
    alone("/lxc.payload.web1", "web1");
    alone("/lxc.payload.gha-fleet_worker", "gha-fleet_worker");
    alone("/user.slice/user-1000.slice/user@1000.service/app.slice/lxc.payload.c1", "c1");
    // LXC 3 and Proxmox; the first releases of LXC 4.
    alone("/lxc/101", "101");
    assert_eq!(owner("/lxc/101/ns").path, "/lxc/101");
    alone("/lxc.payload/web1", "web1");
    alone("/garden/6f265890-5165-7fab-6b52-18d1", "6f265890-5165-7fab-6b52-18d1");
    for path in ["/lxc.monitor.web1", "/lxc.monitor/101", "/lxc.pivot", "/lxc", "/lxc.payload."] {
        host(path);
    }
    assert_eq!(owner(&format!("/lxc.payload.web1/docker/{ID}")).path, "/lxc.payload.web1");
    // A pod's level is no container, also where one could be.
    in_pod(&format!("/lxc/pod{UID}/{ID}"), UID);
    host(&format!("/lxc/pod{UID}"));
}

#[test]
fn machines_of_systemd() {
    alone("/machine.slice/systemd-nspawn@jammy.service/payload", "jammy");
    alone("/machine.slice/systemd-nspawn@delphix.uE0noy5.service/payload", "delphix.uE0noy5");
    alone("/machine.slice/container@web.service/payload", "web");
    alone("/machine.slice/machine-my\\x2dbox.scope/payload", "my-box");
    unit("/machine.slice/systemd-nspawn@jammy.service/supervisor", "systemd-nspawn@jammy.service");
    unit("/machine.slice/systemd-nspawn@jammy.service", "systemd-nspawn@jammy.service");
    // A virtual machine.
    unit("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", "machine-qemu-1-vm.scope");
    unit("/qemu.slice/100.scope", "100.scope");
}

#[test]
fn units_of_the_system_and_of_users() {
    unit("/system.slice/ssh.service", "ssh.service");
    unit("/init.scope", "init.scope");
    unit("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service");
    unit("/system.slice/dev-disk-by\\x2duuid.swap", "dev-disk-by-uuid.swap");
    unit("/runtime.slice/containerd.service", "containerd.service");
    unit("/user.slice/user-0.slice/session-3.scope", "session-3.scope");
    unit("/system.slice/_cpu.service", "cpu.service");
    // A unit that has its own cgroups below it is one unit.
    unit("/system.slice/systemd-udevd.service/udev", "systemd-udevd.service");
    unit("/system.slice/outer.service/inner.service", "outer.service");
    // Users have units of the same names as the system and as each other.
    let manager = "/user.slice/user-1000.slice/user@1000.service";
    unit(manager, "user@1000.service");
    unit(&format!("{manager}/init.scope"), "user@1000.service/init.scope");
    unit(&format!("{manager}/session.slice/dbus.service"), "user@1000.service/dbus.service");
    unit(
        &format!("{manager}/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope"),
        "user@1000.service/vte-spawn-1.scope",
    );
    // Talos has no systemd.
    unit("/podruntime/kubelet", "kubelet");
    unit("/system/apid", "apid");
    // A bare id is a container or a pod there as well.
    alone(&format!("/system/{ID}"), ID);
    host(&format!("/system/{ID}/libpod-conmon-{ID}"));
}

#[test]
fn the_host_itself() {
    for path in [
        "/",
        "",
        "//",
        "/kubepods",
        "/kubepods.slice",
        &format!("/kubepods/burstable/pod{UID}"),
        "/system.slice",
        "/user.slice/user-1000.slice",
        "/a/b",
        "/user/1000.user/c2.session",
        "/podruntime",
        "/a/system/b",
        "/docker",
        "/init",
    ] {
        host(path);
    }
}
