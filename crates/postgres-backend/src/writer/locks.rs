//! The advisory locks of a write.
//!
//! They are transaction-level advisory locks: a new thread has no row to lock, and an advisory lock writes nothing.
//! A transaction takes all its locks at once and in the order of their numbers, so that no two transactions
//! deadlock. Two names with the same number only wait for each other.

use std::{collections::BTreeMap, fmt::Write as _};

use sqlx::{Row as _, postgres::PgRow};
use throughline_core::{PersistArgs, operations::Addressed as _, sessions::SessionArgs};

use crate::queue::Write;

/// The column that counts the first lock that an attempt did not get.
const MISSING: &str = "missing_locks";

/// Lock numbers, each with whether the lock is exclusive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Locks(BTreeMap<i64, bool>);

/// The kind of a locked name.
#[derive(Debug, Clone, Copy)]
enum Of {
    Thread = 1,
    Consumer = 2,
    Agent = 3,
    Runtimes = 4,
}

impl Locks {
    pub(crate) fn of(write: &Write) -> Self {
        let mut locks = Self::default();
        let tenant = write.tenant.as_str();
        match &write.args {
            PersistArgs::Consumer(args) => {
                locks.take(Of::Consumer, tenant, args.consumer().as_str(), true);
            }
            args => {
                for item in args.each() {
                    if let Some(thread) = item.thread() {
                        locks.take(Of::Thread, tenant, thread.as_str(), true);
                    }
                    if let PersistArgs::Session(session) = item {
                        locks.take_for(tenant, session);
                    }
                }
            }
        }
        locks
    }

    /// The locks of threads, each with its tenant.
    pub(crate) fn of_threads<'a>(threads: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut locks = Self::default();
        threads.into_iter().for_each(|(tenant, thread)| locks.take(Of::Thread, tenant, thread, true));
        locks
    }

    /// An operation in one thread reads the counters of whole agents and runtimes (shared lock); an operation on
    /// them changes the counters (exclusive lock).
    fn take_for(&mut self, tenant: &str, session: &SessionArgs) {
        let is_whole = session.thread().is_none();
        match (session, session.agent()) {
            (SessionArgs::DropRuntime(_), _) => self.take(Of::Runtimes, tenant, "", true),
            (_, Some(agent)) => {
                self.take(Of::Agent, tenant, agent.as_str(), is_whole);
                self.take(Of::Runtimes, tenant, "", false);
            }
            (_, None) => {}
        }
    }

    fn take(&mut self, of: Of, tenant: &str, name: &str, alone: bool) {
        let mut hasher = blake3::Hasher::new();
        // The length separates the two names.
        hasher.update(&[of as u8]).update(&(tenant.len() as u64).to_le_bytes());
        hasher.update(tenant.as_bytes()).update(name.as_bytes());
        let mut number = [0; 8];
        hasher.finalize_xof().fill(&mut number);
        *self.0.entry(i64::from_le_bytes(number)).or_default() |= alone;
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        for (number, alone) in &other.0 {
            *self.0.entry(*number).or_default() |= alone;
        }
    }

    /// Returns whether two transactions cannot hold both sets at the same time.
    pub(crate) fn exclude(&self, other: &Self) -> bool {
        self.0.iter().any(|(number, alone)| other.0.get(number).is_some_and(|other| *alone || *other))
    }

    /// Returns the numbers, if every lock is exclusive.
    pub(crate) fn exclusive_numbers(&self) -> Option<Vec<i64>> {
        self.0.iter().map(|(number, alone)| alone.then_some(*number)).collect()
    }

    /// Returns the statement that takes all locks.
    pub(crate) fn statement(&self) -> String {
        format!(
            "SELECT count(CASE WHEN alone THEN pg_advisory_xact_lock(number)::text \
             ELSE pg_advisory_xact_lock_shared(number)::text END) FROM {}",
            self.rows()
        )
    }

    /// Returns the statement that takes the locks up to the first one that another transaction holds, and waits for none. So the
    /// locks are taken in their order also if [`statement`](Self::statement) takes the others after it.
    pub(crate) fn attempt(&self) -> String {
        format!(
            "SELECT count(*) AS {MISSING} FROM (SELECT 1 FROM {} WHERE NOT CASE WHEN alone THEN pg_try_advisory_xact_lock(number) \
             ELSE pg_try_advisory_xact_lock_shared(number) END LIMIT 1) AS first",
            self.rows()
        )
    }

    /// Returns whether the rows of a message have the row of an [`attempt`](Self::attempt) that did not take every lock.
    pub(crate) fn are_missing(rows: &[PgRow]) -> sqlx::Result<bool> {
        let attempt = rows.iter().find(|row| row.try_column(MISSING).is_ok());
        attempt.map_or(Ok(false), |row| Ok(row.try_get::<i64, _>(MISSING)? > 0))
    }

    fn rows(&self) -> String {
        let (mut numbers, mut alone) = (String::new(), String::new());
        for (number, is_alone) in &self.0 {
            let comma = if numbers.is_empty() { "" } else { "," };
            // Writing into a string does not fail.
            let _ = write!(numbers, "{comma}{number}");
            let _ = write!(alone, "{comma}{is_alone}");
        }
        format!("unnest('{{{numbers}}}'::bigint[], '{{{alone}}}'::boolean[]) AS locks (number, alone)")
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{
        NewMessage, Timestamp,
        messages::{Add, Batch, Delete},
        sessions::SessionArgs,
    };

    use super::*;

    fn of(args: impl Into<PersistArgs>) -> Locks {
        let tenant = "a".parse().unwrap();
        let now = Timestamp::from_micros(0);
        Locks::of(&Write {
            tenant,
            args: args.into(),
            idempotency: None,
            now,
            audit: crate::queue::Audit::Nothing,
        })
    }

    fn add(thread: &str) -> Add {
        Add::new(thread.parse().unwrap(), NewMessage::user("x"))
    }

    #[test]
    fn two_writes_to_a_thread_exclude_each_other_and_two_threads_do_not() {
        assert!(of(add("t")).exclude(&of(Delete::new("t".parse().unwrap(), "m".parse().unwrap()))));
        assert!(!of(add("t")).exclude(&of(add("u"))));
        assert!(of(Batch::new().with(add("u")).with(add("t"))).exclude(&of(add("t"))));
    }

    #[test]
    fn locks_are_taken_in_the_order_of_their_numbers() {
        let locks = of(Batch::new().with(add("u")).with(add("t")).with(add("u")));
        let same = of(Batch::new().with(add("t")).with(add("u")));
        assert_eq!(locks, same);
        assert_eq!(locks.0.len(), 2);
        assert!(locks.statement().contains("'{true,true}'"));
        assert!(locks.attempt().contains("'{true,true}'"));
    }

    #[test]
    fn operation_on_a_whole_agent_excludes_operations_in_its_threads() {
        let retire = |thread: &str| -> SessionArgs {
            let (agent, session) = ("agent".parse().unwrap(), "s".parse().unwrap());
            throughline_core::sessions::RetireSession { agent, thread: thread.parse().unwrap(), session }
                .into()
        };
        let (begin, elsewhere) = (retire("t"), retire("u"));
        let dropped: SessionArgs =
            throughline_core::sessions::DropAgent { agent: "agent".parse().unwrap() }.into();
        let runtime: SessionArgs =
            throughline_core::sessions::DropRuntime { runtime: "r".parse().unwrap() }.into();
        assert!(!of(begin.clone()).exclude(&of(elsewhere)));
        assert!(of(begin.clone()).exclude(&of(dropped)));
        assert!(of(begin).exclude(&of(runtime)));
    }
}
