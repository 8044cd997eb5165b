//! One transaction: begin, decide, write, commit.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    PersistArgs, PersistError, Position, backend::replication_rules, replication::ReplicaArgs,
};
use throughline_engine::{Limits, StagedRows, Transaction};

use super::{
    Locks,
    decide::{Decided, decide},
    held::Held,
    link::in_time,
};
use crate::{
    commits::is_heard,
    error::{Failure, damaged, not_durable},
    metadata_index::MetadataNames,
    options::Settings,
    queue::Pending,
    replica::{self, Replicated},
    row_security::{NARROW, Reach, WIDEN},
    rows::{Loading, MintedIds, Source, ThreadCache, Writing, counter, number, writing},
    transaction::{Of, begin_with},
    warnings::listen,
};

/// After how many positions old changes are deleted.
const TRIM_EVERY: u64 = 4096;

/// The state of a writer from one transaction to the next.
#[derive(Debug)]
pub(super) struct WriterState {
    /// The id of the writer in the store.
    pub(super) name: String,
    /// The number of its last transaction.
    pub(super) batch: u64,
    /// How often it has run a fence transaction, as its row in the store has it; `None` if that is not known.
    pub(super) fence_transaction_count: Option<u64>,
    /// The threads as it has committed them last.
    pub(super) threads: ThreadCache,
    /// Whether the next transaction deletes old changes in any case.
    pub(super) is_trim_due: bool,
}

/// A transaction before its commit.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) decided: Vec<Decided>,
    /// The changes of it, if there are any.
    pub(super) written: Option<Uncommitted>,
    /// The rows that it wrote, if later writes may be decided on them.
    pub(super) cacheable: Option<StagedRows>,
}

/// The changes of a transaction, with its id.
#[derive(Debug)]
pub(super) struct Uncommitted {
    pub(super) written: Written,
    xid: String,
}

#[derive(Debug)]
pub(super) struct Written {
    /// The position before its first change.
    pub(super) base: u64,
    /// How many positions it has taken.
    pub(super) taken: u64,
    /// The timeline of the server, if a pooler chose the server.
    pub(super) timeline: Option<u32>,
    /// Whether a notification remains to be sent.
    pub(super) is_heard: bool,
}

impl Written {
    /// Returns the position of a write after which the transaction had staged this many events.
    pub(super) const fn position(&self, events: usize) -> Position {
        Position::new(self.base + events as u64)
    }

    pub(super) const fn last(&self) -> Position {
        Position::new(self.base + self.taken)
    }

    /// Returns whether old changes are to be deleted after it.
    pub(super) const fn is_trim_due(&self) -> bool {
        self.base / TRIM_EVERY != (self.base + self.taken) / TRIM_EVERY
    }
}

impl Uncommitted {
    /// Returns a transaction that changes nothing, for a server with synchronous standbys. Its answers say what the store has, and a commit that no
    /// standby has can be visible: its wait was cancelled, or the server crashed during it. The WAL is sequential, so a standby
    /// that has this commit has everything that its answers are based on.
    async fn unchanged(
        db: &mut PgConnection,
        state: &WriterState,
        position: u64,
        timeline: Option<u32>,
    ) -> sqlx::Result<Self> {
        let xid = mark(db, state).await?;
        Ok(Self { written: Written { base: position, taken: 0, timeline, is_heard: false }, xid })
    }
}

/// The reason why a transaction was not prepared.
#[derive(Debug)]
pub(super) enum Unprepared {
    Failed(Failure),
    /// A minted id may exist already, or a host has declared a metadata field: the transaction is decided again, and every id is
    /// looked up.
    KnownIds,
}

impl From<Failure> for Unprepared {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Prepared {
    /// The result for a store that refuses the whole batch.
    fn refused(batch: &[Pending], refusal: &PersistError) -> Self {
        let refused = |_| Decided { outcome: Err(refusal.clone()), events: None };
        Self { decided: batch.iter().map(refused).collect(), written: None, cacheable: None }
    }
}

macro_rules! has_standbys {
    () => {
        "current_setting('synchronous_standby_names') <> '' AS has_standbys"
    };
}

const STORE: &str = concat!(
    "SELECT epoch, is_replica, metadata_version, position, ",
    has_standbys!(),
    " FROM throughline.store WHERE id = 1"
);

const HAS_STANDBYS: &str = concat!("SELECT ", has_standbys!());

/// Runs everything except the commit. After a failure, the caller closes the connection or rolls back.
pub(super) async fn prepare(
    settings: &Settings,
    db: &mut PgConnection,
    batch: &[Pending],
    (minted, loading): (MintedIds, Loading),
    state: &mut WriterState,
) -> Result<Prepared, Unprepared> {
    if let [pending] = batch
        && let PersistArgs::Replica(args) = &pending.write.args
    {
        return Ok(replicate(settings, db, args, state).await?);
    }
    let mut locks = Locks::default();
    let mut source = Source::new(loading, std::mem::take(&mut state.threads));
    for pending in batch {
        locks.extend(&Locks::of(&pending.write));
        source.prefetch(&pending.write, minted);
    }
    let (threads, query) = source.query_threads();
    // Each statement sees what was committed before it began, so the threads are read as the locks protect them.
    let locked = |locks: String| format!("{locks}; {STORE}; {query}");
    let first = locked(if settings.options.pgbouncer { locks.attempt() } else { locks.statement() });
    let (limit, since) = (settings.options.answer_limit + settings.options.wait_limit, Instant::now());
    let reach = || Reach::of_batch(batch);
    let begun = begin_with(settings, db, Of::Writes, reach, begin_limit(settings, batch), &first).await?;
    let work = async {
        let mut locked_rows = begun.rows;
        if Locks::are_missing(&locked_rows)? {
            let waiting = locked(locks.statement());
            locked_rows = sqlx::raw_sql(AssertSqlSafe(waiting)).fetch_all(&mut *db).await?;
        }
        // The row of the store is after those of the settings and the locks, and before those of the threads.
        let is_store = |row: &PgRow| row.try_column("is_replica").is_ok();
        let broken = || damaged("the row of the store".to_owned());
        let at = locked_rows.iter().position(is_store).ok_or_else(broken)?;
        let found = &locked_rows[at];
        // Checked again when the row is locked. A replica decides no writes.
        if let Err(refusal) = replication_rules::expect_primary(replica::replication_state(found)?) {
            return Ok(Some(Prepared::refused(batch, &refusal)));
        }
        let limits = Limits::default().with_max_content_bytes(settings.options.max_content_bytes);
        let names = settings.names.of_version(db, found.try_get("metadata_version")?).await?;
        source.insert_threads(&threads, &locked_rows[at + 1..])?;
        let mut transaction = Transaction::new(source, limits).with_indexed_metadata(names.indexed.clone());
        let decided = decide(&mut transaction, db, batch).await?;
        let (source, staged) = transaction.into_parts();
        let has_assumed = source.has_assumed(&staged);
        state.threads = source.into_thread_cache();
        if has_assumed {
            return Ok(None);
        }
        let (written, is_cacheable) = if decided.iter().any(|decided| decided.events.is_some()) {
            let finished = finish(settings, db, (&staged, &names), state).await?;
            // A host has declared a metadata field since the names were read.
            let Some((mut uncommitted, held)) = finished else { return Ok(None) };
            if let Err(refusal) = replication_rules::expect_primary(held.replication_state) {
                return Ok(Some(Prepared::refused(batch, &refusal)));
            }
            let is_cacheable = !held.captures();
            held.behind(db, batch, (&decided, &staged), &uncommitted.written).await?;
            uncommitted.written.timeline = begun.timeline;
            (Some(uncommitted), is_cacheable)
        } else if found.try_get("has_standbys")? {
            let position = counter(found.try_get("position")?).ok_or_else(broken)?;
            (Some(Uncommitted::unchanged(db, state, position, begun.timeline).await?), false)
        } else {
            (None, false)
        };
        Ok(Some(Prepared { decided, written, cacheable: is_cacheable.then_some(staged) }))
    };
    match in_time(limit.saturating_sub(since.elapsed()), work).await {
        Ok(Some(prepared)) => Ok(prepared),
        Ok(None) => Err(Unprepared::KnownIds),
        Err(failure) if minted == MintedIds::AreNew && failure.is_duplicate() => Err(Unprepared::KnownIds),
        Err(failure) => Err(Unprepared::Failed(failure)),
    }
}

/// Returns how long the transaction may wait for a server connection of a pooler: no operation may exceed its
/// deadline.
fn begin_limit(settings: &Settings, batch: &[Pending]) -> Duration {
    let now = Instant::now();
    let soonest = batch.iter().map(|pending| pending.wait_until.saturating_duration_since(now)).min();
    settings.options.wait_limit.min(soonest.unwrap_or_default())
}

/// The same for a replication operation.
async fn replicate(
    settings: &Settings,
    db: &mut PgConnection,
    args: &ReplicaArgs,
    state: &WriterState,
) -> Result<Prepared, Failure> {
    let replicated = replica::prepare(settings, db, args).await?;
    let Replicated { outcome, position, timeline } = replicated;
    let changed = outcome.as_ref().is_ok_and(|outcome| outcome.changed);
    let written = if changed {
        let xid = in_time(settings.options.answer_limit, mark(db, state)).await?;
        let written = Written { base: position.get() - 1, taken: 1, timeline, is_heard: false };
        Some(Uncommitted { written, xid })
    } else if outcome.is_ok() {
        let work = async {
            if sqlx::query_scalar(HAS_STANDBYS).fetch_one(&mut *db).await? {
                Uncommitted::unchanged(db, state, position.get(), timeline).await.map(Some)
            } else {
                Ok(None)
            }
        };
        in_time(settings.options.answer_limit, work).await?
    } else {
        None
    };
    let decided = vec![Decided { outcome, events: changed.then_some(1) }];
    Ok(Prepared { decided, written, cacheable: None })
}

/// The first setting that makes commits not durable, if there is one.
macro_rules! setting_off {
    () => {
        "CASE 'off' WHEN current_setting('synchronous_commit') THEN 'synchronous_commit' \
         WHEN current_setting('fsync') THEN 'fsync' \
         WHEN current_setting('full_page_writes') THEN 'full_page_writes' END"
    };
}
pub(super) use setting_off;

/// Records the number of the transaction, so that the fence transaction can determine whether it was committed. `COMMIT` is sent after it, so that a
/// fence transaction waits for it.
macro_rules! writer {
    () => {
        "INSERT INTO throughline.writers AS w (writer, batch, fence_transaction_count, seen_at) \
        VALUES ($1, $2, $3, now()) ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, seen_at = excluded.seen_at"
    };
}

/// The same as a statement of its own.
const MARK: &str = concat!(
    "WITH w AS (",
    writer!(),
    ") SELECT pg_current_xact_id()::text AS xid, ",
    setting_off!(),
    " AS off"
);

/// The same for a statement that commits by itself. It writes nothing after a fence transaction that the writer does not know of, and
/// nothing after a later transaction.
pub(super) const UNFENCED_WRITER: &str = "INSERT INTO throughline.writers AS w (writer, batch, fence_transaction_count, seen_at) \
    VALUES ($1, $2, $3, now()) ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, seen_at = excluded.seen_at \
    WHERE w.fence_transaction_count = excluded.fence_transaction_count AND w.batch < excluded.batch";

/// Locks the row of the store, after all other writes, takes the positions and writes the change events.
macro_rules! changes_of {
    () => {
        "s AS (UPDATE throughline.store SET position = position + $1 WHERE id = 1 AND {written} \
         RETURNING position - $1 AS base, epoch, is_replica, capture, audit, audit_hash, metadata_version), \
         c AS (INSERT INTO throughline.changes (position, tenant, thread, at, kind) \
         SELECT s.base + k.n, k.tenant, k.thread, k.at, k.kind \
         FROM s, unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[]) AS k (n, tenant, thread, at, kind))"
    };
}
pub(super) use changes_of;

/// Runs while the row of the store is locked, after all other writes. Also checks that the server still makes
/// commits durable.
const FINISH: &str = concat!(
    changes_of!(),
    " SELECT s.*, pg_current_xact_id()::text AS xid, ",
    setting_off!(),
    " AS off FROM s"
);

/// The columns of the change events of a transaction.
pub(super) struct Events<'a> {
    pub(super) taken: u64,
    numbers: Vec<i64>,
    pub(super) tenants: Vec<&'a str>,
    pub(super) threads: Vec<&'a str>,
    times: Vec<i64>,
    pub(super) kinds: Vec<String>,
}

impl<'a> Events<'a> {
    pub(super) fn of(staged: &'a StagedRows) -> Self {
        let events = staged.events.items();
        let taken = events.len() as u64;
        let (mut numbers, mut tenants, mut threads, mut times, mut kinds) =
            (vec![], vec![], vec![], vec![], vec![]);
        for (n, event) in (1..).zip(events) {
            if let Some((thread, happened)) = &event.change {
                numbers.push(n);
                tenants.push(event.tenant.as_str());
                threads.push(thread.as_str());
                times.push(event.at.as_micros());
                kinds.push(serde_json::to_string(happened).expect("a change in memory serializes"));
            }
        }
        Self { taken, numbers, tenants, threads, times, kinds }
    }

    /// Binds the parameters of [`changes_of!`].
    pub(super) fn bind(self, writing: &mut Writing) {
        let Self { taken, numbers, tenants, threads, times, kinds } = self;
        writing.bind(number(taken)).bind(numbers).bind(tenants).bind(threads).bind(times).bind(kinds);
    }
}

/// Writes all rows and takes the positions. Returns `None` if the entries of the metadata index belong to another version of
/// the declared names: the transaction is then decided again.
async fn finish(
    settings: &Settings,
    db: &mut PgConnection,
    (staged, names): (&StagedRows, &MetadataNames),
    state: &WriterState,
) -> sqlx::Result<Option<(Uncommitted, Held)>> {
    let events = Events::of(staged);
    let taken = events.taken;
    let mut writing = writing(staged, names);
    writing
        .part(writer!())
        .bind(&*state.name)
        .bind(number(state.batch))
        .bind(number(state.fence_transaction_count.unwrap_or_default()));
    writing.end(FINISH);
    events.bind(&mut writing);
    let row = writing.fetch(db).await?;
    let broken = || damaged("the row of the store".to_owned());
    let row = row.ok_or_else(broken)?;
    if let Some(setting) = row.try_get("off")? {
        return Err(not_durable(setting));
    }
    if row.try_get::<i64, _>("metadata_version")? != names.version {
        return Ok(None);
    }
    let base = counter(row.try_get("base")?).ok_or_else(broken)?;
    let held = Held::read(&row)?;
    let written = Written { base, taken, timeline: None, is_heard: false };
    if written.is_trim_due() || state.is_trim_due {
        let up_to = (base + taken).saturating_sub(settings.options.kept_changes);
        if settings.options.row_security {
            // The changes belong to all tenants.
            sqlx::raw_sql(WIDEN).execute(&mut *db).await?;
            trim(db, up_to).await?;
            sqlx::raw_sql(NARROW).execute(&mut *db).await?;
        } else {
            trim(db, up_to).await?;
        }
    }
    Ok(Some((Uncommitted { written, xid: row.try_get("xid")? }, held)))
}

/// Deletes the changes up to a position.
async fn trim(db: &mut PgConnection, up_to: u64) -> sqlx::Result<()> {
    if up_to == 0 {
        return Ok(());
    }
    for sql in [
        "DELETE FROM throughline.changes WHERE position <= $1",
        "UPDATE throughline.store SET kept_after = greatest(kept_after, $1) WHERE id = 1",
    ] {
        sqlx::query(sql).bind(number(up_to)).execute(&mut *db).await?;
    }
    Ok(())
}

/// Records the number of the transaction in the row of its writer. Returns the id of the transaction.
async fn mark(db: &mut PgConnection, state: &WriterState) -> sqlx::Result<String> {
    let row = sqlx::query(MARK)
        .bind(&*state.name)
        .bind(number(state.batch))
        .bind(number(state.fence_transaction_count.unwrap_or_default()))
        .fetch_one(db)
        .await?;
    match row.try_get("off")? {
        Some(setting) => Err(not_durable(setting)),
        None => row.try_get("xid"),
    }
}

/// Commits. Only the transaction status proves the commit: a driver may take the end of an aborted transaction for
/// success. A commit with a warning is not a success either.
///
/// # Errors
/// Returns the reason why it is unknown whether the transaction was committed durably.
pub(super) async fn commit(
    settings: &Settings,
    db: &mut PgConnection,
    uncommitted: &Uncommitted,
) -> Result<(), Failure> {
    let sql = format!(
        concat!(
            "COMMIT; SELECT pg_xact_status('{}'::xid8) AS status, CASE WHEN ",
            is_heard!(),
            " THEN pg_notify('{}', '{}')::text END AS notified"
        ),
        uncommitted.xid,
        crate::commits::CHANNEL,
        uncommitted.written.last().get()
    );
    let work = async {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(db).await?;
        let status: Option<String> = match rows.last() {
            Some(row) => row.try_get("status")?,
            None => None,
        };
        if status.as_deref() == Some("committed") {
            Ok(())
        } else {
            Err(sqlx::Error::Protocol("it was aborted".into()))
        }
    };
    match listen(in_time(settings.options.answer_limit, work)).await {
        // The wait for a standby was cancelled. For every warning, the fence transaction determines the outcome.
        (Ok(()), true) => Err(Failure::not_replicated()),
        (answer, _) => answer,
    }
}

/// Rolls a failed transaction back.
pub(super) async fn roll_back(settings: &Settings, db: &mut PgConnection) -> Result<(), Failure> {
    let rolled_back = async { sqlx::raw_sql("ROLLBACK").execute(db).await.map(drop) };
    in_time(settings.options.answer_limit, rolled_back).await
}
