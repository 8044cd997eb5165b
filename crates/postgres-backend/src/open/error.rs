use throughline_core::BoxError;

use crate::pooler::Refusal;

/// Why a store was not opened. Nothing was changed then.
///
/// ```no_run
/// use throughline_postgres::{OpenError, PostgresBackend};
///
/// # async fn example() {
/// match PostgresBackend::open("postgres://localhost/app").await {
///     Ok(_) => {}
///     Err(OpenError::Newer { .. }) => eprintln!("another host runs a newer version"),
///     Err(error) => eprintln!("{error}"),
/// }
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is none of a Postgres database. It is not repeated: it may hold a password.
    #[error("the URL is none of a Postgres database")]
    Url,
    /// The server could not be reached, or refused.
    #[error("the database could not be reached, or refused{}", code.as_deref().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default())]
    Unreachable {
        /// What the server has said, as a SQLSTATE.
        code: Option<String>,
        /// What the driver has said.
        source: BoxError,
    },
    /// Every server that answered is a standby.
    #[error("no server takes writes: what answered is a standby")]
    NoPrimary,
    /// Logging was left out when the host was compiled (a feature `max_level_…` or `release_max_level_…` of `tracing`): what a server
    /// warns of is told there and nowhere else, and a commit that no standby has could pass for one that is safe.
    #[error("warnings of the server cannot be heard: `tracing` was compiled without them")]
    Unheard,
    /// The server is reached through a pooler, which does not do what it has to.
    #[error("{what}")]
    Pooler {
        /// What it does not do, and what is to be set.
        what: &'static str,
    },
    /// Row security is not as it was asked for.
    #[error("{what}")]
    RowSecurity {
        /// In what way, and what is to be done.
        what: &'static str,
    },
    /// The server is older than what the store needs.
    #[error("the server is PostgreSQL {found}, and 15 or newer is needed")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The database keeps text in another encoding than UTF8.
    #[error("the database keeps text as {encoding}, and UTF8 is needed")]
    Encoding {
        /// Which one.
        encoding: String,
    },
    /// Commits would be answered before they are durable.
    #[error("`{setting}` is `{value}`: what was answered could be lost")]
    NotDurable {
        /// The setting of the server.
        setting: String,
        /// What it is.
        value: String,
    },
    /// A newer version has changed the schema.
    #[error("the schema has the migration {id}, which this version does not know")]
    Newer {
        /// The first that is not known.
        id: i32,
    },
    /// A migration is not the one that this version knows.
    #[error("the migration {id} of the schema is another one than this version knows")]
    Changed {
        /// Which one.
        id: i32,
    },
    /// The threads of the store could not be started.
    #[error("the threads of the store could not be started")]
    Threads(#[source] std::io::Error),
    /// There is a schema `throughline` that is none of a store.
    #[error("there is a schema `throughline` without a list of its migrations")]
    Foreign,
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        if let Some(refusal) = error.as_database_error().and_then(Refusal::of) {
            return Self::Pooler { what: refusal.what() };
        }
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .map(std::borrow::Cow::into_owned);
        Self::Unreachable { code, source: Box::new(error) }
    }
}
