//! What the daemons answered, as it comes.

use std::collections::BTreeSet;
use std::sync::Arc;

use observer_proto::v1::NodeStatus;
use prost::Message;
use tonic::{Code, Status};

use super::super::node::{Up, words};
use super::missing;
use super::room::{Held, Room, no_room};

/// What the daemons answered.
#[derive(Debug)]
pub(in crate::relay) struct Answers<T> {
    /// By the order of the nodes.
    pub(in crate::relay) given: Vec<Answer<T>>,
    /// Who did not, and why.
    pub(in crate::relay) missing: Vec<NodeStatus>,
    /// The room that the answers have: to be kept for as long as they are.
    pub(in crate::relay) held: Held,
}

/// What one daemon answered.
#[derive(Debug)]
pub(in crate::relay) struct Answer<T> {
    pub(in crate::relay) up: Arc<Up>,
    pub(in crate::relay) told: T,
}

/// What has come so far.
#[derive(Debug)]
pub(super) struct Gathering<T> {
    /// By the nodes' places.
    answers: Vec<(usize, Answer<T>)>,
    missing: Vec<NodeStatus>,
    /// What those say who refuse.
    refused: BTreeSet<String>,
    /// One of them says that the request is wrong, and not only who asks.
    wrong: bool,
    /// There is one who does not refuse.
    others: bool,
    room: Room,
    held: Held,
}

impl<T: Message> Gathering<T> {
    /// Nothing yet; it will have room there.
    pub(super) fn new(room: Room) -> Self {
        Self {
            answers: Vec::new(),
            missing: Vec::new(),
            refused: BTreeSet::new(),
            wrong: false,
            others: false,
            room,
            held: Held::default(),
        }
    }

    /// Somebody has answered something.
    pub(super) const fn has_some(&self) -> bool {
        !self.answers.is_empty()
    }

    /// That node did not answer.
    pub(super) fn lacks(&mut self, status: NodeStatus) {
        self.missing.push(status);
        self.others = true;
    }

    /// A daemon has answered.
    pub(super) fn take(&mut self, place: usize, up: Arc<Up>, answer: Result<T, Status>) {
        match answer {
            Ok(told) if self.room.hold(&mut self.held, told.encoded_len()) => {
                self.answers.push((place, Answer { up, told }));
            }
            Ok(_too_much) => self.lacks(missing(&up.name, no_room())),
            Err(status) => self.refuses(&up, &status),
        }
    }

    fn refuses(&mut self, up: &Up, status: &Status) {
        if status.code() == Code::NotFound {
            // It has nothing like that, which is an answer as well.
            self.others = true;
            return;
        }
        self.missing.push(missing(&up.name, words(status)));
        if matches!(status.code(), Code::InvalidArgument | Code::PermissionDenied) {
            self.wrong |= status.code() == Code::InvalidArgument;
            self.refused.insert(status.message().to_owned());
        } else {
            self.others = true;
        }
    }

    /// All of it; an error where all refuse.
    pub(super) fn whole(mut self) -> Result<Answers<T>, Status> {
        if self.answers.is_empty() && !self.others && !self.refused.is_empty() {
            let words: Vec<_> = self.refused.into_iter().collect();
            let code = if self.wrong { Code::InvalidArgument } else { Code::PermissionDenied };
            return Err(Status::new(code, words.join("; ")));
        }
        self.answers.sort_by_key(|(place, _)| *place);
        self.missing.sort_by(|a, b| a.node_name.cmp(&b.node_name));
        let given = self.answers.into_iter().map(|(_, answer)| answer).collect();
        Ok(Answers { given, missing: self.missing, held: self.held })
    }
}
