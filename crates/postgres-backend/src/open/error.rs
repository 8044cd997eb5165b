use throughline_core::{BoxError, Effect, ErrorKind, IndexedMetadata, PersistError};

use crate::pooler::Refusal;

/// The reason why a store was not opened. The database is unchanged then.
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
    /// The URL is not a Postgres URL. The error does not repeat it, since it may hold a password.
    #[error("the URL is none of a Postgres database")]
    Url,
    /// The URL of [`PostgresOptions::listen_at`](crate::PostgresOptions::listen_at) is not a Postgres URL. The error does not repeat it either.
    #[error("the URL of `listen_at` is none of a Postgres database")]
    ListenUrl,
    /// The server could not be reached, or refused the connection.
    #[error("the database could not be reached, or refused{}", code.as_deref().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default())]
    Unreachable {
        /// The SQLSTATE of the server, if it sent one.
        code: Option<String>,
        /// The error of the driver.
        source: BoxError,
    },
    /// Every server that answered is a standby.
    #[error("no server accepts writes: each server that answered is a standby")]
    NoPrimary,
    /// Log events were disabled at compile time (a feature `max_level_…` or `release_max_level_…` of `tracing`).
    /// The driver reports warnings of a server only as log events, so the store would not see that a standby may
    /// lack a commit.
    #[error(
        "the store cannot receive warnings of the server: a `max_level` feature of `tracing` disabled log events; remove it"
    )]
    LogsDisabled,
    /// A pooler between the store and the server lacks a required feature or setting.
    #[error("{reason}")]
    Pooler {
        /// The missing feature or setting, and what to change.
        reason: &'static str,
    },
    /// Row-level security is not as the options require.
    #[error("{reason}")]
    RowSecurity {
        /// The difference, and what to change.
        reason: &'static str,
    },
    /// The hosts of the store declare more metadata fields than it can index.
    #[error(
        "the store cannot index the metadata fields {declared}: hosts have already declared {stored}, and together they are \
         more than {}; drop one with `drop_indexed_metadata`",
        IndexedMetadata::MAX_NAMES
    )]
    IndexedMetadata {
        /// The fields that this host declares.
        declared: IndexedMetadata,
        /// The fields that hosts have declared before.
        stored: IndexedMetadata,
    },
    /// The server is older than the store requires.
    #[error("the server is PostgreSQL {found}, and 15 or newer is needed")]
    TooOld {
        /// The version of the server.
        found: String,
    },
    /// The database has another encoding than UTF8.
    #[error("the database keeps text as {encoding}, and UTF8 is needed")]
    Encoding {
        /// The encoding of the database.
        encoding: String,
    },
    /// The server would acknowledge commits before they are durable.
    #[error("`{setting}` is `{value}`: what was answered could be lost")]
    NotDurable {
        /// The setting of the server.
        setting: String,
        /// The value of the setting.
        value: String,
    },
    /// The database has no schema `throughline`, and a [reader](crate::PostgresReader) creates none.
    #[error(
        "there is no store in the database: it has no schema `throughline`; open the store once to write"
    )]
    Missing,
    /// The schema is of an older version, and a [reader](crate::PostgresReader) does not migrate it.
    #[error("the schema lacks the migration {id}: open the store once to write, which applies it")]
    Older {
        /// The first missing migration.
        id: i32,
    },
    /// A newer version has changed the schema.
    #[error("the schema has the migration {id}, which this version does not know")]
    Newer {
        /// The first unknown migration.
        id: i32,
    },
    /// The checksum of a migration differs from the one that this version knows.
    #[error("the migration {id} of the schema is another one than this version knows")]
    Changed {
        /// The id of the migration.
        id: i32,
    },
    /// The threads of the store could not be started.
    #[error("the threads of the store could not be started")]
    Threads(#[source] std::io::Error),
    /// The schema `throughline` exists but does not belong to a store.
    #[error("there is a schema `throughline` without a list of its migrations")]
    Foreign,
}

impl OpenError {
    /// Returns the error kind for the pipeline.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Url | Self::ListenUrl | Self::Foreign => ErrorKind::Invalid,
            Self::Missing => ErrorKind::NotFound,
            Self::Unreachable { .. } | Self::NoPrimary | Self::Threads(_) => ErrorKind::Unavailable,
            Self::LogsDisabled
            | Self::Pooler { .. }
            | Self::RowSecurity { .. }
            | Self::IndexedMetadata { .. }
            | Self::TooOld { .. }
            | Self::Encoding { .. }
            | Self::NotDurable { .. }
            | Self::Older { .. }
            | Self::Newer { .. }
            | Self::Changed { .. } => ErrorKind::Unsupported,
        }
    }
}

/// For a function that opens a store and builds a pipeline over it.
impl From<OpenError> for PersistError {
    fn from(error: OpenError) -> Self {
        Self::new(error.kind(), error.to_string()).with_effect(Effect::NotApplied).with_source(error)
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        if let Some(refusal) = error.as_database_error().and_then(Refusal::of) {
            return Self::Pooler { reason: refusal.advice() };
        }
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .map(std::borrow::Cow::into_owned);
        Self::Unreachable { code, source: Box::new(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_open_is_an_error_of_the_pipeline_that_applied_nothing() {
        let error = PersistError::from(OpenError::Newer { id: 7 });
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotApplied));
        assert!(error.to_string().contains("the schema has the migration 7"), "{error}");
        assert_eq!(PersistError::from(OpenError::NoPrimary).kind(), ErrorKind::Unavailable);
    }
}
