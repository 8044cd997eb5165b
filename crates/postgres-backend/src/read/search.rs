//! Searches of messages.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Row as _};
use throughline_core::{
    Effect, ErrorKind, Message, PersistError, Position, ThreadId,
    backend::{
        rules,
        search::{MAX_CANDIDATES, MAX_TEXT_BYTES, Query, Tokenizer},
    },
    search::{SearchHit, SearchHits, SearchMessages},
};

use super::{Answer, Scope, message::Stored, thread::thread_id};
use crate::{
    rows::{message_columns, number},
    search::{Asked, State, rank_factors},
};

/// Plans use only index scans, whatever the table statistics are.
pub(super) const BY_INDEX: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
    SET LOCAL jit = off; ";

/// The order of an answer after the rank.
macro_rules! latest {
    ($of:literal) => {
        concat!($of, ".created_at DESC, ", $of, ".seq DESC, ", $of, ".thread, ", $of, ".id, ", $of, ".part")
    };
}

/// The rank of a row of the index.
macro_rules! rank {
    ($of:literal) => {
        concat!("round((ts_rank(", rank_factors!(), ", ", $of, ".words, $3::tsquery) * $4)::float8)")
    };
}

/// The best matches of the index, out of at most `$7` candidates, and the number of candidates. The tenant prefix
/// in the terms selects the tenant; the primary key with the tenant would scan all rows of the tenant.
macro_rules! found {
    ($where:literal) => {
        concat!(
            "SELECT r.thread, r.id, r.looked FROM (SELECT f.*, count(*) OVER () AS looked FROM \
             (SELECT s.thread, s.id, s.part, s.seq, s.created_at, ",
            rank!("s"),
            " AS rank FROM throughline.search s WHERE ",
            $where,
            " AND s.words @@ $2::tsquery LIMIT $7) f) r ORDER BY r.rank DESC, ",
            latest!("r"),
            " LIMIT $5 OFFSET $6"
        )
    };
}

/// The same, out of the `$7` latest candidates, if there are more.
macro_rules! found_of_latest {
    ($where:literal) => {
        concat!(
            "SELECT s.thread, s.id, 0::bigint AS looked FROM \
             (SELECT s.thread, s.id, s.part, s.seq, s.created_at FROM throughline.search s WHERE ",
            $where,
            " AND s.words @@ $2::tsquery ORDER BY ",
            latest!("s"),
            " LIMIT $7) r JOIN throughline.search s \
             ON s.tenant = $1 AND s.thread = r.thread AND s.id = r.id AND s.part = r.part ORDER BY ",
            rank!("s"),
            " DESC, ",
            latest!("s"),
            " LIMIT $5 OFFSET $6"
        )
    };
}

pub(super) const FOUND: &str = found!("s.tenant IS NOT DISTINCT FROM $1");
pub(super) const FOUND_IN_THREAD: &str = found!("s.tenant = $1 AND s.thread = $8");
const FOUND_OF_LATEST: &str = found_of_latest!("s.tenant IS NOT DISTINCT FROM $1");
const FOUND_OF_LATEST_IN_THREAD: &str = found_of_latest!("s.tenant = $1 AND s.thread = $8");

/// The messages of the candidates, which are compared with the query again: the index may be behind. The statement
/// also requires the sequence number, so that the planner uses the primary key, whatever the table statistics are.
pub(super) const MESSAGES: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.content FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS k (thread, id, n) \
     JOIN throughline.messages m ON m.tenant = $1 AND m.thread = k.thread AND m.id = k.id \
     JOIN throughline.threads t ON t.tenant = $1 AND t.thread = k.thread \
     WHERE m.state = 'final' AND coalesce(m.seq, 0) > t.floor AND NOT t.deleted ORDER BY k.n"
);

/// Additional candidates: some may have been deleted or edited since.
const MORE: u64 = 16;

/// How many messages one query reads. The size of the answer is checked between two queries.
const AT_ONCE: usize = 16;

/// The settings of searches in a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Searching {
    pub(super) tokenizer: Tokenizer,
    /// When the server cancels the statement.
    pub(super) ends: Instant,
}

/// The session settings of a search: index scans only, and a statement timeout that all its statements share.
pub(super) struct SearchSettings {
    ends: Instant,
    /// The current statement timeout of the server.
    timeout: Option<Duration>,
}

impl SearchSettings {
    pub(super) const fn new(ends: Instant) -> Self {
        Self { ends, timeout: None }
    }

    /// Returns the settings for the next statement. Returns `None` while most of the current timeout is left.
    fn next(&mut self) -> Result<Option<String>, PersistError> {
        let left = self.ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let error = PersistError::new(ErrorKind::Timeout, "the search reached its time limit");
            return Err(error.with_effect(Effect::NotApplied));
        }
        if self.timeout.is_some_and(|timeout| left > timeout / 16 * 15) {
            return Ok(None);
        }
        let by_index = if self.timeout.replace(left).is_none() { BY_INDEX } else { "" };
        let millis = left.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
        Ok(Some(format!("{by_index}SET LOCAL statement_timeout = {millis}")))
    }
}

/// A query of the index and its progress.
pub(super) struct Looking<'a> {
    asked: Asked,
    thread: Option<&'a ThreadId>,
    /// The most messages that are ranked.
    candidates: u64,
    /// Whether there are more candidates, so that only the latest are ranked.
    pub(super) is_cut: bool,
    looked: u64,
}

impl<'a> Looking<'a> {
    pub(super) const fn new(asked: Asked, thread: Option<&'a ThreadId>, candidates: u64) -> Self {
        Self { asked, thread, candidates, is_cut: false, looked: 0 }
    }
}

/// A candidate: the thread and the id of a message.
pub(super) type Candidate = (String, String);

impl Scope<'_> {
    /// Searches messages.
    pub(super) async fn search(&mut self, searching: Searching, read: &SearchMessages) -> Answer<SearchHits> {
        rules::check_limit(read.limit)?;
        let state = State::read(self.db).await?;
        // Until the index is rebuilt with the tokenizer of this store, the query uses the tokenizer of the index.
        let query = Query::parse(&read.query, state.term_maker.tokenizer)?;
        let indexed = Position::new(state.found_up_to(searching.tokenizer));
        let mut found =
            SearchHits { hits: Vec::new(), damaged: Vec::new(), indexed, terminated_early: false };
        if let Some(thread) = &read.thread
            && self.living(thread).await?.is_none()
        {
            return Ok(found);
        }
        let mut settings = SearchSettings::new(searching.ends);
        let asked = Asked::of(&state.term_maker.prefix(self.tenant.as_str()), &query);
        let mut looking = Looking::new(asked, read.thread.as_ref(), MAX_CANDIDATES as u64);
        let limit = read.limit as usize;
        let (mut more, mut bytes) = (u64::from(read.limit) + MORE, 0);
        // A message with several parts in the index may match in each of them.
        let mut known: HashSet<Candidate> = HashSet::new();
        loop {
            let candidates = self.candidates(&mut settings, &mut looking, more).await?;
            found.terminated_early = looking.is_cut;
            let is_last = number(more) > i64::try_from(candidates.len()).unwrap_or(i64::MAX);
            let mut left: VecDeque<Candidate> =
                candidates.into_iter().filter(|candidate| known.insert(candidate.clone())).collect();
            while !left.is_empty() && found.hits.len() < limit {
                if bytes >= MAX_TEXT_BYTES {
                    found.terminated_early = true;
                    return Ok(found);
                }
                let due = left.drain(..left.len().min(limit - found.hits.len()).min(AT_ONCE)).collect();
                self.set(&mut settings).await?;
                bytes += self.hold_against(due, &query, &mut found).await?;
            }
            if is_last || found.hits.len() == limit {
                return Ok(found);
            }
            more = more.saturating_mul(2);
        }
    }

    async fn set(&mut self, settings: &mut SearchSettings) -> Answer<()> {
        if let Some(settings) = settings.next()? {
            sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut *self.db).await?;
        }
        Ok(())
    }

    /// Returns the next candidates of the index, after the ones already examined.
    pub(super) async fn candidates(
        &mut self,
        settings: &mut SearchSettings,
        looking: &mut Looking<'_>,
        limit: u64,
    ) -> Answer<Vec<Candidate>> {
        loop {
            self.set(settings).await?;
            let (statement, candidates) = match (looking.is_cut, looking.thread) {
                (false, None) => (FOUND, looking.candidates + 1),
                (false, Some(_)) => (FOUND_IN_THREAD, looking.candidates + 1),
                (true, None) => (FOUND_OF_LATEST, looking.candidates),
                (true, Some(_)) => (FOUND_OF_LATEST_IN_THREAD, looking.candidates),
            };
            let bound = sqlx::query(statement)
                .bind(self.tenant.as_str())
                .bind(&looking.asked.matches)
                .bind(&looking.asked.counts)
                .bind(looking.asked.scale)
                .bind(number(limit))
                .bind(number(looking.looked))
                .bind(number(candidates));
            let bound = match looking.thread {
                Some(thread) => bound.bind(thread.as_str()),
                None => bound,
            };
            let rows = bound.fetch_all(&mut *self.db).await?;
            let looked: i64 = rows.first().map_or(Ok(0), |row| row.try_get("looked"))?;
            if looked > number(looking.candidates) {
                looking.is_cut = true;
                continue;
            }
            looking.looked += rows.len() as u64;
            let candidates = rows.iter().map(|row| Ok((row.try_get("thread")?, row.try_get("id")?)));
            return Ok(candidates.collect::<sqlx::Result<_>>()?);
        }
    }

    /// Reads messages and compares them with the query. Returns their bytes.
    async fn hold_against(
        &mut self,
        candidates: Vec<Candidate>,
        query: &Query,
        found: &mut SearchHits,
    ) -> Answer<u64> {
        let (threads, ids): (Vec<String>, Vec<String>) = candidates.into_iter().unzip();
        let rows = sqlx::query(MESSAGES)
            .bind(self.tenant.as_str())
            .bind(threads)
            .bind(ids)
            .fetch_all(&mut *self.db)
            .await?;
        let mut bytes = 0_u64;
        for row in &rows {
            bytes = bytes.saturating_add(row.try_get::<i64, _>("content_bytes")?.unsigned_abs());
            match Stored::read(row)?.whole(self.tenant, None) {
                Ok(message) => found.hits.extend(hit(message, query)),
                // A damaged message does not hide the others.
                Err(_) => found.damaged.push(thread_id(row.try_get("thread")?)?),
            }
        }
        Ok(bytes)
    }
}

/// Returns `None` for a message that was edited and no longer matches.
fn hit(message: Message, query: &Query) -> Option<SearchHit> {
    let text = message.content.plain_text(usize::MAX);
    if !query.matches(&text) {
        return None;
    }
    let (snippet, marks) = query.snippet(&text);
    Some(SearchHit {
        thread: message.thread,
        id: message.id,
        seq: message.seq,
        role: message.role,
        created_at: message.created_at,
        snippet,
        marks,
    })
}
