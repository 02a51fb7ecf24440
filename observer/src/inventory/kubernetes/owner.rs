//! What made a pod in the end: the Deployment behind its `ReplicaSet`, the `CronJob` behind its Job.
//!
//! Both are told by names alone, without asking for the object between (of which a cluster has thousands): the
//! controllers make these names by fixed rules, and the pod has what is needed to check them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::event::Owner;

/// Labels that a controller gives its pods, with the kind that it works for.
const TEMPLATE_HASHES: [(&str, &str); 2] =
    [("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout")];
/// A job may start so long after it was due, in seconds: a `CronJob` that was suspended makes up for the last time.
const LONGEST_DELAY: i64 = 400 * 24 * 3600;

/// The owner of a pod; `None` for one that nobody controls.
pub(super) fn of_pod(metadata: &ObjectMeta) -> Option<Owner> {
    let references = metadata.owner_references.as_deref().unwrap_or_default();
    let controller = references.iter().find(|reference| reference.controller == Some(true))?;
    Some(
        behind(controller, metadata)
            .unwrap_or_else(|| Owner { kind: controller.kind.clone(), name: controller.name.clone() }),
    )
}

/// Who controls the pod's controller, where its name says so.
fn behind(controller: &OwnerReference, pod: &ObjectMeta) -> Option<Owner> {
    match controller.kind.as_str() {
        // `DEPLOYMENT-HASH`, and the pod bears the hash as a label.
        "ReplicaSet" => TEMPLATE_HASHES.iter().find_map(|(label, kind)| {
            let hash = pod.labels.as_ref()?.get(*label)?;
            let name = controller.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
            owner(kind, name)
        }),
        // `CRONJOB-MINUTES`, the minutes since 1970 at which the job was due: somewhat before the pod was made.
        "Job" => {
            let (name, minutes) = controller.name.rsplit_once('-')?;
            let digits = minutes.len() >= 8 && minutes.bytes().all(|digit| digit.is_ascii_digit());
            let due = minutes.parse::<i64>().ok().filter(|_| digits)?.checked_mul(60)?;
            let made = pod.creation_timestamp.as_ref()?.0.as_second();
            (due..=due.saturating_add(LONGEST_DELAY)).contains(&made).then(|| owner("CronJob", name))?
        }
        _ => None,
    }
}

fn owner(kind: &str, name: &str) -> Option<Owner> {
    (!name.is_empty()).then(|| Owner { kind: kind.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    /// 2026-01-31T08:12:03Z, and the minute that it is in.
    const MADE: i64 = 1_769_847_123;
    const MINUTE: i64 = MADE / 60;

    fn pod(kind: &str, name: &str, labels: &[(&str, &str)]) -> ObjectMeta {
        let reference = OwnerReference {
            controller: Some(true),
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..OwnerReference::default()
        };
        let other = OwnerReference { kind: "Other".to_owned(), ..OwnerReference::default() };
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        ObjectMeta {
            creation_timestamp: Timestamp::from_second(MADE).ok().map(Time),
            owner_references: Some(vec![other, reference]),
            labels: Some(labels.collect::<BTreeMap<_, _>>()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn names_tell_who_is_behind() {
        let hash = [("pod-template-hash", "7d9f8c6b5")];
        let rollout = [("rollouts-pod-template-hash", "abc")];
        let job = format!("backup-{MINUTE}");
        let late = format!("backup-{}", MINUTE - 60 * 24);
        let next = format!("backup-{}", MINUTE + 1);
        let cases: Vec<(ObjectMeta, &str, &str)> = vec![
            (pod("ReplicaSet", "web-7d9f8c6b5", &hash), "Deployment", "web"),
            (pod("ReplicaSet", "web-a-7d9f8c6b5", &hash), "Deployment", "web-a"),
            (pod("ReplicaSet", "web-abc", &rollout), "Rollout", "web"),
            (pod("ReplicaSet", "web-7d9f8c6b5", &[]), "ReplicaSet", "web-7d9f8c6b5"),
            (pod("ReplicaSet", "web7d9f8c6b5", &hash), "ReplicaSet", "web7d9f8c6b5"),
            (pod("ReplicaSet", "-7d9f8c6b5", &hash), "ReplicaSet", "-7d9f8c6b5"),
            (pod("Job", &job, &[]), "CronJob", "backup"),
            (pod("Job", &late, &[]), "CronJob", "backup"),
            (pod("Job", &next, &[]), "Job", &next),
            (pod("Job", "backup-20260131", &[]), "Job", "backup-20260131"),
            (pod("Job", "backup-1", &[]), "Job", "backup-1"),
            (pod("Job", "backup-99999999999999999999", &[]), "Job", "backup-99999999999999999999"),
            (pod("StatefulSet", "db", &hash), "StatefulSet", "db"),
        ];
        for (pod, kind, name) in cases {
            let owner = of_pod(&pod).unwrap();
            assert_eq!((owner.kind.as_str(), owner.name.as_str()), (kind, name));
        }
        assert_eq!(of_pod(&ObjectMeta::default()), None);
    }
}
