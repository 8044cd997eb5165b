//! The errors of PgBouncer itself. They all have the same SQLSTATE, so only the text distinguishes them.

use sqlx::error::DatabaseError;

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
