//! What keeps the flight recorder from recording is said, and keeps nothing else from anything.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::{Event, GapReason, RecorderState};
use observer_tests::daemon::DaemonBuilder;
use observer_tests::recording::{all, events, gaps, live, ports, read, recorder, recording, wait_state};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, eventually};
use tempfile::TempDir;

/// Starts the daemon with a disk of its own that has so much room, mounted so.
fn on_disk(folder: &TempDir, options: &str) -> DaemonBuilder {
    let script =
        format!("mount -t tmpfs -o {options} tmpfs {} && exec \"$0\" \"$@\"", folder.path().display());
    Daemon::bare().through(["unshare", "--mount", "sh", "-c", &script]).args([
        "--record-dir",
        &folder.path().to_string_lossy(),
        "--record-bytes",
        "64MiB",
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_pauses_recording_and_nothing_else() -> Result<()> {
    let (pair, folder) = (NetnsPair::new()?, tempfile::tempdir()?);
    let daemon = on_disk(&folder, "size=16m").start().await?;
    wait_state(&daemon, RecorderState::Recording).await?;
    let before = live(&daemon, &pair, 7371).await?;
    let written = recorder(&daemon).await?.0.commits;
    eventually(PATIENCE, "it to be written", || async {
        let commits = recorder(&daemon).await?.0.commits;
        Ok(if commits > written { Ok(()) } else { Err(commits) })
    })
    .await?;
    // As the daemon sees it.
    let filler = PathBuf::from(format!("/proc/{}/root{}/filler", daemon.pid(), folder.path().display()));
    let filled = std::fs::write(&filler, vec![7; 16 << 20]);
    ensure!(filled.is_err(), "there was room for 16 MiB");
    let missed = live(&daemon, &pair, 7372).await?;
    let paused = wait_state(&daemon, RecorderState::Paused).await?;
    ensure!(paused.reason.contains("the disk is full"), "{paused:?}");
    let (_, status) = recorder(&daemon).await?;
    let capability = status.capabilities.iter().find(|one| one.name == "flight_recorder");
    ensure!(capability.is_some_and(|one| !one.available && one.reason == paused.reason), "{capability:?}");
    ensure!(daemon.stderr().contains("recording is paused: the disk is full"), "{}", daemon.stderr());
    // Clients get all as ever, also what is recorded.
    let more = live(&daemon, &pair, 7373).await?;
    let came = read(&daemon, all(ports(&[7371, 7372, 7373]))).await?;
    let told: Vec<Event> = events(&came).into_iter().map(|(_, event)| event).collect();
    ensure!(told == [before.clone(), missed.clone(), more.clone()].concat(), "{} events", told.len());

    std::fs::remove_file(&filler)?;
    let recorder_ = wait_state(&daemon, RecorderState::Recording).await?;
    ensure!(recorder_.missed_events > 0 && recorder_.errors > 0, "{recorder_:?}");
    let after = live(&daemon, &pair, 7374).await?;
    let came = read(&daemon, all(ports(&[7371, 7374]))).await?;
    let told: Vec<Event> = events(&came).into_iter().map(|(_, event)| event).collect();
    ensure!(told == [before, after].concat(), "{} events", told.len());
    let gaps = gaps(&came);
    let paused = gaps.iter().find(|gap| gap.reason() == GapReason::Paused).context("no gap")?;
    ensure!(paused.count == Some(recorder_.missed_events), "{paused:?} {recorder_:?}");
    ensure!(paused.message.contains("the disk is full"), "{paused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_be_written_and_files_of_others_are_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = on_disk(&folder, "ro").start().await?;
    let paused = wait_state(&daemon, RecorderState::Paused).await?;
    ensure!(paused.reason.contains("Read-only file system"), "{paused:?}");
    drop(daemon);

    // Somebody else's file, and one of a newer version.
    let newer = [&b"observer record\n"[..], &[9, 0, 0, 0], &[0; 9_000]].concat();
    for (bytes, words) in [(b"a poem".to_vec(), "no recording"), (newer, "newer version")] {
        let records = folder.path().join("records");
        std::fs::create_dir_all(&records)?;
        std::fs::write(records.join("observer.redb"), &bytes)?;
        let daemon = recording(&folder).start().await?;
        let refused = wait_state(&daemon, RecorderState::Refused).await?;
        ensure!(refused.reason.contains(words), "{refused:?}");
        ensure!(std::fs::read(records.join("observer.redb"))? == bytes, "it was touched");
        ensure!(read(&daemon, all(ports(&[7381]))).await.is_ok(), "events are not told");
    }

    // One of an older version is moved aside.
    let older = [&b"observer record\n"[..], &[0, 0, 0, 0], &[0; 9_000]].concat();
    let records = folder.path().join("records");
    std::fs::write(records.join("observer.redb"), &older)?;
    let daemon = recording(&folder).start().await?;
    wait_state(&daemon, RecorderState::Recording).await?;
    ensure!(daemon.stderr().contains("older version"), "{}", daemon.stderr());
    let names: Vec<_> =
        std::fs::read_dir(&records)?.map(|one| one.map(|one| one.file_name())).collect::<Result<_, _>>()?;
    ensure!(names.iter().any(|name| name.to_string_lossy().starts_with("observer.redb.old-")), "{names:?}");

    // A second daemon on the same folder says so, and goes on without.
    let second = recording(&folder).start().await?;
    let paused = wait_state(&second, RecorderState::Paused).await?;
    ensure!(paused.reason.contains("another process records there"), "{paused:?}");
    let mode = std::fs::metadata(records.join("observer.redb"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    Ok(())
}
