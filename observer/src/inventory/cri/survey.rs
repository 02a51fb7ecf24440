//! The survey of a runtime: all its pods and containers at once, and what is new since the last one.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_cri::v1::{ContainerState, PodSandbox};
use tokio::sync::mpsc;

use super::super::{EndFact, Fact};
use super::client::{Client, CriError};
use super::convert;
use super::known::is_complete;
use super::runtime::{End, Runtime, send};

impl Runtime {
    /// Lists everything and tells what is new, what changed and what is gone.
    pub(super) async fn survey(&self, client: &Client, facts: &mpsc::Sender<Fact>) -> Result<(), CriError> {
        self.known().begin_survey();
        let sandboxes = client.sandboxes().await?;
        let containers = client.containers().await?;
        let exists: HashSet<String> = (sandboxes.iter().map(|sandbox| sandbox.id.clone()))
            .chain(containers.iter().map(|container| container.id.clone()))
            .collect();
        self.known().retain_told(&exists);
        for sandbox in sandboxes {
            self.survey_pod(client, sandbox, facts).await?;
        }
        let gone = self.known().forget_gone();
        for sandbox_id in gone {
            send(facts, Fact::PodGone { sandbox_id }).await;
        }
        for container in containers {
            let has_ended = container.state == ContainerState::ContainerExited as i32;
            if has_ended && self.known().take_owed(&container.id) {
                let container_id = container.id.clone();
                match self.end(&container_id).await {
                    End::Ended(end) => send(facts, Fact::Ended(EndFact { container_id, end })).await,
                    End::NotYet => self.known().owe(&container_id),
                    End::Nobody => {}
                }
            }
            if !self.known().tell(&container.id) {
                continue;
            }
            let mut fact = self.complete(client, container).await?;
            if convert::is_image_id(&fact.image)
                && let Some(name) = self.name_image(client, &fact).await
            {
                fact.image = name;
            }
            send(facts, Fact::Container(fact)).await;
        }
        Ok(())
    }

    async fn survey_pod(
        &self,
        client: &Client,
        sandbox: PodSandbox,
        facts: &mpsc::Sender<Fact>,
    ) -> Result<(), CriError> {
        let listed = convert::listed_pod(sandbox);
        let before = self.known().pod(&listed.sandbox_id);
        let was_ready = before.as_ref().is_some_and(|pod| pod.ready);
        let pod = if !listed.ready {
            Arc::new(listed)
        } else if let Some(pod) = before.filter(|pod| pod.ready && is_complete(pod)) {
            pod
        } else {
            match client.sandbox(&listed.sandbox_id).await {
                Ok(Some(status)) => Arc::new(convert::pod(status)),
                // It went while it was being asked for: the next survey tells.
                Ok(None) => return Ok(()),
                Err(error) if error.is_outage() => return Err(error),
                Err(_) => Arc::new(listed),
            }
        };
        let news = {
            let mut known = self.known();
            let changed = known.learn(&pod);
            known.tell(&pod.sandbox_id) || changed
        };
        if was_ready && !pod.ready {
            send(facts, Fact::PodGone { sandbox_id: pod.sandbox_id.clone() }).await;
        } else if news {
            send(facts, Fact::Container(convert::sandbox(pod))).await;
        }
        Ok(())
    }
}
