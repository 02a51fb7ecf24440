//! Whom a keeper tells what it lists and follows, and the daemon's one: facts for the core.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;

use super::super::Fact;
use super::super::cluster::{Body, ClusterFact, Object, Resource};
use super::convert;
use super::health::{Health, Healths};

/// Nobody listens any more to what is told.
pub(super) struct Stopped;

/// News of a resource. A list names all that there is, between `Listing` and `Listed`; what it does not name is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News<T> {
    /// A list begins. One that began before and did not end was broken off.
    Listing,
    /// These are there, as they are now.
    Has(Vec<T>),
    /// The one of this UID is gone.
    Gone(String),
    /// The list is complete.
    Listed,
}

/// Makes something of a resource's objects and passes it on.
pub(super) trait Teller: Send {
    /// What is made of an object.
    type Object: Send;

    /// What it is told of.
    fn resource(&self) -> Resource;

    /// An object; `None` where it has nothing to tell.
    fn object(&self, text: &str) -> Result<Option<Self::Object>, serde_json::Error>;

    /// Passes news on.
    fn tell(&mut self, news: News<Self::Object>) -> impl Future<Output = Result<(), Stopped>> + Send;

    /// Passes on how the resource is.
    fn report(&mut self, news: Health) -> impl Future<Output = ()> + Send;
}

/// Tells the daemon's core.
pub(super) struct Facts {
    resource: Resource,
    node_name: Arc<str>,
    healths: Arc<Healths>,
    core: mpsc::Sender<Fact>,
    /// While all are listed: whether this node was among them.
    listing: Option<bool>,
}

impl Facts {
    pub(super) fn new(
        resource: Resource,
        node_name: &Arc<str>,
        healths: &Arc<Healths>,
        core: mpsc::Sender<Fact>,
    ) -> Self {
        let (node_name, healths) = (Arc::clone(node_name), Arc::clone(healths));
        Self { resource, node_name, healths, core, listing: None }
    }

    fn is_own_node(&self, object: &Object) -> bool {
        matches!(&object.body, Body::Node { name, .. } if **name == *self.node_name)
    }

    async fn send(&self, fact: ClusterFact) -> Result<(), Stopped> {
        self.core.send(Fact::Cluster(fact)).await.map_err(|_closed| Stopped)
    }
}

impl Teller for Facts {
    type Object = Object;

    fn resource(&self) -> Resource {
        self.resource
    }

    fn object(&self, text: &str) -> Result<Option<Object>, serde_json::Error> {
        convert::object(self.resource, text)
    }

    async fn tell(&mut self, news: News<Object>) -> Result<(), Stopped> {
        match news {
            News::Listing => {
                self.listing = Some(false);
                self.send(ClusterFact::Listing(self.resource)).await
            }
            News::Has(objects) => {
                let own = objects.iter().any(|object| self.is_own_node(object));
                match &mut self.listing {
                    Some(found) => *found |= own,
                    None if own => self.healths.report_node(&self.node_name, true).await,
                    None => {}
                }
                self.send(ClusterFact::Has(self.resource, objects)).await
            }
            News::Gone(uid) => self.send(ClusterFact::Gone(self.resource, uid)).await,
            News::Listed => {
                let found = self.listing.take().unwrap_or_default();
                self.send(ClusterFact::Listed(self.resource)).await?;
                if self.resource == Resource::Nodes {
                    self.healths.report_node(&self.node_name, found).await;
                }
                Ok(())
            }
        }
    }

    async fn report(&mut self, news: Health) {
        self.healths.report(self.resource, news, Timestamp::now()).await;
    }
}
