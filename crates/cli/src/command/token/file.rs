//! The token file: its lines, its replacement, and its lock.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use throughline::layers::scope::ScopeLayer;
use throughline_http::TokenFile;

use crate::{Exit, Failure};

/// The longest wait for another `token` command.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The interval of the attempts.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// The lines of a token file, comments too.
pub(super) struct FileLines {
    pub(super) text: Vec<String>,
}

impl FileLines {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            let failure = Failure::io(format_args!("`{}` could not be read", path.display()), &error);
            match error.kind() {
                io::ErrorKind::NotFound => failure.advise("`throughline token add` makes the file"),
                _ => failure,
            }
        })?;
        Ok(Self { text: text.lines().map(str::to_owned).collect() })
    }

    pub(super) fn read_or_new(path: &Path) -> Result<Self, Failure> {
        match fs::exists(path) {
            Ok(false) => Ok(Self { text: Vec::new() }),
            _ => Self::read(path),
        }
    }

    /// The tokens, with the numbers of their lines.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (usize, Map<String, Value>)> {
        let lines = self.text.iter().enumerate();
        lines.filter_map(|(at, text)| Some((at, serde_json::from_str(text.trim()).ok()?)))
    }

    pub(super) fn find(&self, name: &str) -> Option<(usize, Map<String, Value>)> {
        self.tokens().find(|(_, token)| token.get("name").and_then(Value::as_str) == Some(name))
    }

    /// Replaces the file by one that the server accepts, so that no request reads half of it.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let failed =
            |error: io::Error| Failure::io(format_args!("`{}` could not be written", path.display()), &error);
        // The file behind a link, which the server may open by its own path.
        let target = target(path);
        let folder =
            target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // With permissions for its owner only.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        for line in &self.text {
            writeln!(file, "{line}").map_err(failed)?;
        }
        file.as_file().sync_all().map_err(failed)?;
        check(file.path())?;
        if let Ok(before) = fs::metadata(&target) {
            keep_owner(&file, &before).map_err(failed)?;
            file.as_file().set_permissions(before.permissions()).map_err(failed)?;
        }
        file.persist(&target).map_err(|error| failed(error.error))?;
        // Without this a loss of power could bring a revoked token back.
        #[cfg(unix)]
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(())
    }
}

/// Refuses a file that the server would refuse, or a part of it.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    match TokenFile::open_scoped(path, ScopeLayer::new().authority()) {
        Ok(_) => Ok(()),
        Err(error) => {
            // The line of a bad argument; the temporary file has no name that a person knows.
            let lines: Vec<String> = error.bad_lines().iter().map(ToString::to_string).collect();
            let text = if lines.is_empty() { error.to_string() } else { lines.join("; ") };
            Err(Failure::new(
                Exit::Failed,
                "invalid",
                format!("the server would refuse the token file: {text}"),
            ))
        }
    }
}

/// The file behind a path, which may be a link; the path itself if there is no file yet.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Waits for another `token` command on the same file, and keeps further ones out.
pub(super) fn lock(path: &Path) -> Result<fs::File, Failure> {
    let mut name = target(path).into_os_string();
    name.push(".lock");
    let failed = |error: io::Error| {
        Failure::io(format_args!("`{}` could not be locked", Path::new(&name).display()), &error)
    };
    let file = fs::File::options().create(true).write(true).truncate(false).open(&name).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            Err(fs::TryLockError::WouldBlock) => {
                let text = format!("another `token` command holds `{}`", Path::new(&name).display());
                return Err(Failure::new(Exit::Unavailable, "busy", text)
                    .advise("repeat the command, or end that process"));
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Gives the new file the owner of the one before, which may be the user of the server.
#[cfg(unix)]
fn keep_owner(file: &tempfile::NamedTempFile, before: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let new = file.as_file().metadata()?;
    if (new.uid(), new.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    fchown(file.as_file(), Some(before.uid()), Some(before.gid()))
}

#[cfg(not(unix))]
fn keep_owner(_: &tempfile::NamedTempFile, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}
