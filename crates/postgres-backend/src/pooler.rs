//! What PgBouncer says in its own name: always with the same code, so that only its words tell one from another.

use sqlx::error::DatabaseError;

/// What it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It knows no settings of a session.
    Settings,
    /// It gives another connection for each statement.
    Transactions,
    /// All its connections to the server are at work.
    NoServer,
    /// It takes no further clients.
    NoClient,
}

/// The code of everything that it says by itself.
const CODE: &str = "08P01";

/// A part of what it says, and what that means. It speaks one language.
const SAID: [(&str, Refusal); 4] = [
    ("unsupported startup parameter", Refusal::Settings),
    ("not allowed in statement pooling mode", Refusal::Transactions),
    ("query_wait_timeout", Refusal::NoServer),
    ("no more connections allowed", Refusal::NoClient),
];

impl Refusal {
    /// Whether it was the pooler that has answered so, and what.
    pub(crate) fn of(error: &dyn DatabaseError) -> Option<Self> {
        Self::said(&error.code()?, error.message())
    }

    fn said(code: &str, text: &str) -> Option<Self> {
        let is_said = |(part, _): &&(&str, Self)| code == CODE && text.contains(part);
        SAID.iter().find(is_said).map(|(_, refusal)| *refusal)
    }

    /// What is to be changed, for whoever has set it so.
    pub(crate) const fn what(self) -> &'static str {
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
    fn what_the_pooler_says_is_told_from_what_a_server_says() {
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
