//! The mapping from SQLSTATE codes and driver errors to errors of a call.

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use throughline_core::{Effect, ErrorKind, PersistError};

use crate::pooler::Refusal;

/// The phase of a transaction in which it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before `COMMIT` was sent, or in a read.
    Before,
    /// `COMMIT` was sent: the outcome is unknown until a fence transaction has resolved it.
    Commit,
}

/// The scope of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The failure concerns one operation; the other operations of the transaction can run without it.
    Operation,
    /// Every operation of the transaction fails, and may succeed in another transaction.
    Transaction,
    /// The connection cannot be used any more, or its server does not accept writes.
    Connection,
}

/// A failure of the server or the driver, classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) reach: Reach,
    /// Whether an immediate retry may succeed.
    pub(crate) passes: bool,
    /// The SQLSTATE of the server, if it sent one.
    code: Option<String>,
    /// The object that is damaged, missing or wrong, if known.
    detail: Option<String>,
    /// Whether the server did not answer in time.
    is_timeout: bool,
}

/// The error for a row that cannot be decoded. It is a decoding error of sqlx, so that queries have one error type.
#[derive(Debug, thiserror::Error)]
#[error("{0} is damaged")]
struct Damaged(String);

pub(crate) fn damaged(object: String) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(Damaged(object)))
}

/// The setting `synchronous_commit` or `fsync` was turned off after the store was opened.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is off: an acknowledged write could be lost")]
struct NotDurable(String);

pub(crate) fn not_durable(setting: String) -> sqlx::Error {
    sqlx::Error::Configuration(Box::new(NotDurable(setting)))
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use ErrorKind::{Corrupt, Internal, Overloaded, Unavailable};
        let of =
            |kind, reach, passes| Self { kind, reach, passes, code: None, detail: None, is_timeout: false };
        match &error {
            sqlx::Error::Database(error) => {
                if let Some(refusal) = Refusal::of(&**error) {
                    let kind = match refusal {
                        Refusal::NoServer | Refusal::NoClient => Overloaded,
                        Refusal::Settings | Refusal::Transactions => Unavailable,
                    };
                    return Self {
                        detail: Some(refusal.advice().to_owned()),
                        ..of(kind, Reach::Connection, kind == Overloaded)
                    };
                }
                let code = error.code().unwrap_or_default();
                let (kind, reach, passes) = meaning(&code);
                Self { code: Some(code.into_owned()), ..of(kind, reach, passes) }
            }
            sqlx::Error::Configuration(source) if source.is::<NotDurable>() => {
                // Another session may have the right setting: the next transaction uses another connection.
                Self { detail: Some(source.to_string()), ..of(Unavailable, Reach::Connection, false) }
            }
            sqlx::Error::PoolTimedOut => of(Overloaded, Reach::Transaction, false),
            sqlx::Error::PoolClosed => of(Unavailable, Reach::Transaction, false),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => of(Unavailable, Reach::Connection, true),
            sqlx::Error::Decode(source) => Self {
                detail: source.downcast_ref::<Damaged>().map(ToString::to_string),
                ..of(Corrupt, Reach::Operation, false)
            },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
                of(Corrupt, Reach::Operation, false)
            }
            sqlx::Error::Encode(_) => of(Internal, Reach::Operation, false),
            _ => of(Internal, Reach::Connection, false),
        }
    }
}

impl Failure {
    /// The connection was lost, or its server is no longer the primary.
    pub(crate) const fn lost() -> Self {
        let (kind, reach) = (ErrorKind::Unavailable, Reach::Connection);
        Self { kind, reach, passes: true, code: None, detail: None, is_timeout: false }
    }

    /// The server did not answer in time. The connection is not used again.
    pub(crate) fn timed_out() -> Self {
        Self { is_timeout: true, ..Self::lost() }
    }

    /// No server accepts writes, and the reason.
    pub(crate) fn no_server(why: &str) -> Self {
        Self { detail: Some(why.to_owned()), ..Self::lost() }
    }

    /// The pooler assigned no server connection in time: all are in use, or the server does not answer the pooler.
    pub(crate) fn pool_exhausted() -> Self {
        Self {
            kind: ErrorKind::Overloaded,
            ..Self::no_server("the pooler gave no connection to a server in time")
        }
    }

    /// The server committed, and warned that the synchronous standby may not have the transaction.
    pub(crate) fn not_replicated() -> Self {
        Self::no_server("the wait for a standby was cancelled")
    }

    /// The same failure for a transaction that is known not to be committed, so that it may be retried.
    pub(crate) fn retryable(self) -> Self {
        Self { reach: Reach::Connection, passes: true, ..self }
    }

    /// Returns the failure of a call that was retried after `before`. A timeout does not hide the earlier reason
    /// why no server accepts writes.
    pub(crate) fn after(self, before: Option<Self>) -> Self {
        let nothing_came = matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Overloaded)
            && self.code.is_none()
            && !self.is_known_outage();
        before.filter(|before| nothing_came && before.is_known_outage()).unwrap_or(self)
    }

    /// Returns whether the reason of the outage is known: a standby, or a replaced primary, answered.
    pub(crate) const fn is_known_outage(&self) -> bool {
        self.is_outage() && self.detail.is_some()
    }

    /// Returns whether no primary could be reached.
    pub(crate) const fn is_outage(&self) -> bool {
        matches!((self.kind, self.reach), (ErrorKind::Unavailable, Reach::Connection))
    }

    /// Returns whether the server met data that it cannot read.
    pub(crate) fn is_damage(&self) -> bool {
        self.code.as_deref().is_some_and(|code| UNREADABLE.contains(&code))
    }

    /// Returns whether a query failed because the server met data that it cannot read.
    pub(crate) fn is_unreadable(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| UNREADABLE.contains(&&*code))
    }

    /// Returns whether a unique constraint was violated.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.code.as_deref() == Some(DUPLICATE)
    }

    /// Returns whether a division by zero failed: the condition of a statement that commits by itself.
    pub(crate) fn is_division_by_zero(&self) -> bool {
        self.code.as_deref() == Some(DIVISION_BY_ZERO)
    }

    /// Returns whether the error shows that a statement without an explicit transaction was not applied: the server raises errors with
    /// these codes while it executes a statement, and never after the commit.
    pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
        let sqlx::Error::Database(error) = error else { return false };
        let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else { return false };
        let code = error.code();
        error.severity() == PgSeverity::Error
            && code != COMPLETION_UNKNOWN
            && code.get(..2).is_some_and(|class| REFUSALS.contains(&class))
    }

    /// Returns the error of a call that failed in `phase`.
    pub(crate) fn to_persist(&self, phase: Phase) -> PersistError {
        let is_unknown = phase == Phase::Commit || self.code.as_deref() == Some(COMPLETION_UNKNOWN);
        let effect = if is_unknown { Effect::Unknown } else { Effect::NotApplied };
        // The message of a server may repeat values, so only its code is shown.
        let detail = match (&self.detail, &self.code) {
            (Some(detail), _) => detail.clone(),
            (None, Some(code)) => format!("the server answered SQLSTATE {code}"),
            (None, None) if self.kind == ErrorKind::Overloaded => {
                "no connection became free in time".to_owned()
            }
            (None, None) if self.is_timeout => "the server did not answer in time".to_owned(),
            (None, None) if self.reach == Reach::Connection => "the connection was lost".to_owned(),
            (None, None) => "the driver failed".to_owned(),
        };
        PersistError::new(self.kind, detail).with_effect(effect)
    }
}

const COMPLETION_UNKNOWN: &str = "40003";
const DIVISION_BY_ZERO: &str = "22012";
const DUPLICATE: &str = "23505";
/// The classes of errors about the values of a statement, its constraints, its locks, its rights and the resources that it needs.
const REFUSALS: [&str; 9] = ["21", "22", "23", "25", "40", "42", "53", "54", "55"];
/// The server cannot read a table or an index.
const UNREADABLE: [&str; 2] = ["XX001", "XX002"];

/// Maps a SQLSTATE to its error kind, its scope, and whether an immediate retry may succeed.
fn meaning(code: &str) -> (ErrorKind, Reach, bool) {
    use ErrorKind::{
        Busy, Corrupt, Denied, Internal, Overloaded, StorageFull, Timeout, TooLarge, Unavailable,
    };
    use Reach::{Connection, Operation, Transaction};
    match code {
        // Serialization failure or deadlock: a retry succeeds.
        "40001" | "40P01" => (Busy, Transaction, true),
        COMPLETION_UNKNOWN => (Unavailable, Connection, false),
        // Another session holds the lock, perhaps for one thread only.
        "55P03" | "55006" => (Busy, Operation, false),
        "53100" => (StorageFull, Transaction, false),
        // The lock table is full, perhaps because of one operation that takes thousands of locks.
        "53200" => (Overloaded, Operation, false),
        "53300" => (Overloaded, Connection, false),
        "57014" => (Timeout, Transaction, false),
        // A cached plan for a former shape of the table.
        "0A000" => (Internal, Connection, true),
        // A pooler that keeps no prepared statements: the next transaction finds that out.
        "26000" | "42P05" => (Unavailable, Connection, true),
        // A primary that became a standby, or an idle transaction that timed out.
        "25006" | "25P03" => (Unavailable, Connection, true),
        "25P02" => (Internal, Transaction, false),
        "42501" => (Denied, Transaction, false),
        "3D000" => (Unavailable, Connection, false),
        "XX001" | "XX002" => (Corrupt, Operation, false),
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "57" => (Unavailable, Connection, true),
            "22" | "23" => (Internal, Operation, false),
            "28" => (Denied, Connection, false),
            "40" => (Busy, Transaction, true),
            "53" => (Overloaded, Transaction, false),
            "54" => (TooLarge, Operation, false),
            "55" => (Unavailable, Transaction, false),
            "58" => (Unavailable, Connection, false),
            _ => (Internal, Transaction, false),
        },
    }
}

impl From<Failure> for PersistError {
    fn from(failure: Failure) -> Self {
        failure.to_persist(Phase::Before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_states_has_a_kind_and_a_reach() {
        use ErrorKind::{
            Busy, Corrupt, Denied, Internal, Overloaded, StorageFull, Timeout, TooLarge, Unavailable,
        };
        use Reach::{Connection, Operation, Transaction};
        for (code, kind, reach, passes) in [
            ("08006", Unavailable, Connection, true),
            ("08P01", Unavailable, Connection, true),
            ("0A000", Internal, Connection, true),
            ("22001", Internal, Operation, false),
            ("23505", Internal, Operation, false),
            ("25006", Unavailable, Connection, true),
            ("25P02", Internal, Transaction, false),
            ("25P03", Unavailable, Connection, true),
            ("26000", Unavailable, Connection, true),
            ("28P01", Denied, Connection, false),
            ("3D000", Unavailable, Connection, false),
            ("40001", Busy, Transaction, true),
            ("40003", Unavailable, Connection, false),
            ("40P01", Busy, Transaction, true),
            ("42501", Denied, Transaction, false),
            ("42P05", Unavailable, Connection, true),
            ("42P01", Internal, Transaction, false),
            ("53100", StorageFull, Transaction, false),
            ("53200", Overloaded, Operation, false),
            ("53300", Overloaded, Connection, false),
            ("54000", TooLarge, Operation, false),
            ("55P03", Busy, Operation, false),
            ("57014", Timeout, Transaction, false),
            ("57P01", Unavailable, Connection, true),
            ("57P02", Unavailable, Connection, true),
            ("57P03", Unavailable, Connection, true),
            ("58030", Unavailable, Connection, false),
            ("XX000", Internal, Transaction, false),
            ("XX001", Corrupt, Operation, false),
            ("", Internal, Transaction, false),
        ] {
            assert_eq!(meaning(code), (kind, reach, passes), "{code}");
        }
    }

    fn stated(code: &str) -> Failure {
        let (kind, reach, passes) = meaning(code);
        Failure { kind, reach, passes, code: Some(code.to_owned()), detail: None, is_timeout: false }
    }

    #[test]
    fn failure_before_commit_is_not_applied_and_failure_in_commit_is_unknown() {
        for code in ["08006", "23505", "40001", "53100", "57P01"] {
            assert_eq!(stated(code).to_persist(Phase::Before).effect(), Effect::NotApplied, "{code}");
            assert_eq!(stated(code).to_persist(Phase::Commit).effect(), Effect::Unknown, "{code}");
        }
        assert_eq!(stated("40003").to_persist(Phase::Before).effect(), Effect::Unknown);
    }

    #[test]
    fn damaged_row_is_named_and_lost_connection_is_unavailable() {
        let error = PersistError::from(Failure::from(damaged("the row".to_owned())));
        assert_eq!((error.kind(), error.detail()), (ErrorKind::Corrupt, "the row is damaged"));
        let cut = Failure::from(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert_eq!((cut.kind, cut.reach, cut.passes), (ErrorKind::Unavailable, Reach::Connection, true));
        assert_eq!(Failure::from(sqlx::Error::PoolTimedOut).kind, ErrorKind::Overloaded);
    }

    #[test]
    fn timeout_and_lost_connection_have_different_details() {
        let detail = |failure: Failure| PersistError::from(failure).detail().to_owned();
        assert_eq!(detail(Failure::timed_out()), "the server did not answer in time");
        assert_eq!(detail(Failure::lost()), "the connection was lost");
    }

    #[test]
    fn known_outage_is_reported_when_retries_time_out() {
        let standby = || Failure::no_server("a standby");
        let nothing = [
            Failure::lost(),
            Failure::timed_out(),
            Failure::pool_exhausted(),
            sqlx::Error::PoolTimedOut.into(),
        ];
        for later in nothing {
            assert_eq!(later.clone().after(Some(standby())), standby());
            assert_eq!(later.clone().after(Some(stated("40001"))), later);
            assert_eq!(later.clone().after(Some(Failure::pool_exhausted())), later);
            assert_eq!(later.clone().after(None), later);
        }
        // A later known reason replaces the earlier one.
        let damaged = Failure::from(damaged("the row".to_owned()));
        for later in [Failure::no_server("replaced"), stated("57P01"), stated("53300"), damaged] {
            assert_eq!(later.clone().after(Some(standby())), later);
        }
    }
}
