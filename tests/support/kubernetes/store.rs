//! The objects of the API, and what happened to them: version by version.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::guardian::random;

/// What field selectors call the namespace.
const NAMESPACE: &str = "metadata.namespace";

/// An object as it was at a version.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its JSON.
    pub(crate) text: Arc<str>,
    /// What field selectors look at: the namespace, the node and the phase of a pod.
    fields: Arc<[(String, String)]>,
    labels: Arc<[(String, String)]>,
}

/// What is asked for: the objects of a path that selectors leave.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    path: String,
    fields: String,
    labels: String,
}

/// What happened at a version.
#[derive(Clone, Debug)]
struct Step {
    version: u64,
    path: String,
    before: Option<Stored>,
    after: Option<Stored>,
}

/// The rest of a list: its objects as they were when it began.
#[derive(Clone, Debug)]
struct Rest {
    version: u64,
    objects: Arc<[Stored]>,
    next: usize,
}

/// A page of a list.
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) items: Vec<Stored>,
    pub(crate) token: Option<String>,
    pub(crate) remaining: usize,
}

/// All objects, by path, namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Store {
    version: u64,
    /// Versions before this one are forgotten.
    oldest: u64,
    objects: BTreeMap<(String, String, String), Stored>,
    steps: Vec<Step>,
    rests: HashMap<String, Rest>,
}

impl Store {
    pub(crate) fn put(&mut self, path: &str, mut value: Value) -> Result<String> {
        self.version += 1;
        let metadata = value["metadata"].as_object_mut().context("no metadata")?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let (namespace, name) = (text(metadata.get("namespace")), text(metadata.get("name")));
        let key = (path.to_owned(), namespace, name);
        let uid = match text(metadata.get("uid")) {
            uid if uid.is_empty() => {
                let (high, low) = (random(), random());
                format!("{:08x}-{:04x}-4000-8000-{:012x}", high as u32, high >> 48, low & 0xffff_ffff_ffff)
            }
            uid => uid,
        };
        metadata.insert("uid".to_owned(), json!(uid));
        metadata.insert("resourceVersion".to_owned(), json!(self.version.to_string()));
        let after = Stored::new(&value);
        let before = self.objects.insert(key, after.clone());
        self.steps.push(Step { version: self.version, path: path.to_owned(), before, after: Some(after) });
        Ok(uid)
    }

    pub(crate) fn delete(&mut self, path: &str, namespace: &str, name: &str) -> Option<()> {
        let key = (path.to_owned(), namespace.to_owned(), name.to_owned());
        let before = self.objects.remove(&key)?;
        self.version += 1;
        let before = Some(before);
        self.steps.push(Step { version: self.version, path: path.to_owned(), before, after: None });
        Some(())
    }

    pub(crate) fn compact(&mut self) {
        // Something else changed in the cluster, so that no version that was told is the present one.
        self.version += 1;
        self.oldest = self.version;
        self.steps.clear();
        self.rests.clear();
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// The first page, or the next one; `None` where the token is too old.
    pub(crate) fn list(&mut self, wanted: &Wanted, limit: usize, token: Option<&str>) -> Option<Page> {
        let rest = if let Some(token) = token {
            self.rests.get(token)?.clone()
        } else {
            let of_path = self.objects.iter().filter(|((of, _, _), _)| *of == wanted.path);
            let objects = of_path.map(|(_, stored)| stored.clone());
            let objects = objects.filter(|stored| stored.matches(wanted)).collect();
            Rest { version: self.version, objects, next: 0 }
        };
        let end = rest.objects.len().min(rest.next + limit);
        let items = rest.objects[rest.next..end].to_vec();
        let remaining = rest.objects.len() - end;
        let token = (remaining > 0).then(|| {
            let token = format!("{:016x}", random());
            self.rests.insert(token.clone(), Rest { next: end, ..rest.clone() });
            token
        });
        Some(Page { version: rest.version, items, token, remaining })
    }

    /// What happened after a version, as a watch of these tells it; `None` where that is forgotten.
    pub(crate) fn since(&self, wanted: &Wanted, version: u64) -> Option<Vec<(u64, String)>> {
        if version < self.oldest {
            return None;
        }
        let steps = self.steps.iter().filter(|step| step.version > version && step.path == wanted.path);
        Some(steps.filter_map(|step| Some((step.version, step.line(wanted)?))).collect())
    }
}

impl Step {
    fn line(&self, wanted: &Wanted) -> Option<String> {
        let matching = |stored: &Option<Stored>| stored.clone().filter(|stored| stored.matches(wanted));
        let (kind, object) = match (matching(&self.before), matching(&self.after)) {
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            // It is told as it was, with the version at which it went.
            (Some(before), None) => ("DELETED", before),
            (None, None) => return None,
        };
        let mut object: Value = serde_json::from_str(&object.text).ok()?;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        Some(json!({ "type": kind, "object": object }).to_string())
    }
}

impl Stored {
    fn new(value: &Value) -> Self {
        let field = |name: &str, path: &str| {
            let text = value.pointer(path).and_then(Value::as_str).unwrap_or_default();
            (name.to_owned(), text.to_owned())
        };
        let fields = [
            field(NAMESPACE, "/metadata/namespace"),
            field("spec.nodeName", "/spec/nodeName"),
            field("status.phase", "/status/phase"),
        ];
        let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        let labels =
            labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        Self { text: value.to_string().into(), fields: fields.into(), labels: labels.collect() }
    }

    fn matches(&self, wanted: &Wanted) -> bool {
        meets(&self.fields, &wanted.fields) && meets(&self.labels, &wanted.labels)
    }
}

impl Wanted {
    /// What a request's path and selectors ask for.
    pub(crate) fn new(path: &str, fields: &str, labels: &str) -> Self {
        let (mut path, mut fields) = (path.to_owned(), fields.to_owned());
        // One namespace's objects are a part of all of them.
        if let Some((group, rest)) = path.split_once("/namespaces/")
            && let Some((namespace, kind)) = rest.split_once('/')
        {
            fields = format!("{fields},{NAMESPACE}={namespace}");
            path = format!("{group}/{kind}");
        }
        Self { path, fields, labels: labels.to_owned() }
    }
}

/// Whether values are as a selector says.
fn meets(values: &[(String, String)], selector: &str) -> bool {
    let of = |name: &str| values.iter().find(|(value, _)| value == name).map(|(_, value)| value.as_str());
    selector.split(',').filter(|term| !term.is_empty()).all(|term| match term.split_once("!=") {
        Some((name, value)) => of(name).is_some_and(|is| is != value),
        None => term.split_once('=').is_some_and(|(name, value)| of(name) == Some(value)),
    })
}
