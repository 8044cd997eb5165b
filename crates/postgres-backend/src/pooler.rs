//! PgBouncer itself: its errors, and whether it keeps the prepared statements of its clients.
//!
//! Its errors all have the same SQLSTATE, so only the text distinguishes them.
//!
//! A pooler that keeps prepared statements gives them names of its own, and prepares a statement on each server connection that
//! executes it. A pooler that does not keep them passes the names of its clients on: two clients of a server connection would
//! use the same names for different statements. The names on the server show if one that faces the store does so.

use sqlx::{AssertSqlSafe, PgConnection, error::DatabaseError};

use crate::transaction::FORGET_NAMES;

/// Whether a statement with a name of the driver is prepared on the server connection.
macro_rules! names_are_passed_on {
    () => {
        "EXISTS (SELECT 1 FROM pg_prepared_statements WHERE starts_with(name, 'sqlx_s_'))"
    };
}
pub(crate) use names_are_passed_on;

/// Returns whether the pooler keeps the prepared statements of its clients: the name of this statement does not arrive at the server.
pub(crate) async fn keeps_statements(db: &mut PgConnection) -> sqlx::Result<bool> {
    // In a transaction: without it, a pooler may prepare the statement on one server connection and execute it on another.
    let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {FORGET_NAMES}");
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *db).await?;
    let asked = sqlx::query_scalar(concat!("SELECT ", names_are_passed_on!()));
    let passed_on: sqlx::Result<bool> = asked.fetch_one(&mut *db).await;
    sqlx::raw_sql("ROLLBACK").execute(db).await?;
    Ok(!passed_on?)
}

/// The problem of a pooler that passes names on, and what to change in the configuration.
pub(crate) const PASSES_NAMES_ON: &str = "the pooler keeps no prepared statements: `PostgresOptions::prepared_statements` needs \
    PgBouncer 1.22 or newer in transaction mode, with `max_prepared_statements` above 0";

/// A refusal of PgBouncer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not forward the settings of a session.
    Settings,
    /// It may use another connection for each statement.
    Transactions,
    /// All its server connections are in use.
    NoServer,
    /// It accepts no further clients.
    NoClient,
}

/// The SQLSTATE of all its own errors.
const CODE: &str = "08P01";

/// A part of each message, and its meaning. PgBouncer does not translate its messages.
const SAID: [(&str, Refusal); 4] = [
    ("unsupported startup parameter", Refusal::Settings),
    ("not allowed in statement pooling mode", Refusal::Transactions),
    ("query_wait_timeout", Refusal::NoServer),
    ("no more connections allowed", Refusal::NoClient),
];

impl Refusal {
    /// Returns the refusal, if the error is from the pooler.
    pub(crate) fn of(error: &dyn DatabaseError) -> Option<Self> {
        Self::said(&error.code()?, error.message())
    }

    fn said(code: &str, text: &str) -> Option<Self> {
        let is_said = |(part, _): &&(&str, Self)| code == CODE && text.contains(part);
        SAID.iter().find(is_said).map(|(_, refusal)| *refusal)
    }

    /// Returns the problem, and what to change in the configuration.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::Settings => {
                "the settings of a session do not arrive at the server: it is reached through a pooler, \
                 which has to be said with `PostgresOptions::pgbouncer`"
            }
            Self::Transactions => {
                "the pooler has `pool_mode = statement`, and `transaction` or `session` is needed"
            }
            Self::NoServer => "the pooler gave no connection to a server in time (`query_wait_timeout`)",
            Self::NoClient => "the pooler takes no further connections (`max_client_conn`)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_pooler_are_recognized_and_errors_of_the_server_are_not() {
        for (text, refusal) in [
            ("unsupported startup parameter: options", Refusal::Settings),
            ("unsupported startup parameter in options: default_transaction_isolation", Refusal::Settings),
            ("transaction blocks not allowed in statement pooling mode", Refusal::Transactions),
            ("query_wait_timeout", Refusal::NoServer),
            ("no more connections allowed (max_client_conn)", Refusal::NoClient),
        ] {
            assert_eq!(Refusal::said("08P01", text), Some(refusal), "{text}");
            assert_eq!(Refusal::said("42601", text), None, "{text}");
        }
        assert_eq!(Refusal::said("08P01", "server login has been failing"), None);
    }
}
