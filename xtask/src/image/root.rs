//! What is in the image: what the program is loaded with, what names and certificates are looked up in, and whose it all is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::libraries;
use super::packages::{Package, Packages};
use super::program::Elf;
use super::tree::Tree;

/// Root alone has an account: the numbers of others need no name.
const PASSWD: &str =
    "root:x:0:0:root:/:/nonexistent\nnobody:x:65534:65534:nobody:/nonexistent:/nonexistent\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";
/// Names are looked up in /etc/hosts, and then by DNS, as /etc/resolv.conf says: both are the runtime's to bring.
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n";
/// Where programs look for the certificates of authorities.
pub(super) const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The package that has them.
const AUTHORITIES_PACKAGE: &str = "ca-certificates";
/// Folders that are written to, or mounted.
const FOLDERS: [(&str, u32); 8] = [
    ("/dev", 0o755),
    ("/etc/observer", 0o755),
    ("/proc", 0o555),
    ("/run/observer", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/var/lib/observer", 0o700),
    ("/var/log/observer", 0o700),
];

/// All but the program, and the packages that it is from.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) tree: Tree,
    pub(super) packages: BTreeSet<Package>,
}

/// Puts together what the program needs, of this machine's packages.
pub(super) fn base(program: &Elf, packages: &Packages) -> Result<Base> {
    let architecture = program.processor.name();
    let mut tree = Tree::default();
    let mut used = BTreeSet::new();
    for link in ["bin", "lib", "lib64"] {
        tree.link(link, &format!("usr/{link}"));
    }
    for (path, mode) in FOLDERS {
        tree.folder(path, mode);
    }
    for (path, source) in libraries::of(program)? {
        used.insert(packages.owner(&source, architecture)?.clone());
        // The folders on top are links into /usr.
        let inside = if path.starts_with("/usr/") { path } else { format!("/usr{path}") };
        tree.file(&inside, 0o755, read(&source)?);
    }
    let authorities = packages.named(AUTHORITIES_PACKAGE, architecture)?;
    tree.file(AUTHORITIES, 0o644, certificates(&packages.files(authorities)?)?);
    used.insert(authorities.clone());
    for (name, text) in [("passwd", PASSWD), ("group", GROUP), ("nsswitch.conf", NSSWITCH)] {
        tree.file(&format!("/etc/{name}"), 0o644, text);
    }
    tell_of(&used, &mut tree)?;
    Ok(Base { tree, packages: used })
}

/// What a scanner of images looks for: the distribution, each package as dpkg has it, and their licences.
fn tell_of(packages: &BTreeSet<Package>, tree: &mut Tree) -> Result<()> {
    tree.file("/etc/os-release", 0o644, read(Path::new("/etc/os-release"))?);
    for package in packages {
        let name = &package.name;
        tree.file(&format!("/var/lib/dpkg/status.d/{name}"), 0o644, package.stanza.as_str());
        let licence = format!("/usr/share/doc/{name}/copyright");
        tree.file(&licence, 0o644, read(Path::new(&licence))?);
    }
    Ok(())
}

/// The package's certificates in one text. The machine's own text has those that its administrator has added.
fn certificates(files: &[String]) -> Result<String> {
    let is_certificate = |path: &&String| {
        path.starts_with("/usr/share/ca-certificates/")
            && Path::new(path).extension().is_some_and(|end| end == "crt")
    };
    let mut paths: Vec<&String> = files.iter().filter(is_certificate).collect();
    paths.sort_unstable();
    let mut all = String::new();
    for path in paths {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        ensure!(text.starts_with("-----BEGIN CERTIFICATE-----"), "{path} is no certificate");
        all.push_str(text.trim_end());
        all.push('\n');
    }
    ensure!(!all.is_empty(), "the package {AUTHORITIES_PACKAGE} has no certificates");
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Node;
    use super::*;

    fn of_this_test() -> Base {
        let own = Elf::read(&fs::read("/proc/self/exe").unwrap()).unwrap();
        base(&own, &Packages::of_this_machine().unwrap()).unwrap()
    }

    #[test]
    fn it_has_what_names_and_certificates_are_looked_up_in() {
        let base = of_this_test();
        let text = |path: &str| match &base.tree.0[path] {
            Node::File(_, content) => String::from_utf8(content.clone()).unwrap(),
            other @ (Node::Folder(_) | Node::Link(_)) => panic!("{other:?}"),
        };
        assert!(text("etc/nsswitch.conf").contains("hosts: files dns"));
        assert!(text("etc/passwd").starts_with("root:x:0:0:"));
        assert!(text("etc/ssl/certs/ca-certificates.crt").matches("BEGIN CERTIFICATE").count() > 50);
        let names: Vec<&str> = base.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["ca-certificates", "libc6", "libgcc-s1"]);
        assert!(text("var/lib/dpkg/status.d/libc6").starts_with("Package: libc6\n"));
    }

    #[test]
    fn nothing_of_this_machine_but_packages_gets_in() {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let base = of_this_test();
        for (path, node) in &base.tree.0 {
            let Node::File(_, content) = node else { continue };
            let found = content.windows(host.trim().len()).any(|window| window == host.trim().as_bytes());
            assert!(host.trim().len() < 5 || !found, "{path}");
        }
        assert!(certificates(&["/usr/local/share/ca-certificates/own.crt".to_owned()]).is_err());
    }
}
