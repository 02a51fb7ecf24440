//! Patterns of pods, services, containers and labels.

use kube::core::{Expression, Selector, SelectorExt as _};

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

/// Which labels: a selector as kubectl's `-l` takes it.
#[derive(Clone, Debug)]
pub(super) struct LabelPattern(Selector);

impl LabelPattern {
    /// Requirements with commas between them; `None` for what is no such thing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let requirements = split(text)?.into_iter().map(requirement).collect::<Option<Vec<_>>>()?;
        Some(Self(requirements.into_iter().collect()))
    }

    /// Only pods have labels.
    pub(super) fn matches(&self, workload: &Workload) -> bool {
        workload.kind == WorkloadKind::Pod && self.0.matches(&workload.labels)
    }
}

/// At each comma that is in no parentheses.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut within) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | ')' if within == (letter == ')') => within = !within,
            '(' | ')' => return None,
            ',' if !within => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!within).then_some(parts)
}

/// `key`, `!key`, `key=value`, `key==value`, `key!=value`, `key in (value, ...)` or `key notin (value, ...)`.
fn requirement(text: &str) -> Option<Expression> {
    let text = text.trim();
    if let Some(rest) = text.strip_suffix(')') {
        let (left, values) = rest.split_once('(')?;
        let values = values.split(',').map(value).collect::<Option<_>>()?;
        let (name, operator) = left.trim_end().rsplit_once(char::is_whitespace)?;
        return match operator {
            "in" => Some(Expression::In(key(name)?, values)),
            "notin" => Some(Expression::NotIn(key(name)?, values)),
            _ => None,
        };
    }
    if let Some(name) = text.strip_prefix('!') {
        return Some(Expression::DoesNotExist(key(name)?));
    }
    if let Some((name, of)) = text.split_once("!=") {
        return Some(Expression::NotEqual(key(name)?, value(of)?));
    }
    match text.split_once('=') {
        Some((name, of)) => Some(Expression::Equal(key(name)?, value(of.strip_prefix('=').unwrap_or(of))?)),
        None => Some(Expression::Exists(key(text)?)),
    }
}

/// A label's key: a name, with the prefix of a domain or without.
fn key(text: &str) -> Option<String> {
    let text = text.trim();
    let named = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/');
    (!text.is_empty() && text.matches('/').count() <= 1 && text.chars().all(named)).then(|| text.to_owned())
}

/// A label's value, which may be empty.
fn value(text: &str) -> Option<String> {
    let text = text.trim();
    let named = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    text.chars().all(named).then(|| text.to_owned())
}
