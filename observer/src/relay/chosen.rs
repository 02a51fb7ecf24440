//! What is asked of one node: filters that name others are left out there.

use observer_proto::v1::Filter;
use tonic::Status;

use crate::filter::{Filters, Purpose};

/// What a client's filters let pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Chosen {
    allow: Vec<Filter>,
    deny: Vec<Filter>,
}

impl Chosen {
    /// By these filters.
    pub(super) fn new(allow: Vec<Filter>, deny: Vec<Filter>) -> Self {
        Self { allow, deny }
    }

    /// By these filters, if a daemon would take them: what is wrong is told as it would tell it, and before anybody is asked.
    pub(super) fn checked(allow: Vec<Filter>, deny: Vec<Filter>, purpose: Purpose) -> Result<Self, Status> {
        Filters::check(&allow, &deny, purpose)?;
        Ok(Self { allow, deny })
    }

    /// That node alone, or any.
    pub(super) fn node(name: Option<&str>) -> Self {
        let named = |name: &str| Filter { node_names: vec![name.to_owned()], ..Filter::default() };
        Self { allow: name.map(named).into_iter().collect(), deny: Vec::new() }
    }

    /// The filters for the one node that has what is asked for; an error where they let nothing of it pass.
    pub(super) fn of_owner(&self, node: &str) -> Result<(Vec<Filter>, Vec<Filter>), Status> {
        self.of(node).ok_or_else(|| {
            Status::invalid_argument(format!(
                "what is asked for is of the node {node}, of which your filters let nothing pass (node_names): leave it out \
                 there, or name that node"
            ))
        })
    }

    /// The filters for a node; `None` where nothing of it passes.
    pub(super) fn of(&self, node: &str) -> Option<(Vec<Filter>, Vec<Filter>)> {
        let is_for = |filter: &&Filter| {
            filter.node_names.is_empty() || filter.node_names.iter().any(|name| name == node)
        };
        // Whoever is asked need not be told his own name.
        let bare = |filter: &Filter| Filter { node_names: Vec::new(), ..filter.clone() };
        let is_empty = |filter: &Filter| *filter == Filter::default();
        let allow: Vec<_> = self.allow.iter().filter(is_for).map(bare).collect();
        let deny: Vec<_> = self.deny.iter().filter(is_for).map(bare).collect();
        if (allow.is_empty() && !self.allow.is_empty())
            || deny.iter().any(is_empty) && names_nodes(&self.deny)
        {
            return None;
        }
        // One that named nothing but this node lets all of it pass; one that was empty as it came is refused there.
        let all_pass = allow.iter().any(is_empty) && names_nodes(&self.allow);
        Some((if all_pass { Vec::new() } else { allow }, deny))
    }
}

fn names_nodes(filters: &[Filter]) -> bool {
    filters.iter().any(|filter| !filter.node_names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: &[&str], port: Option<u32>) -> Filter {
        Filter {
            node_names: nodes.iter().map(|&node| node.to_owned()).collect(),
            ports: port.into_iter().collect(),
            ..Filter::default()
        }
    }

    #[test]
    fn what_is_wrong_is_told_before_anybody_is_asked() {
        let checked = |filter| {
            let checked = Chosen::checked(vec![filter], Vec::new(), Purpose::Connections);
            checked.map_err(|status| (status.code(), status.message().to_owned()))
        };
        assert!(checked(of(&["a", "b"], Some(80))).is_ok());
        let (code, message) = checked(of(&["a"], Some(70_000))).unwrap_err();
        assert_eq!(code, tonic::Code::InvalidArgument);
        assert!(message.starts_with("allow[0].ports: 70000 is not allowed"), "{message}");
        assert!(checked(Filter::default()).unwrap_err().1.starts_with("allow[0]: an empty filter"));
    }

    #[test]
    fn an_owner_whom_the_filters_exclude_is_refused() {
        let chosen = Chosen::new(vec![of(&["a"], Some(80))], Vec::new());
        assert_eq!(chosen.of_owner("a").unwrap(), (vec![of(&[], Some(80))], Vec::new()));
        let refused = chosen.of_owner("b").unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains("the node b"), "{}", refused.message());
        assert!(Chosen::node(Some("a")).of("b").is_none() && Chosen::node(None).of("b").is_some());
    }

    #[test]
    fn each_node_is_asked_for_what_may_pass_of_it() {
        let chosen =
            Chosen::new(vec![of(&["a"], Some(80)), of(&["a", "b"], None)], vec![of(&["b"], Some(22))]);
        assert_eq!(chosen.of("a"), Some((Vec::new(), Vec::new())));
        assert_eq!(chosen.of("b"), Some((Vec::new(), vec![of(&[], Some(22))])));
        assert_eq!(chosen.of("c"), None);
        let some = Chosen::new(vec![of(&["a"], Some(80)), of(&[], Some(81))], vec![of(&["b"], None)]);
        assert_eq!(some.of("a"), Some((vec![of(&[], Some(80)), of(&[], Some(81))], Vec::new())));
        assert_eq!(some.of("b"), None);
        assert_eq!(Chosen::default().of("a"), Some((Vec::new(), Vec::new())));
        // A filter that says nothing is refused by the daemon, with the reason.
        let nothing = Chosen::new(vec![Filter::default()], Vec::new());
        assert_eq!(nothing.of("a"), Some((vec![Filter::default()], Vec::new())));
    }
}
