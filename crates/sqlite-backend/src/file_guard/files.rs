//! The descriptors that the locks are on, and who else has the files open.

use std::{
    fs::{self, File},
    io, mem,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};

use super::{Identity, lock};

/// How long a count of the descriptors holds where no watch can be set.
const FRESH: Duration = Duration::from_millis(10);

/// The files of one store. All stores of the process on one file share them.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) database: File,
    /// The `-shm`.
    pub(super) index: File,
    /// The `-wal`. SQLite has no locks on it.
    pub(super) log: File,
    pub(super) identity: Identity,
    /// Of the log and of its index.
    pub(super) opened: (Identity, Identity),
    has_second: AtomicBool,
    watch: Mutex<Watch>,
}

/// Says whether anyone opened the index since the last look.
#[derive(Debug)]
enum Watch {
    Events(Inotify),
    /// There is none: it is counted again after a while.
    Clock(Option<Instant>),
}

impl Watch {
    fn on(index: &Path) -> Self {
        let watch = || -> nix::Result<Inotify> {
            let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            events.add_watch(index, AddWatchFlags::IN_OPEN)?;
            Ok(events)
        };
        watch().map_or(Self::Clock(None), Self::Events)
    }

    fn has_news(&mut self) -> bool {
        match self {
            // Whatever else it answers, nothing is known.
            Self::Events(events) => !matches!(events.read_events(), Err(Errno::EAGAIN)),
            Self::Clock(counted) => {
                let has_news = counted.is_none_or(|at| at.elapsed() >= FRESH);
                if has_news {
                    *counted = Some(Instant::now());
                }
                has_news
            }
        }
    }
}

impl Files {
    /// Opens the file, its log and its index. Nothing is closed again that SQLite has locks on.
    pub(super) fn open(
        [path, log, index]: [&Path; 3],
        identity: Identity,
        opened: (Identity, Identity),
    ) -> io::Result<Self> {
        // Before the index is counted: whoever opens it after that is seen.
        let watch = Mutex::new(Watch::on(index));
        let log = File::open(log)?;
        // Where descriptors have run out, it is found out by these two, which SQLite has no locks on.
        let spare = [log.try_clone()?, log.try_clone()?];
        drop(spare);
        let index = File::options().read(true).write(true).open(index)?;
        let database = match File::open(path) {
            Ok(database) => database,
            Err(error) => {
                // To close it again would drop the locks of SQLite.
                mem::forget(index);
                return Err(error);
            }
        };
        Ok(Self { database, index, log, identity, opened, has_second: AtomicBool::new(false), watch })
    }

    /// Takes the shared locks.
    pub(super) fn lock(&self) -> io::Result<()> {
        lock::share(&self.database, lock::SHARED)?;
        lock::share(&self.index, lock::USERS)?;
        self.count();
        Ok(())
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a second SQLite library in this process has the index open. SQLite opens it once in a process, whatever the
    /// number of its connections.
    pub(super) fn has_second_library(&self) -> bool {
        let mut watch = self.watch();
        if self.has_second.load(Ordering::Relaxed) {
            // That it was closed is no news.
            self.count();
        }
        while watch.has_news() {
            self.count();
            if matches!(*watch, Watch::Clock(_)) {
                break;
            }
        }
        self.has_second.load(Ordering::Relaxed)
    }

    /// What the last look found.
    pub(super) fn had_second_library(&self) -> bool {
        self.has_second.load(Ordering::Relaxed)
    }

    fn count(&self) {
        // Its own, and that of the SQLite of the store.
        let has_second = descriptors(&[self.opened.1]).is_some_and(|found| found > 2);
        self.has_second.store(has_second, Ordering::Relaxed);
    }

    /// Gives the shared locks back, so that SQLite can find out whether it is the last user.
    pub(super) fn unlock(&self) {
        // What cannot be given back goes with the descriptors.
        drop(lock::release(&self.database, lock::SHARED));
        drop(lock::release(&self.index, lock::USERS));
    }
}

/// How many descriptors of this process are of these files. Nothing where that cannot be told.
pub(super) fn descriptors(files: &[Identity]) -> Option<usize> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    let of_them = entries.filter_map(Result::ok).filter(|entry| {
        fs::metadata(entry.path()).is_ok_and(|found| files.contains(&(found.dev(), found.ino())))
    });
    Some(of_them.count())
}
