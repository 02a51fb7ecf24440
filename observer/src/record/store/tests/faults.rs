//! Files that cannot be used, and those that were not closed.

use std::fs;

use super::*;

/// The names in a folder.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn one_process_records() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder, Limits::default());
    let refused = Store::open(folder.path(), Limits::default(), WallTime(S)).unwrap_err();
    assert!(matches!(refused, OpenError::Locked(_)), "{refused}");
    drop(store);
    opened(&folder, Limits::default());
}

#[test]
fn what_is_foreign_or_newer_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observer.redb");
    let newer = [&b"observer record\n"[..], &[3, 0, 0, 0], &[0; 9000]].concat();
    for (bytes, words) in [(b"a poem".to_vec(), "no recording"), (newer, "newer version (format 3")] {
        fs::write(&path, &bytes).unwrap();
        let refused = Store::open(folder.path(), Limits::default(), WallTime(S)).unwrap_err();
        assert!(matches!(refused, OpenError::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
        assert_eq!((fs::read(&path).unwrap(), names(&folder)), (bytes, vec!["observer.redb".to_owned()]));
    }
}

#[test]
fn what_is_older_or_damaged_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observer.redb");
    let older = |last: u8| [&b"observer record\n"[..], &[0, 0, 0, 0], &[last; 9000]].concat();
    for (time, bytes) in [(7, older(1)), (8, older(2))] {
        fs::write(&path, &bytes).unwrap();
        let store = Store::open(folder.path(), Limits::default(), WallTime(time * S)).unwrap();
        assert_eq!(store.runs().unwrap(), []);
        drop(store);
        let aside = format!("observer.redb.old-{time}");
        assert_eq!(names(&folder), ["observer.redb".to_owned(), aside.clone()]);
        assert_eq!(fs::read(folder.path().join(aside)).unwrap(), bytes);
    }
    let store = opened(&folder, Limits::default());
    let run = store.begin(WallTime(5)).unwrap();
    store.commit(run, &batch([block(1..=300)]), WallTime(S)).unwrap();
    drop(store);
    let whole = fs::read(&path).unwrap();
    for place in [4096, 4096 + 9, 4096 + 70] {
        let mut damaged = whole.clone();
        damaged[place..place + 40].fill(0xa5);
        fs::write(&path, &damaged).unwrap();
        let store = Store::open(folder.path(), Limits::default(), WallTime(9 * S));
        let Ok(store) = store else { panic!("{place}: {store:?}") };
        assert_eq!(store.runs().unwrap(), [], "{place}");
        assert_eq!(fs::read(folder.path().join("observer.redb.damaged-9")).unwrap(), damaged);
    }
}

#[test]
fn a_file_that_was_not_closed_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder, Limits::default());
    let run = store.begin(WallTime(5)).unwrap();
    let path = folder.path().join("observer.redb");
    let other = tempfile::tempdir().unwrap();
    let expected: Vec<String> = (1..=60).map(|number| format!("1.{number}")).collect();
    for last in 1..=60 {
        // Blocks of twenty, the last one open.
        let first = (last - 1) / 20 * 20 + 1;
        store.commit(run, &batch([block(first..=last)]), WallTime(last * S)).unwrap();
        // As it is on disk when the process is killed now.
        fs::copy(&path, other.path().join("observer.redb")).unwrap();
        let killed = opened(&other, Limits::default());
        assert_eq!(forward(&killed, Place::default()), expected[..last as usize], "{last}");
    }
}

#[test]
fn it_goes_on_after_it_was_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder, Limits::default());
    let run = store.begin(WallTime(5)).unwrap();
    store.commit(run, &batch([block(1..=3)]), WallTime(S)).unwrap();
    store.reopen().unwrap();
    assert_eq!(store.begin(WallTime(5)).unwrap(), run);
    store.commit(run, &batch([block(4..=6)]), WallTime(S)).unwrap();
    assert_eq!(forward(&store, Place::default()).len(), 6);
}
