//! Patterns of pods and containers.

use crate::event::{Workload, WorkloadKind};

/// A container's id is known by so many characters or more.
const SHORTEST_ID: usize = 8;

/// Which pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodPattern {
    /// `None` for any.
    namespace: Option<String>,
    /// The name, or what it starts with.
    name: String,
    exact: bool,
}

impl PodPattern {
    /// `namespace/prefix`, `namespace/`, `/name` or `prefix`; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let named = |part: &str| {
            part.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_'))
        };
        let pattern = match text.split_once('/') {
            None => Self { namespace: None, name: text.into(), exact: false },
            Some(("", name)) => Self { namespace: None, name: name.into(), exact: true },
            Some((namespace, prefix)) => {
                Self { namespace: Some(namespace.into()), name: prefix.into(), exact: false }
            }
        };
        let says_something = pattern.namespace.is_some() || !pattern.name.is_empty();
        let valid = named(&pattern.name) && pattern.namespace.as_deref().is_none_or(named);
        (says_something && valid).then_some(pattern)
    }

    pub(super) fn matches(&self, workload: &Workload) -> bool {
        let Self { namespace, name, exact } = self;
        workload.kind == WorkloadKind::Pod
            && namespace.as_ref().is_none_or(|namespace| *namespace == workload.namespace)
            && if *exact { *name == workload.pod } else { workload.pod.starts_with(name.as_str()) }
    }
}

/// Which services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServicePattern {
    /// `None` for any.
    namespace: Option<String>,
    name: String,
}

impl ServicePattern {
    /// `namespace/name` or `name`; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/').map_or((None, text), |(of, name)| (Some(of), name));
        let valid = |part: &str| !part.is_empty() && !part.contains('/');
        (valid(name) && namespace.is_none_or(valid))
            .then(|| Self { namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }

    /// `service` is a namespace and a name.
    pub(super) fn matches(&self, service: &str) -> bool {
        let Self { namespace, name } = self;
        service.split_once('/').is_some_and(|(of, called)| {
            called == name && namespace.as_deref().is_none_or(|namespace| namespace == of)
        })
    }
}

/// Which containers: by name, or by id or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContainerPattern(String);

impl ContainerPattern {
    /// `None` for a text that names nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    pub(super) fn matches(&self, workload: &Workload) -> bool {
        let Self(text) = self;
        *text == workload.container
            || (text.len() >= SHORTEST_ID && workload.container_id.starts_with(text.as_str()))
    }
}
