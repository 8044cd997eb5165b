use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant},
};

use throughline_core::{
    Add, Admitted, Backend, Batch, Capabilities, ConsumerArgs, Context, Delete, Durability, Effect,
    ErrorKind, Import, OpKind, Operation, PersistArgs, PersistError, Position, ReadArgs, Reply, Reserve,
    Result, SessionArgs, ThreadArgs, Update, UpdateContent, backend::weight,
};
use tokio::{sync::watch, task::AbortHandle};

use crate::{
    OpenError, PostgresOptions,
    engine::Engine,
    options::Settings,
    queue::{Committed, Pending, Write},
    read::Readers,
    signs,
    writer::Writers,
};

/// How long before its deadline a write that still waits is given up.
const LAST_WORD: Duration = Duration::from_millis(10);

/// A store in a Postgres database.
///
/// A write is answered after its transaction was committed. Writes that wait at the same time share one. Reads run beside them on
/// connections of their own, and see every write that was answered before they began. Any number of processes may open the same
/// database.
///
/// Closing, with [`Persistence::close`](throughline_core::Persistence::close), applies what was admitted. A backend that is dropped
/// instead applies what was admitted too, on its threads, and nobody waits for that.
pub struct PostgresBackend {
    settings: Settings,
    readers: Readers,
    writers: Writers,
    signs: watch::Sender<Position>,
    engine: Engine,
    /// Hears the commits of others, from when somebody first asks for signs.
    follower: OnceLock<AbortHandle>,
}

impl PostgresBackend {
    pub(crate) fn new(settings: Settings, engine: &Engine) -> Self {
        let signs = watch::Sender::new(Position::ZERO);
        let writers = Writers::start(&settings, &signs, engine);
        let readers = Readers::new(&settings, engine);
        let engine = engine.clone();
        Self { settings, readers, writers, signs, engine, follower: OnceLock::new() }
    }

    /// Opens the store in the database of this URL with the default [`PostgresOptions`].
    ///
    /// # Errors
    /// [`OpenError`]; the database is as it was then.
    ///
    /// # Cancel safety
    /// As of [`PostgresOptions::open`].
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        PostgresOptions::new().open(url).await
    }

    /// Settings other than the defaults.
    pub fn builder() -> PostgresOptions {
        PostgresOptions::new()
    }

    /// Hands a write to a writer and waits for its answer.
    ///
    /// Cancelled while it waits for a place, or before the writer has taken it, the write is not applied; afterwards it is, whoever
    /// listens.
    async fn write<O: Operation>(&self, call: Admitted<'_, O>) -> Result<Reply<O>> {
        let (op, context, now) = call.into_parts();
        let args: PersistArgs = op.into();
        let bytes = weight(&args, self.settings.options.max_content_bytes)?;
        let give_up = self.give_up(&context);
        let slot = self.writers.admission.enter(context.tenant(), bytes, give_up).await?;
        let (tenant, idempotency) = (context.tenant().clone(), context.idempotency().cloned());
        let (pending, answer) = Pending::new(Write { tenant, args, idempotency, now }, give_up, bytes, slot);
        self.writers.push(pending);
        // Every write is answered, also one that its writer was lost with.
        let Committed { result, position } = answer.await.unwrap_or_else(|_| Err(unanswered()))?;
        let output = O::Output::try_from(result).map_err(|_| mixed_up())?;
        Ok(match position {
            Some(position) => Reply::at(output, position),
            None => Reply::new(output),
        })
    }

    fn stop_following(&self) {
        if let Some(follower) = self.follower.get() {
            follower.abort();
        }
    }

    /// Until when a call waits: a little less than its caller, who could not know otherwise that nothing was applied.
    fn give_up(&self, context: &Context) -> Instant {
        let now = Instant::now();
        match context.deadline() {
            Some(deadline) => deadline - (deadline.saturating_duration_since(now) / 8).min(LAST_WORD),
            None => now + self.settings.options.wait_limit,
        }
    }
}

fn unanswered() -> PersistError {
    PersistError::new(ErrorKind::Internal, "the writer let a write go without an answer")
        .with_effect(Effect::Unknown)
}

fn mixed_up() -> PersistError {
    PersistError::new(ErrorKind::Internal, "the writer answered another operation")
        .with_effect(Effect::Applied)
}

/// All but exact copies.
const CLAIMED: [OpKind; 11] = [
    OpKind::Add,
    OpKind::Reserve,
    OpKind::UpdateContent,
    OpKind::Update,
    OpKind::Delete,
    OpKind::Batch,
    OpKind::Import,
    OpKind::Thread,
    OpKind::Read,
    OpKind::Consumer,
    OpKind::Session,
];

impl Backend for PostgresBackend {
    fn name(&self) -> &str {
        &self.settings.options.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::PowerLoss)
            .with_operations(&CLAIMED)
            .with_idempotency()
            .with_changes()
            .with_multi_process()
            .with_max_content_bytes(self.settings.options.max_content_bytes)
    }

    async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
        self.write(call).await
    }

    async fn reserve(&self, call: Admitted<'_, Reserve>) -> Result<Reply<Reserve>> {
        self.write(call).await
    }

    async fn update_content(&self, call: Admitted<'_, UpdateContent>) -> Result<Reply<UpdateContent>> {
        self.write(call).await
    }

    async fn update(&self, call: Admitted<'_, Update>) -> Result<Reply<Update>> {
        self.write(call).await
    }

    async fn delete(&self, call: Admitted<'_, Delete>) -> Result<Reply<Delete>> {
        self.write(call).await
    }

    async fn batch(&self, call: Admitted<'_, Batch>) -> Result<Reply<Batch>> {
        self.write(call).await
    }

    async fn import(&self, call: Admitted<'_, Import>) -> Result<Reply<Import>> {
        self.write(call).await
    }

    async fn thread(&self, call: Admitted<'_, ThreadArgs>) -> Result<Reply<ThreadArgs>> {
        self.write(call).await
    }

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        let give_up = self.give_up(call.context());
        let (read, context, now) = call.into_parts();
        Ok(Reply::new(self.readers.read(context.tenant(), read, give_up, now).await?))
    }

    async fn consumer(&self, call: Admitted<'_, ConsumerArgs>) -> Result<Reply<ConsumerArgs>> {
        self.write(call).await
    }

    async fn session(&self, call: Admitted<'_, SessionArgs>) -> Result<Reply<SessionArgs>> {
        self.write(call).await
    }

    fn signs(&self) -> Option<watch::Receiver<Position>> {
        let follow = || {
            let followed = signs::follow(self.settings.clone(), self.signs.clone());
            self.engine.handle().spawn(followed).abort_handle()
        };
        self.follower.get_or_init(follow);
        Some(self.signs.subscribe())
    }

    async fn close(&self) -> Result<()> {
        self.stop_following();
        let closed = self.writers.close().await;
        self.readers.close().await;
        closed
    }
}

impl Drop for PostgresBackend {
    fn drop(&mut self) {
        self.stop_following();
    }
}

impl fmt::Debug for PostgresBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not where it is connected to: that may hold a password.
        f.debug_struct("PostgresBackend").field("options", &self.settings.options).finish_non_exhaustive()
    }
}
