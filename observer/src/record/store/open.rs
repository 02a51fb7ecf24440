//! Opening the store: what is there is kept, moved aside or left alone, and that is said.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::backends::InMemoryBackend;
use redb::{Database, DatabaseError, ReadableDatabase as _};

use super::file::{Backend, FileError, grow_by};
use super::tables::{AMENDED, BLOCKS, COMPLETED, GAPS, INCIDENTS, KEPT, RUNS, SLICES};
use super::{Inner, Limits, Result, State, Store, StoreError, evict};
use crate::event::WallTime;

/// The file's name.
const NAME: &str = "observer.redb";
/// What redb may keep in memory of the file.
const CACHE_BYTES: usize = 4 << 20;

/// The tables that there are.
const TABLES: usize = 8;
/// The file grows in about so many steps.
const GROWTHS: u64 = 256;

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The folder cannot be made or used.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The folder or the file.
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// Another daemon has it.
    #[error("{} is in use: another process records there", .0.display())]
    Locked(PathBuf),
    /// It is somebody else's, or of a newer version: it is left alone.
    #[error("{} is left alone: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// redb cannot use it.
    #[error("cannot open {}: {error}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        #[source]
        error: StoreError,
    },
}

/// A file cannot be used, and why.
enum Unusable {
    /// What it holds is damaged, or of an older version.
    Aside(&'static str, String),
    Error(OpenError),
}

impl Store {
    /// Opens the store of a folder, or makes it. What cannot be read any more is moved aside, which is logged.
    pub(crate) fn open(folder: &Path, limits: Limits, now: WallTime) -> std::result::Result<Self, OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| OpenError::Io { path, error }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        let path = Self::path_in(folder);
        let (database, state) = match open(&path, limits) {
            Ok(opened) => opened,
            Err(Unusable::Error(error)) => return Err(error),
            Err(Unusable::Aside(what, why)) => {
                let aside = set_aside(folder, &path, what, now).map_err(at(&path))?;
                log::error!(
                    "{} cannot be read any more ({why}); it is {} now, and a new recording begins",
                    path.display(),
                    aside.display()
                );
                open(&path, limits).map_err(|error| match error {
                    Unusable::Error(error) => error,
                    Unusable::Aside(_, reason) => OpenError::Refused { path: path.clone(), reason },
                })?
            }
        };
        Ok(Self::with(Some(path), limits, database, state))
    }

    /// A store in memory, for what is read from elsewhere.
    pub(crate) fn in_memory(limits: Limits) -> Result<Self> {
        let database = builder()
            .create_with_backend(InMemoryBackend::new())
            .map_err(|error| StoreError::Redb(Box::new(error.into())))?;
        let state = prepare(&database)?;
        Ok(Self::with(None, limits, database, state))
    }

    fn with(path: Option<PathBuf>, limits: Limits, database: Database, state: State) -> Self {
        let (database, state) = (RwLock::new(Some(database)), Mutex::new(state));
        Self(Arc::new(Inner { path, limits, database, writing: Mutex::default(), state }))
    }

    /// Opens the file anew after something failed: redb wants nothing more to do with it before that.
    pub(crate) fn reopen(&self) -> std::result::Result<(), OpenError> {
        let Some(path) = &self.0.path else { return Ok(()) };
        let mut database = self.0.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(database.take());
        let (opened, state) = open(path, self.0.limits).map_err(|error| match error {
            Unusable::Error(error) => error,
            // What was good a moment ago is not thrown away for what a failing disk says, which may say otherwise soon.
            Unusable::Aside(_, reason) => {
                OpenError::Io { path: path.clone(), error: io::Error::other(reason) }
            }
        })?;
        *database = Some(opened);
        *self.state() = state;
        Ok(())
    }

    /// The file of a folder.
    pub(crate) fn path_in(folder: &Path) -> PathBuf {
        folder.join(NAME)
    }

    /// The file, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Makes a new file, whole before it has its name.
fn make(path: &Path, limits: Limits) -> std::result::Result<(), Unusable> {
    let new = path.with_extension("redb.new");
    let failed = |error| Unusable::Error(OpenError::Io { path: new.clone(), error });
    // One that was not finished.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    drop(open_file(&new, limits)?);
    let pages = (limits.bytes / GROWTHS / 4096).next_power_of_two().clamp(256, 1 << 18);
    if !grow_by(&new, pages as u32).map_err(failed)? {
        log::warn!("{}: redb's format is not the known one; the file may exceed its bound", path.display());
    }
    fs::rename(&new, path).map_err(failed)
}

fn open(path: &Path, limits: Limits) -> std::result::Result<(Database, State), Unusable> {
    if !path.exists() {
        make(path, limits)?;
    }
    open_file(path, limits)
}

fn open_file(path: &Path, limits: Limits) -> std::result::Result<(Database, State), Unusable> {
    let refused = |reason: String| Unusable::Error(OpenError::Refused { path: path.to_owned(), reason });
    let backend = Backend::open(path).map_err(|error| match error {
        FileError::Locked => Unusable::Error(OpenError::Locked(path.to_owned())),
        FileError::Io(error) => Unusable::Error(OpenError::Io { path: path.to_owned(), error }),
        FileError::Foreign | FileError::Newer(_) => refused(error.to_string()),
        FileError::Older(_) => Unusable::Aside("old", error.to_string()),
    })?;
    // A file that somebody has changed may be more than redb can bear.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut database = builder().create_with_backend(backend)?;
        let state = prepare(&database)?;
        if std::fs::metadata(path).is_ok_and(|file| file.len() > limits.bytes) {
            database.compact()?;
        }
        Ok::<_, Failure>((database, state))
    }));
    match opened {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(Failure(error))) if is_damage(&error) => Err(Unusable::Aside("damaged", error.to_string())),
        Ok(Err(Failure(error))) => {
            let error = StoreError::Redb(Box::new(error));
            Err(Unusable::Error(OpenError::Store { path: path.to_owned(), error }))
        }
        Err(_panic) => Err(Unusable::Aside("damaged", "it is damaged".to_owned())),
    }
}

/// What went wrong while opening.
struct Failure(redb::Error);

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self(error.into())
    }
}

impl From<redb::CompactionError> for Failure {
    fn from(error: redb::CompactionError) -> Self {
        Self(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(match error {
            StoreError::Redb(error) => *error,
            StoreError::Closed | StoreError::Damaged(_) => redb::Error::Corrupted(error.to_string()),
        })
    }
}

/// What the disk said is no damage, and may be otherwise the next time.
#[allow(clippy::wildcard_enum_match_arm, reason = "all other errors are about what the file holds")]
fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        redb::Error::PreviousIo | redb::Error::DatabaseAlreadyOpen => false,
        _ => true,
    }
}

/// Makes the tables where they are not there yet, and counts what is in them. Where they are nothing is written: there may
/// be no room for that.
fn prepare(database: &Database) -> Result<State> {
    if database.begin_read()?.list_tables()?.count() < TABLES {
        let write = database.begin_write()?;
        write.open_table(RUNS)?;
        write.open_table(BLOCKS)?;
        write.open_table(SLICES)?;
        write.open_table(GAPS)?;
        write.open_table(AMENDED)?;
        write.open_table(COMPLETED)?;
        write.open_table(INCIDENTS)?;
        write.open_table(KEPT)?;
        write.commit()?;
    }
    evict::count(&database.begin_read()?)
}

/// Moves a file aside; one of each sort is kept.
fn set_aside(folder: &Path, path: &Path, what: &str, now: WallTime) -> io::Result<PathBuf> {
    let prefix = format!("{NAME}.{what}-");
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_file(entry.path())?;
        }
    }
    let aside = folder.join(format!("{prefix}{}", now.0 / 1_000_000_000));
    fs::rename(path, &aside)?;
    Ok(aside)
}
