//! A store that is opened without the right to change it.

use std::{fmt, mem, sync::Arc, time::Instant};

use throughline_core::{
    Admitted, Backend, Capabilities, Durability, OpKind, ReadArgs, Reply, Result,
    backend::{OwnerProcess, wait_until},
    changes::{CommitNotifications, CommitNotifier},
};

use crate::{
    OpenError, PostgresOptions, commits::CommitListener, engine::Engine, options::Settings, read::Readers,
};

/// A store in a Postgres database, opened to be read: for inspection, and for a role that may only select.
///
/// It creates and migrates no schema, and writes nothing: each transaction is `READ ONLY` at the server. It takes no lock
/// that a writer waits for. Its pipeline refuses every write as [`Unsupported`](throughline_core::ErrorKind::Unsupported).
/// The reads are those of [`PostgresBackend`](crate::PostgresBackend): each is one snapshot of the primary, and sees every write that
/// was committed before it began. It also has the commit notifications of the writers.
///
/// The role needs `USAGE` on the schema `throughline` and `SELECT` on its tables.
///
/// ```no_run
/// use throughline_core::{Persistence, messages::PageFrom};
/// use throughline_postgres::PostgresReader;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let reader = PostgresReader::open("postgres://inspector:secret@db.example/app").await?;
/// let db = Persistence::builder().backend(reader).build()?;
/// println!("{} messages", db.thread("telegram:42").page(PageFrom::End, 50).await?.messages.len());
/// # Ok(())
/// # }
/// ```
///
/// A process that was forked from the one that opened the store cannot use it: every call in the child fails as
/// [`Invalid`](throughline_core::ErrorKind::Invalid).
pub struct PostgresReader {
    pub(crate) settings: Settings,
    pub(crate) owner: OwnerProcess,
    pub(crate) engine: Engine,
    readers: Arc<Readers>,
    commits: CommitListener,
}

impl PostgresReader {
    pub(crate) fn new(settings: Settings, engine: Engine) -> Self {
        let readers = Arc::new(Readers::new(&settings, &engine));
        Self { settings, owner: OwnerProcess::current(), engine, readers, commits: CommitListener::default() }
    }

    /// Opens the store in the database of this URL, with the default [`PostgresOptions`].
    ///
    /// # Errors
    /// As for [`PostgresOptions::open_read_only`].
    ///
    /// # Cancel safety
    /// If the future is dropped before it completes, no store is opened.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        PostgresOptions::new().open_read_only(url).await
    }

    /// The notifier of the commits of this process.
    pub(crate) const fn notifier(&self) -> &CommitNotifier {
        self.commits.notifier()
    }

    /// Returns until when a call waits.
    pub(crate) fn wait_until(&self, deadline: Option<Instant>) -> Instant {
        wait_until(deadline, self.settings.options.wait_limit)
    }
}

impl Backend for PostgresReader {
    fn name(&self) -> &str {
        &self.settings.options.name
    }

    fn capabilities(&self) -> Capabilities {
        let claims = Capabilities::new(Durability::PowerLoss)
            .with_operations(&[OpKind::Read])
            .with_changes()
            .with_indexed_metadata(self.settings.options.indexed.clone())
            .with_multi_process();
        if self.settings.options.search {
            claims.with_search(self.settings.options.tokenizer)
        } else {
            claims
        }
    }

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        self.owner.check()?;
        let wait_until = self.wait_until(call.context().deadline());
        let (read, context, now) = call.into_parts();
        Ok(Reply::new(self.readers.read(context.tenant(), read, wait_until, now).await?))
    }

    fn commit_notifications(&self) -> Option<CommitNotifications> {
        self.owner.is_current().then(|| self.commits.subscribe(&self.settings, &self.engine))
    }

    async fn close(&self) -> Result<()> {
        self.owner.check()?;
        self.commits.stop();
        self.readers.close().await;
        Ok(())
    }
}

impl Drop for PostgresReader {
    fn drop(&mut self) {
        if self.owner.is_current() {
            self.commits.stop();
        } else {
            // A forked child has no copy of the owner's threads. Closing a connection here would wait for those
            // threads forever.
            mem::forget((Arc::clone(&self.readers), self.engine.clone()));
        }
    }
}

impl fmt::Debug for PostgresReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the connection parameters: they may hold a password.
        f.debug_struct("PostgresReader").field("options", &self.settings.options).finish_non_exhaustive()
    }
}
