//! What Postgres' codes mean for a call: the one table.

use throughline_core::{Effect, ErrorKind, PersistError};

use crate::pooler::Refusal;

/// Where in a transaction it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before `COMMIT` was sent, or in a read.
    Before,
    /// `COMMIT` was sent: what became of the transaction is not known before the fence has found it out.
    Commit,
}

/// How far a failure reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It failed for what one operation brought or met: the others of its transaction can be run without it.
    Operation,
    /// Every operation of the transaction fails alike, and may succeed in another one.
    Transaction,
    /// The connection is of no use any more, or is_primary to a server that takes no writes.
    Connection,
}

/// What a failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) reach: Reach,
    /// Whether it is worth to begin again at once, while there is time.
    pub(crate) passes: bool,
    /// The code of the server, where it has said one.
    code: Option<String>,
    /// What is damaged, missing or not as it has to be, where that is known.
    what: Option<String>,
    /// Whether nothing was answered in time.
    is_timeout: bool,
}

/// What cannot be read is damaged: told as an error of decoding, so that the look-ups have one kind of error.
#[derive(Debug, thiserror::Error)]
#[error("{0} is damaged")]
struct Damaged(String);

pub(crate) fn damaged(what: String) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(Damaged(what)))
}

/// Somebody has told the server to answer before it keeps, since the store was opened.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is off: what was answered could be lost")]
struct NotDurable(String);

pub(crate) fn not_durable(setting: String) -> sqlx::Error {
    sqlx::Error::Configuration(Box::new(NotDurable(setting)))
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use ErrorKind::{Corrupt, Internal, Overloaded, Unavailable};
        let of =
            |kind, reach, passes| Self { kind, reach, passes, code: None, what: None, is_timeout: false };
        match &error {
            sqlx::Error::Database(error) => {
                if let Some(refusal) = Refusal::of(&**error) {
                    let kind = match refusal {
                        Refusal::NoServer | Refusal::NoClient => Overloaded,
                        Refusal::Settings | Refusal::Transactions => Unavailable,
                    };
                    return Self {
                        what: Some(refusal.what().to_owned()),
                        ..of(kind, Reach::Connection, kind == Overloaded)
                    };
                }
                let code = error.code().unwrap_or_default();
                let (kind, reach, passes) = meaning(&code);
                Self { code: Some(code.into_owned()), ..of(kind, reach, passes) }
            }
            sqlx::Error::Configuration(source) if source.is::<NotDurable>() => {
                // A session may have the setting that another one has not: the next transaction has another.
                Self { what: Some(source.to_string()), ..of(Unavailable, Reach::Connection, false) }
            }
            sqlx::Error::PoolTimedOut => of(Overloaded, Reach::Transaction, false),
            sqlx::Error::PoolClosed => of(Unavailable, Reach::Transaction, false),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => of(Unavailable, Reach::Connection, true),
            sqlx::Error::Decode(source) => Self {
                what: source.downcast_ref::<Damaged>().map(ToString::to_string),
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
    /// The connection was lost, or leads to a server that is no longer the primary.
    pub(crate) const fn lost() -> Self {
        let (kind, reach) = (ErrorKind::Unavailable, Reach::Connection);
        Self { kind, reach, passes: true, code: None, what: None, is_timeout: false }
    }

    /// An answer that took too long. The connection is not used again.
    pub(crate) fn timed_out() -> Self {
        Self { is_timeout: true, ..Self::lost() }
    }

    /// No server that takes writes, and why.
    pub(crate) fn no_server(why: &str) -> Self {
        Self { what: Some(why.to_owned()), ..Self::lost() }
    }

    /// A pooler that gives no connection to a server in time: all are at work, or the server does not answer it.
    pub(crate) fn no_place() -> Self {
        Self {
            kind: ErrorKind::Overloaded,
            ..Self::no_server("the pooler gave no connection to a server in time")
        }
    }

    /// The server has committed, and says with a warning that a standby may not have.
    pub(crate) fn not_replicated() -> Self {
        Self::no_server("the wait for a standby was cancelled")
    }

    /// The same, of a transaction that is known not to have been committed: it may be retried.
    pub(crate) fn retryable(self) -> Self {
        Self { reach: Reach::Connection, passes: true, ..self }
    }

    /// What a call says that was tried again after `before`: that nothing came in time is no news where it is known why no server
    /// takes it.
    pub(crate) fn after(self, before: Option<Self>) -> Self {
        let nothing_came = matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Overloaded)
            && self.code.is_none()
            && !self.is_known_outage();
        before.filter(|before| nothing_came && before.is_known_outage()).unwrap_or(self)
    }

    /// Why no server takes it: a standby, or one that was replaced, has answered.
    pub(crate) const fn is_known_outage(&self) -> bool {
        self.is_outage() && self.what.is_some()
    }

    /// A server that does not take writes is one that is not there.
    pub(crate) const fn is_outage(&self) -> bool {
        matches!((self.kind, self.reach), (ErrorKind::Unavailable, Reach::Connection))
    }

    /// Whether a row was to be made under a key that is taken.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.code.as_deref() == Some(DUPLICATE)
    }

    /// The error of a call that was in `phase`.
    pub(crate) fn to_persist(&self, phase: Phase) -> PersistError {
        let is_unknown = phase == Phase::Commit || self.code.as_deref() == Some(COMPLETION_UNKNOWN);
        let effect = if is_unknown { Effect::Unknown } else { Effect::NotApplied };
        // A server may repeat values in its messages; its code says enough.
        let detail = match (&self.what, &self.code) {
            (Some(what), _) => what.clone(),
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
const DUPLICATE: &str = "23505";

/// What a SQLSTATE is to a caller, how far it reaches, and whether it is worth to begin again at once.
fn meaning(code: &str) -> (ErrorKind, Reach, bool) {
    use ErrorKind::{
        Busy, Corrupt, Denied, Internal, Overloaded, StorageFull, Timeout, TooLarge, Unavailable,
    };
    use Reach::{Connection, Operation, Transaction};
    match code {
        // Serialization, deadlock: begun again, they pass.
        "40001" | "40P01" => (Busy, Transaction, true),
        COMPLETION_UNKNOWN => (Unavailable, Connection, false),
        // A lock that somebody else holds: perhaps of one thread alone.
        "55P03" | "55006" => (Busy, Operation, false),
        "53100" => (StorageFull, Transaction, false),
        // No room for another lock: perhaps of the one that asks for thousands, and not of those beside it.
        "53200" => (Overloaded, Operation, false),
        "53300" => (Overloaded, Connection, false),
        "57014" => (Timeout, Transaction, false),
        // A plan that was made for another shape of a table.
        "0A000" => (Internal, Connection, true),
        // A primary that has become a standby, a transaction that waited too long.
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
            ("28P01", Denied, Connection, false),
            ("3D000", Unavailable, Connection, false),
            ("40001", Busy, Transaction, true),
            ("40003", Unavailable, Connection, false),
            ("40P01", Busy, Transaction, true),
            ("42501", Denied, Transaction, false),
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
        Failure { kind, reach, passes, code: Some(code.to_owned()), what: None, is_timeout: false }
    }

    #[test]
    fn before_the_commit_nothing_was_applied_and_from_then_on_nobody_knows() {
        for code in ["08006", "23505", "40001", "53100", "57P01"] {
            assert_eq!(stated(code).to_persist(Phase::Before).effect(), Effect::NotApplied, "{code}");
            assert_eq!(stated(code).to_persist(Phase::Commit).effect(), Effect::Unknown, "{code}");
        }
        assert_eq!(stated("40003").to_persist(Phase::Before).effect(), Effect::Unknown);
    }

    #[test]
    fn what_is_damaged_is_named_and_a_lost_connection_is_no_damage() {
        let error = PersistError::from(Failure::from(damaged("the row".to_owned())));
        assert_eq!((error.kind(), error.detail()), (ErrorKind::Corrupt, "the row is damaged"));
        let cut = Failure::from(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert_eq!((cut.kind, cut.reach, cut.passes), (ErrorKind::Unavailable, Reach::Connection, true));
        assert_eq!(Failure::from(sqlx::Error::PoolTimedOut).kind, ErrorKind::Overloaded);
    }

    #[test]
    fn a_timeout_is_told_from_a_lost_connection() {
        let detail = |failure: Failure| PersistError::from(failure).detail().to_owned();
        assert_eq!(detail(Failure::timed_out()), "the server did not answer in time");
        assert_eq!(detail(Failure::lost()), "the connection was lost");
    }

    #[test]
    fn why_no_server_takes_it_is_not_forgotten_where_nothing_else_comes_in_time() {
        let standby = || Failure::no_server("a standby");
        let nothing =
            [Failure::lost(), Failure::timed_out(), Failure::no_place(), sqlx::Error::PoolTimedOut.into()];
        for later in nothing {
            assert_eq!(later.clone().after(Some(standby())), standby());
            assert_eq!(later.clone().after(Some(stated("40001"))), later);
            assert_eq!(later.clone().after(Some(Failure::no_place())), later);
            assert_eq!(later.clone().after(None), later);
        }
        // A later reason that is known counts.
        let damaged = Failure::from(damaged("the row".to_owned()));
        for later in [Failure::no_server("replaced"), stated("57P01"), stated("53300"), damaged] {
            assert_eq!(later.clone().after(Some(standby())), later);
        }
    }
}
