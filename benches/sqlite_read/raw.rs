use std::{hint::black_box, path::Path};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use crate::{Failure, PAGE};

/// The number of readers of the store.
const CONNECTIONS: u32 = 4;

/// The last rows of a thread before a sequence number, by way of the segments of the order index.
const PAGE_BEFORE: &str =
    "SELECT m.message_id, m.seq, m.role, m.state, m.revision, m.created_at, m.updated_at, m.metadata, m.content
    FROM thread_segments s CROSS JOIN messages m ON m.segment = s.segment AND m.thread_pk = s.thread_pk
    WHERE s.thread_pk = ?1 AND m.seq < ?2 ORDER BY s.first_seq DESC, m.seq DESC LIMIT ?3";

/// Reads rows of the same file through a sqlx pool, without validation or parsing.
#[derive(Clone)]
pub(crate) struct Raw(SqlitePool);

/// A row, decoded as a host would decode it.
type Message = (String, i64, String, String, i64, i64, i64, String, String);

impl Raw {
    pub(crate) async fn open(path: &Path) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).create_if_missing(false);
        Ok(Self(SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?))
    }

    /// Reads a page, oldest first, and checks that it is full.
    pub(crate) async fn page(&self, before: i64) -> Result<(), Failure> {
        // The file contains one thread, so its key is 1.
        let query = sqlx::query_as::<_, Message>(PAGE_BEFORE).bind(1_i64).bind(before).bind(i64::from(PAGE));
        let mut page = query.fetch_all(&self.0).await?;
        page.reverse();
        if black_box(page).len() == PAGE as usize { Ok(()) } else { Err("a page is not full".into()) }
    }
}
