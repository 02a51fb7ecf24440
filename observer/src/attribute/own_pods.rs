//! What the Kubernetes API tells: of this node's pods, their owners, labels and containers; of all else, addresses.

use foldhash::HashMap;

use super::cluster::boot_time;
use super::{Attributor, Output};
use crate::event::{BootTime, Now};
use crate::inventory::ClusterFact;
use crate::inventory::cluster::{Body, Object, Resource};

/// The pods of this node that the API knows, by UID, each with the number of the list that it was in.
#[derive(Default)]
pub(super) struct OwnPods {
    pods: HashMap<String, u32>,
    list: u32,
}

impl Attributor {
    /// News of the cluster.
    pub(super) fn cluster(&mut self, fact: ClusterFact, now: Now, out: &mut Output) {
        let cluster = &mut self.addresses.cluster;
        match fact {
            ClusterFact::Listing(Resource::OwnPods) => self.own_pods.list += 1,
            ClusterFact::Has(Resource::OwnPods, pods) => {
                for pod in pods {
                    self.own_pod(pod, now, out);
                }
            }
            ClusterFact::Gone(Resource::OwnPods, uid) => self.own_pod_gone(&uid, now.boot),
            ClusterFact::Listed(Resource::OwnPods) => {
                let list = self.own_pods.list;
                let gone = self.own_pods.pods.iter().filter(|(_, of)| **of != list);
                let gone: Vec<String> = gone.map(|(uid, _)| uid.clone()).collect();
                for uid in gone {
                    self.own_pod_gone(&uid, now.boot);
                }
            }
            ClusterFact::Listing(resource) => cluster.listing(resource),
            ClusterFact::Has(resource, objects) => {
                for object in objects {
                    cluster.has(resource, object, now);
                }
            }
            ClusterFact::Gone(_, uid) => cluster.gone(&uid, now.boot),
            ClusterFact::Listed(resource) => cluster.listed(resource, now.boot),
        }
    }

    fn own_pod(&mut self, object: Object, now: Now, out: &mut Output) {
        let Object { uid, created, body: Body::Pod(pod) } = object else { return };
        if self.own_pods.pods.len() >= self.settings.max_workloads && !self.own_pods.pods.contains_key(&uid) {
            self.identities.count_overflow();
            return;
        }
        let told = self.identities.tell(&uid, &pod);
        self.own_pods.pods.insert(uid, self.own_pods.list);
        out.renewed.extend(told.renewed);
        for id in told.named {
            self.release(id, out);
        }
        let addresses = pod.addresses.iter().map(|address| (*address, 0));
        let ends = addresses.chain(pod.host_ends.iter().copied()).filter(|_| !pod.ended);
        let ends: Vec<_> = ends.collect();
        let from = pod.networked.or(created).map_or(now.boot, |time| boot_time(time, now));
        self.addresses.told(&told.peer, &ends, from, now.boot);
    }

    fn own_pod_gone(&mut self, uid: &str, now: BootTime) {
        if self.own_pods.pods.remove(uid).is_some()
            && let Some(peer) = self.identities.untell(uid)
        {
            self.addresses.told(&peer, &[], now, now);
        }
    }
}
