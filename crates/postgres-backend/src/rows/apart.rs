//! Rows with values that the server cannot read: loaded one by one, so that each damaged row is known.

use sqlx::{PgConnection, Postgres, postgres::PgArguments, postgres::PgRow, query::Query};
use throughline_engine::rows::{DamagedRow, MessageKey};

use super::message::decode_damaged;
use crate::error::Failure;

/// How messages are loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Loading {
    /// With one statement for all of them.
    #[default]
    Together,
    /// With one statement and one savepoint for each. The server fails a statement that meets a value that it cannot
    /// read, such as a long value with lost parts. Only this shows which message is damaged.
    OneByOne,
}

impl Loading {
    /// Divides keys into those of each statement.
    pub(super) fn groups<K>(self, keys: Vec<K>) -> Vec<Vec<K>> {
        match self {
            Self::Together => vec![keys],
            Self::OneByOne => keys.into_iter().map(|key| vec![key]).collect(),
        }
    }

    /// Runs a query. `None` if it is for one message, and the server cannot read a value of it.
    pub(super) async fn fetch(
        self,
        db: &mut PgConnection,
        query: Query<'_, Postgres, PgArguments>,
    ) -> sqlx::Result<Option<Vec<PgRow>>> {
        if self == Self::Together {
            return query.fetch_all(db).await.map(Some);
        }
        sqlx::raw_sql("SAVEPOINT one_row").execute(&mut *db).await?;
        let found = match query.fetch_all(&mut *db).await {
            Ok(rows) => Some(rows),
            Err(error) if Failure::is_unreadable(&error) => {
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT one_row").execute(&mut *db).await?;
                None
            }
            Err(error) => return Err(error),
        };
        sqlx::raw_sql("RELEASE SAVEPOINT one_row").execute(&mut *db).await?;
        Ok(found)
    }
}

/// Reads the columns of a message that are never stored apart from its row.
pub(super) async fn short_columns(db: &mut PgConnection, key: &MessageKey) -> sqlx::Result<DamagedRow> {
    let row = sqlx::query(
        "SELECT seq, revision, tail, state FROM throughline.messages WHERE tenant = $1 AND thread = $2 AND id = $3",
    )
    .bind(key.thread.tenant.as_str())
    .bind(key.thread.thread.as_str())
    .bind(key.id.as_str())
    .fetch_one(db)
    .await?;
    decode_damaged(&row)
}
