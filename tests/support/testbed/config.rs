//! Writes what containerd and its network plugins are told: everything in the testbed's folder, nothing from afar.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::Testbed;
use crate::guardian::containerd_config;
use crate::image;

/// Where distributions install the network plugins.
const PLUGINS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

pub(super) fn write(testbed: &Testbed) -> Result<()> {
    let dir = testbed.dir();
    let net = dir.join("net.d");
    fs::create_dir_all(&net)?;
    fs::write(net.join("10-testbed.conflist"), conflist(testbed).to_string())?;
    fs::write(containerd_config(dir), containerd(dir)?)?;
    Ok(())
}

/// `isGateway` is off, as it would turn the host's forwarding on: the bridge carries what pods say to each other
/// and to the host, and no packet gets further.
fn conflist(testbed: &Testbed) -> serde_json::Value {
    let network = testbed.network();
    json!({
        "cniVersion": "0.4.0",
        "name": network.bridge(),
        "plugins": [{
            "type": "bridge",
            "bridge": network.bridge(),
            "isGateway": false,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": testbed.dir().join("addresses"),
                "ranges": [[{"subnet": network.subnet()}], [{"subnet": network.subnet_v6()}]],
            },
        }],
    })
}

/// `restrict_oom_score_adj`: a process without CAP_SYS_RESOURCE may not lower its score, and runc would fail.
fn containerd(dir: &Path) -> Result<String> {
    let plugins = PLUGINS
        .into_iter()
        .find(|folder| Path::new(folder).join("bridge").is_file())
        .context("no network plugins: cargo xtask setup --tests installs them")?;
    let dir = dir.display();
    let pause = image::PAUSE;
    Ok(format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
temp = "{dir}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]

[grpc]
address = "{dir}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "{dir}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{dir}/net.d"

[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{dir}/runc"
SystemdCgroup = false
"#
    ))
}
