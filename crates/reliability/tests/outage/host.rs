//! The operations of a test on its store.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use throughline_core::{
    Effect, ErrorKind, Persistence, Result,
    messages::{PageFrom, Visibility},
};
use throughline_reliability::{
    acks::{AckLog, Call, Outcome, message},
    health_when,
};
use throughline_sqlite::{Condition, Failpoint, Maintenance, OpenError, SqliteOptions};

const DEADLINE: Duration = Duration::from_secs(10);

/// `SQLITE_IOERR_WRITE`.
const WRITE_FAILED: i32 = 778;

/// A process with a store.
pub(super) struct Host {
    pub(super) db: Persistence,
    maintenance: Maintenance,
    log: AckLog,
    /// Names it in every message.
    name: String,
    /// The next write loses its connection.
    loses: Arc<AtomicBool>,
}

impl Host {
    pub(super) async fn open(store: &Path, acks: impl AsRef<Path>) -> Self {
        Self::try_open(store, acks).await.unwrap()
    }

    pub(super) async fn try_open(store: &Path, acks: impl AsRef<Path>) -> Result<Self, OpenError> {
        let loses = Arc::new(AtomicBool::new(false));
        let lost = Arc::clone(&loses);
        let options = settings().failpoints(move |point| match point {
            Failpoint::Applying if lost.swap(false, Ordering::SeqCst) => Err(WRITE_FAILED),
            _ => Ok(()),
        });
        let backend = options.open(store).await?;
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap().with_deadline(DEADLINE);
        let name = format!("{:x}", fastrand::u64(..));
        let log = AckLog::create(acks.as_ref().join(format!("{name}.acks"))).unwrap();
        Ok(Self { db, maintenance, log, name, loses })
    }

    pub(super) fn options(&self) -> SqliteOptions {
        settings()
    }

    pub(super) async fn add(&self, name: &str) -> Result<()> {
        let name = format!("{} {name}", self.name);
        let begun = self.log.begin(Call::Add, "t", &[&name]).unwrap();
        let answer = self.db.thread("t").add(message(&name)).await;
        begun.end(Outcome::of(&answer)).unwrap();
        answer.map(drop)
    }

    pub(super) async fn reads(&self) -> Result<()> {
        self.db.thread("t").page_showing(PageFrom::End, 10, Visibility::All).await.map(drop)
    }

    /// Makes a write fail, so that the writer must open the file again for the next one.
    pub(super) async fn lose_the_connection(&self) {
        self.loses.store(true, Ordering::SeqCst);
        self.refuses("loses the connection").await;
        // A writer without a connection does not reach the failpoint.
        self.loses.store(false, Ordering::SeqCst);
    }

    pub(super) async fn refuses(&self, name: &str) {
        let begun = Instant::now();
        let error = self.add(name).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
        assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    }

    /// Waits until the store accepts writes again, and writes.
    pub(super) async fn recovers(&self, name: &str) {
        health_when(&self.maintenance, DEADLINE, |health| health.condition == Condition::Writable).await;
        self.add(name).await.unwrap();
        self.reads().await.unwrap();
    }
}

/// Without a floor, so that the disk itself fails. A call times out before its deadline, so that its error names the cause.
fn settings() -> SqliteOptions {
    SqliteOptions::new().free_space_floor(0).wait_limit(DEADLINE / 4)
}
