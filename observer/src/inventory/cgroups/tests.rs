//! The hierarchy as a tree of plain directories, and the machine's own one.

use super::*;

fn tree(paths: &[&str]) -> (tempfile::TempDir, Cgroups) {
    let root = tempfile::tempdir().unwrap();
    for path in paths {
        std::fs::create_dir_all(root.path().join(path)).unwrap();
    }
    let cgroups = Cgroups::at(root.path()).unwrap();
    (root, cgroups)
}

fn paths(scan: &Scan) -> Vec<&str> {
    let mut paths: Vec<&str> = scan.found.iter().map(|(_, path)| path.as_str()).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn lists_directories_with_their_inodes() {
    let (root, cgroups) = tree(&["kubepods/pod1/abc", "system.slice"]);
    std::fs::write(root.path().join("kubepods/cgroup.procs"), "").unwrap();
    let scan = cgroups.scan();
    assert_eq!(paths(&scan), ["/", "/kubepods", "/kubepods/pod1", "/kubepods/pod1/abc", "/system.slice"]);
    assert!(!scan.truncated);
    for (id, path) in &scan.found {
        let metadata = std::fs::metadata(root.path().join(path.trim_start_matches('/'))).unwrap();
        assert_eq!(metadata.ino(), *id, "{path}");
        assert_eq!(cgroups.path_of(*id).as_ref(), Some(path));
    }
    assert_eq!(cgroups.path_of(u64::MAX), None);
}

#[test]
fn stops_at_the_bound() {
    let (_root, cgroups) = tree(&["a", "b", "c"]);
    let mut seen = 0;
    let mut visit = |_, _: &str| {
        seen += 1;
        true
    };
    assert!(cgroups.walk(3, &mut visit));
    assert!(!cgroups.walk(4, &mut visit));
    assert_eq!(seen, 3 + 4);
}

#[test]
fn a_missing_root_is_an_error() {
    let error = Cgroups::at(Path::new("/no/such/hierarchy")).unwrap_err();
    assert_eq!(error.to_string(), "cannot open the cgroup hierarchy at /no/such/hierarchy");
}

#[test]
fn the_first_process_is_the_oldest_where_none_is_process_1() {
    let (root, cgroups) = tree(&["unit"]);
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let own = std::process::id();
    // 0 stands for a process of another pid namespace, 4194305 can be no pid.
    let text = format!("{}\n0\n4194305\n{own}\n", child.id());
    std::fs::write(root.path().join("unit/cgroup.procs"), text).unwrap();
    // Should both have started in one tick, the lower pid is first.
    let first = cgroups.first_process("/unit");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(first.unwrap(), Some(own));
    assert_eq!(cgroups.first_process("/gone").unwrap(), None);
}

#[test]
fn process_1_comes_before_older_ones() {
    assert!(seniority(1) < seniority(std::process::id() as i32));
    assert!(!seniority(1).unwrap().0);
}

#[test]
fn the_machines_hierarchy_resolves_by_id_until_the_cgroup_is_gone() {
    let cgroups = Cgroups::find().unwrap();
    let scan = cgroups.scan();
    assert_eq!(scan.found.first().map(|(_, path)| path.as_str()), Some("/"));
    // Somebody else's may go at any time; what the scan of a moment ago has is this process's own.
    let own = super::super::processes::read(std::process::id()).unwrap().unwrap().cgroup.unwrap();
    let (id, _) = scan.found.iter().find(|(_, path)| *path == own).unwrap();
    assert!(cgroups.handles);
    assert_eq!(cgroups.path_of(*id), Some(own));
    assert_eq!(cgroups.path_of(u64::MAX - 1), None);
}

/// Needs root.
#[test]
fn a_part_of_the_hierarchy_is_told_from_all_of_it() {
    let cgroups = Cgroups::find().unwrap();
    assert!(cgroups.is_whole());
    let part = cgroups.root().join(format!("observer-part-{}", std::process::id()));
    std::fs::create_dir(&part).unwrap();
    let whole = Cgroups::at(&part).map(|part| part.is_whole());
    std::fs::remove_dir(&part).unwrap();
    assert!(!whole.unwrap());
    // What only looks like one has no such number.
    assert!(Cgroups::at(tempfile::tempdir().unwrap().path()).unwrap().is_whole());
}
