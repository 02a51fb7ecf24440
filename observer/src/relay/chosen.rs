//! What is asked of one node: filters that name others are left out there.

use observer_proto::v1::Filter;

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
