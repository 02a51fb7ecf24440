//! What one runtime has told so far: its pods, and whom the core was told of. Bounded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::PodFact;

/// Pods beyond this many are not remembered; their containers' own labels name them.
const MAX_PODS: usize = 4096;
/// Containers beyond this many are told again by each survey.
const MAX_TOLD: usize = 32_768;
/// Ends that are asked for once more by a survey.
const MAX_OWED: usize = 1024;
/// Names of images that are remembered.
const MAX_IMAGES: usize = 1024;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    pods: HashMap<String, Entry>,
    told: HashSet<String>,
    images: HashMap<String, String>,
    /// Ended containers that it could not say the end of when it was asked.
    owed: HashSet<String>,
    survey: u64,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<PodFact>,
    /// The survey during which it was last heard of.
    survey: u64,
}

impl Known {
    /// A survey begins: what was learnt before it and is not in its lists is gone.
    pub(super) const fn begin_survey(&mut self) {
        self.survey += 1;
    }

    /// The pod with that sandbox.
    pub(super) fn pod(&self, sandbox_id: &str) -> Option<Arc<PodFact>> {
        self.pods.get(sandbox_id).map(|entry| Arc::clone(&entry.pod))
    }

    /// Remembers a pod, or what is new of it. True where it was there and other than now.
    pub(super) fn learn(&mut self, pod: &Arc<PodFact>) -> bool {
        let survey = self.survey;
        if let Some(entry) = self.pods.get_mut(&pod.sandbox_id) {
            entry.survey = survey;
            return std::mem::replace(&mut entry.pod, Arc::clone(pod)) != *pod;
        }
        if self.pods.len() < MAX_PODS {
            self.pods.insert(pod.sandbox_id.clone(), Entry { pod: Arc::clone(pod), survey });
        }
        false
    }

    /// Forgets the pods that the survey did not find and returns the sandboxes of those that were ready.
    /// A pod that a lookup found meanwhile is newer than the survey's list and stays.
    pub(super) fn forget_gone(&mut self) -> Vec<String> {
        let survey = self.survey;
        let mut gone = Vec::new();
        self.pods.retain(|id, entry| {
            let stays = entry.survey == survey;
            if !stays && entry.pod.ready {
                gone.push(id.clone());
            }
            stays
        });
        gone
    }

    /// That pod's sandbox is no more. True where it was there and ready.
    pub(super) fn is_gone(&mut self, sandbox_id: &str) -> bool {
        self.pods.remove(sandbox_id).is_some_and(|entry| entry.pod.ready)
    }

    /// The core is being told of this container or sandbox. False where it was told before.
    pub(super) fn tell(&mut self, id: &str) -> bool {
        if self.told.contains(id) {
            return false;
        }
        if self.told.len() < MAX_TOLD {
            self.told.insert(id.to_owned());
        }
        true
    }

    /// Forgets that the core was told of those that are no more.
    pub(super) fn retain_told(&mut self, exists: &HashSet<String>) {
        self.told.retain(|id| exists.contains(id));
        self.owed.retain(|id| exists.contains(id));
    }

    /// It could not say how that container ended, and may later.
    pub(super) fn owe(&mut self, id: &str) {
        if self.owed.len() < MAX_OWED {
            self.owed.insert(id.to_owned());
        }
    }

    /// It owed that container's end; now it is asked again.
    pub(super) fn take_owed(&mut self, id: &str) -> bool {
        self.owed.remove(id)
    }

    /// The name of an image by its id.
    pub(super) fn image(&self, id: &str) -> Option<String> {
        self.images.get(id).cloned()
    }

    /// Remembers an image's name.
    pub(super) fn learn_image(&mut self, id: String, name: String) {
        if self.images.len() >= MAX_IMAGES {
            self.images.clear();
        }
        self.images.insert(id, name);
    }
}

/// Nothing more can be learnt of this pod but its end.
pub(super) fn is_complete(pod: &PodFact) -> bool {
    !pod.ready || pod.host_network || !pod.addresses.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(id: &str, ready: bool) -> Arc<PodFact> {
        Arc::new(PodFact { sandbox_id: id.into(), ready, ..PodFact::default() })
    }

    #[test]
    fn what_a_survey_does_not_find_is_gone_unless_newer() {
        let mut known = Known::default();
        known.learn(&pod("stays", true));
        known.learn(&pod("goes", true));
        known.learn(&pod("went", false));
        known.begin_survey();
        known.learn(&pod("new", true));
        known.learn(&pod("stays", true));
        assert_eq!(known.forget_gone(), ["goes"]);
        assert!(known.pod("stays").is_some() && known.pod("new").is_some());
        assert!(known.pod("went").is_none());
    }

    #[test]
    fn a_change_is_noticed_once() {
        let mut known = Known::default();
        assert!(!known.learn(&pod("a", true)));
        assert!(!known.learn(&pod("a", true)));
        assert!(known.learn(&pod("a", false)));
        assert!(known.tell("a"));
        assert!(!known.tell("a"));
        known.retain_told(&HashSet::new());
        assert!(known.tell("a"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut known = Known::default();
        for index in 0..(MAX_TOLD + 10) {
            known.learn(&pod(&index.to_string(), true));
            known.tell(&index.to_string());
            known.learn_image(index.to_string(), String::new());
        }
        assert_eq!((known.pods.len(), known.told.len()), (MAX_PODS, MAX_TOLD));
        assert!(known.images.len() <= MAX_IMAGES);
    }
}
