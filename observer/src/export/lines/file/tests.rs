//! Tests of files of lines, on the disk of this machine.

use std::fs;

use super::*;

const OPEN: Bounds = Bounds { bytes: None, age: None, files: 3 };

fn write_all(file: &mut LogFile, mut lines: &[u8]) {
    while !lines.is_empty() {
        let written = file.write(lines).unwrap();
        assert!(written > 0 && lines[..written].ends_with(b"\n"));
        lines = &lines[written..];
    }
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

#[test]
fn lines_are_appended_to_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/e");
    write_all(&mut LogFile::new(&path, OPEN), b"one\ntwo\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, FOLDER_MODE);
    let long = "x".repeat(2 << 20);
    let cases = [
        // Half a line of ours goes, what somebody else wrote stays.
        ("{\"one\":1}\n{\"tw".to_owned(), "{\"one\":1}\n".to_owned()),
        ("{\"on".to_owned(), String::new()),
        ("a poem".to_owned(), "a poem\n".to_owned()),
        ("{}\n".to_owned(), "{}\n".to_owned()),
        (format!("{{{long}"), format!("{{{long}\n")),
    ];
    for (before, kept) in cases {
        fs::write(&path, &before).unwrap();
        write_all(&mut LogFile::new(&path, OPEN), b"{}\n");
        assert!(fs::read_to_string(&path).unwrap() == kept + "{}\n");
    }
}

#[test]
fn no_file_is_longer_than_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e");
    let mut file = LogFile::new(&path, Bounds { bytes: Some(8), ..OPEN });
    write_all(&mut file, b"1aa\n2aa\n3aa\n");
    assert_eq!((text(folder.path(), "e"), text(folder.path(), "e.1")), ("3aa\n".into(), "1aa\n2aa\n".into()));
    write_all(&mut file, b"4aaaaaaaaaaaaaaa\n5\n");
    assert_eq!(text(folder.path(), "e"), "5\n");
    assert_eq!(text(folder.path(), "e.1"), "4aaaaaaaaaaaaaaa\n");
    assert_eq!(text(folder.path(), "e.2"), "3aa\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    // Another daemon goes on where it stopped.
    let mut file = LogFile::new(&path, Bounds { bytes: Some(8), ..OPEN });
    write_all(&mut file, b"6aaa\n7aaa\n");
    assert_eq!((text(folder.path(), "e.1"), text(folder.path(), "e")), ("5\n6aaa\n".into(), "7aaa\n".into()));
}

#[test]
fn a_file_that_is_too_old_is_rotated_though_nothing_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e");
    let age = Duration::from_millis(50);
    let mut file = LogFile::new(&path, Bounds { age: Some(age), ..OPEN });
    assert_eq!(file.due(), None);
    write_all(&mut file, b"old\n");
    std::thread::sleep(file.due().unwrap());
    file.turn().unwrap();
    assert_eq!(text(folder.path(), "e.1"), "old\n");
    // One without lines stays.
    file.turn().unwrap();
    write_all(&mut file, b"new\n");
    assert_eq!(text(folder.path(), "e"), "new\n");
}

#[test]
fn a_file_that_was_moved_away_or_cut_short_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e");
    let mut file = LogFile::new(&path, Bounds { bytes: Some(12), ..OPEN });
    write_all(&mut file, b"one\n");
    fs::rename(&path, folder.path().join("moved")).unwrap();
    write_all(&mut file, b"two\n");
    assert_eq!((text(folder.path(), "moved"), text(folder.path(), "e")), ("one\n".into(), "two\n".into()));
    fs::remove_file(&path).unwrap();
    write_all(&mut file, b"three\n");
    assert_eq!(text(folder.path(), "e"), "three\n");
    File::create(&path).unwrap();
    write_all(&mut file, b"four\nfive\n");
    assert_eq!(text(folder.path(), "e"), "four\nfive\n");
}

#[test]
fn what_is_no_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "poem\n").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for path in [link.as_path(), folder.path(), Path::new("/dev/null"), &target.join("below")] {
        assert!(LogFile::new(path, OPEN).write(b"line\n").is_err(), "{}", path.display());
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "poem\n");
}

#[test]
fn a_file_that_cannot_be_rotated_for_its_age_is_written_to_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e");
    let age = Duration::from_millis(50);
    let mut file = LogFile::new(&path, Bounds { age: Some(age), files: 2, ..OPEN });
    write_all(&mut file, b"one\n");
    let in_its_way = folder.path().join("e.1");
    fs::create_dir(&in_its_way).unwrap();
    std::thread::sleep(file.due().unwrap());
    assert!(file.turn().is_err());
    // Not at once, and not never.
    assert!(file.due().is_some_and(|due| due > AGAIN / 2 && due <= 2 * AGAIN), "{:?}", file.due());
    write_all(&mut file, b"two\n");
    assert_eq!(text(folder.path(), "e"), "one\ntwo\n");
    fs::remove_dir(&in_its_way).unwrap();
    file.not_before = None;
    file.turn().unwrap();
    assert_eq!(text(folder.path(), "e.1"), "one\ntwo\n");
}

#[test]
fn a_new_file_of_somebody_else_is_not_rotated_for_the_age_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e");
    let mut file = LogFile::new(&path, Bounds { age: Some(Duration::from_millis(50)), ..OPEN });
    write_all(&mut file, b"old\n");
    std::thread::sleep(file.due().unwrap());
    fs::rename(&path, folder.path().join("moved")).unwrap();
    File::create(&path).unwrap();
    file.turn().unwrap();
    assert!(path.exists() && !folder.path().join("e.1").exists());
}
