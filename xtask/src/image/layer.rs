//! A layer of an image: a tree as a compressed archive, the same bytes for the same tree.

use std::io::Write as _;

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::tree::{Node, Tree};

/// A layer as it is stored, and the digest of what is in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) compressed: Vec<u8>,
    pub(super) diff_id: String,
}

impl Layer {
    /// Everything has this time, in seconds since 1970, and belongs to root.
    pub(super) fn of(tree: &Tree, time: u64) -> Result<Self> {
        let archive = archive(tree, time)?;
        let diff_id = digest(&archive);
        // The header says neither a name nor a time.
        let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        encoder.write_all(&archive)?;
        Ok(Self { compressed: encoder.finish()?, diff_id })
    }
}

/// The digest as OCI writes it.
pub(super) fn digest(data: &[u8]) -> String {
    let sum = Sha256::digest(data);
    let digits: Vec<String> = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digits.concat())
}

/// An entry's header: root's, with a fixed time.
pub(super) fn header(kind: EntryType, mode: u32, size: u64, time: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn archive(tree: &Tree, time: u64) -> Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for (path, node) in &tree.0 {
        match node {
            Node::Folder(mode) => {
                let mut header = header(EntryType::Directory, *mode, 0, time);
                builder.append_data(&mut header, format!("{path}/"), &[][..])?;
            }
            Node::File(mode, content) => {
                let mut header = header(EntryType::Regular, *mode, content.len() as u64, time);
                builder.append_data(&mut header, path, content.as_slice())?;
            }
            Node::Link(to) => {
                let mut header = header(EntryType::Symlink, 0o777, 0, time);
                builder.append_link(&mut header, path, to)?;
            }
        }
    }
    Ok(builder.into_inner()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.file("/usr/bin/program", 0o755, "content");
        tree.link("/bin", "usr/bin");
        tree.folder("/tmp", 0o1777);
        tree
    }

    #[test]
    fn the_same_tree_makes_the_same_bytes() {
        let layer = Layer::of(&tree(), 1_000).unwrap();
        assert_eq!(layer, Layer::of(&tree(), 1_000).unwrap());
        assert_ne!(layer.diff_id, Layer::of(&tree(), 1_001).unwrap().diff_id);
    }

    #[test]
    fn all_of_it_is_read_again() {
        let layer = Layer::of(&tree(), 1_000).unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(layer.compressed.as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(digest(&plain), layer.diff_id);
        let mut archive = tar::Archive::new(plain.as_slice());
        let read = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(
                [header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()],
                [0, 0, 1_000]
            );
            let mode = header.mode().unwrap();
            let path = entry.path().unwrap().display().to_string();
            let link = entry.link_name().unwrap().map(|to| to.display().to_string());
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            (path, mode, link.unwrap_or(content))
        });
        let expected = [
            ("bin", 0o777, "usr/bin"),
            ("tmp/", 0o1777, ""),
            ("usr/", 0o755, ""),
            ("usr/bin/", 0o755, ""),
            ("usr/bin/program", 0o755, "content"),
        ];
        let expected = expected.map(|(path, mode, text)| (path.to_owned(), mode, text.to_owned()));
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_digest_is_that_of_sha256() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
