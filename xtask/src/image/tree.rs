//! What an image's file system holds: folders, files and links by their paths, in order.

use std::collections::BTreeMap;

/// One thing in it. All of it is root's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// A folder with this mode.
    Folder(u32),
    /// A file with this mode and content.
    File(u32, Vec<u8>),
    /// A symbolic link to this path.
    Link(String),
}

/// Everything by its path, which begins with no slash: parents before what is in them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tree(pub(super) BTreeMap<String, Node>);

impl Tree {
    /// Adds a folder, and those that it is in.
    pub(super) fn folder(&mut self, path: &str, mode: u32) {
        let path = path.trim_matches('/');
        self.parents(path);
        self.0.insert(path.to_owned(), Node::Folder(mode));
    }

    /// Adds a file, and the folders that it is in.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        let path = path.trim_matches('/');
        self.parents(path);
        self.0.insert(path.to_owned(), Node::File(mode, content.into()));
    }

    /// Adds a link.
    pub(super) fn link(&mut self, path: &str, to: &str) {
        let path = path.trim_matches('/');
        self.parents(path);
        self.0.insert(path.to_owned(), Node::Link(to.to_owned()));
    }

    fn parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert(Node::Folder(0o755));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut tree = Tree::default();
        tree.file("/etc/ssl/certs/all.crt", 0o644, "x");
        tree.folder("/etc", 0o700);
        tree.link("bin", "usr/bin");
        let paths: Vec<&str> = tree.0.keys().map(String::as_str).collect();
        assert_eq!(paths, ["bin", "etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/all.crt"]);
        assert_eq!(tree.0["etc"], Node::Folder(0o700));
        assert_eq!(tree.0["etc/ssl"], Node::Folder(0o755));
    }
}
