//! What a cluster of 10,000 pods costs in memory.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::net::IpAddr;

use anyhow::{Result, ensure};
use observer_tests::kubernetes::{Fault, MOST_MEMORY, RESOURCES, large_pod, node, objects, service};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, KubernetesApi, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_pods_fit() -> Result<()> {
    const PODS: u32 = 10_000;
    let api = KubernetesApi::start().await?;
    let bytes = fill(&api, PODS)?;
    let daemon = Daemon::bare().args(api.daemon_args()).start().await?;
    let wanted = u64::from(PODS) + 500 + 100 + 1;
    eventually(4 * PATIENCE, "all objects to be known", async || {
        let known = objects(&daemon).await?;
        Ok(if known == wanted { Ok(()) } else { Err(known) })
    })
    .await?;
    api.all_watched().await?;
    let (now, most) = daemon.memory()?;
    println!("{PODS} pods of {bytes} bytes: {} KiB resident, {} KiB at most", now >> 10, most >> 10);
    ensure!(most < MOST_MEMORY, "{now} bytes resident, {most} at most");

    // All of it anew.
    api.compact();
    api.fault(Fault::End);
    eventually(4 * PATIENCE, "everything to be listed again", async || {
        let lists = api.asked().iter().filter(|asked| asked.is_list()).count();
        Ok(if lists == 2 * RESOURCES && api.watches() == RESOURCES { Ok(()) } else { Err(lists) })
    })
    .await?;
    ensure!(objects(&daemon).await? == wanted, "lost or doubled");
    let (now, most) = daemon.memory()?;
    println!("listed again: {} KiB resident, {} KiB at most", now >> 10, most >> 10);
    ensure!(most < MOST_MEMORY, "{now} bytes resident, {most} at most");
    Ok(())
}

/// Puts so many pods, services and nodes there; gives the size of a pod.
fn fill(api: &KubernetesApi, pods: u32) -> Result<usize> {
    let address = |first: u32, number: u32| IpAddr::from((first + number).to_be_bytes());
    for number in 0..pods {
        api.put(&large_pod(number))?;
    }
    for number in 0..500 {
        let name = format!("service-{number}");
        api.put(&service("shop", &name, Some(address(0x0a60_0000, number)), &[], 80))?;
    }
    for number in 0..100 {
        api.put(&node(&format!("node-{number}"), address(0xc000_0200, number)))?;
    }
    Ok(serde_json::to_vec(&large_pod(0))?.len())
}
