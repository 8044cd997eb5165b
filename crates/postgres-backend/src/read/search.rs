//! Messages with certain words.

use std::collections::{HashSet, VecDeque};

use sqlx::Row as _;
use throughline_core::{
    Message, Position, SearchHit, SearchHits, SearchMessages, ThreadId,
    backend::{rules, search::Query},
};

use super::{Answer, Scope, message::Stored, thread::thread_id};
use crate::{
    rows::{message_columns, number},
    search::{Asked, State, weights},
};

/// Everything has its index, whatever was counted of the tables last.
pub(super) const BY_INDEX: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
    SET LOCAL jit = off";

/// What the index finds, the best first. Whose it is stands in the words; the key of the tenant would find everything that is theirs.
macro_rules! found {
    ($where:literal) => {
        concat!(
            "SELECT s.thread, s.id FROM throughline.search s WHERE ",
            $where,
            " AND s.words @@ $2::tsquery ORDER BY round((ts_rank(",
            weights!(),
            ", s.words, $3::tsquery) * $4)::float8) DESC, s.created_at DESC, s.seq DESC, s.thread, s.id, s.part LIMIT $5 OFFSET $6"
        )
    };
}

pub(super) const FOUND: &str = found!("s.tenant IS NOT DISTINCT FROM $1");
pub(super) const FOUND_IN_THREAD: &str = found!("s.tenant = $1 AND s.thread = $7");

/// The messages, held against what was found: the index may be behind. The place of a message is asked for so that it is looked up by
/// its key and nothing else, whatever was counted of the table last.
pub(super) const MESSAGES: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.content FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS k (thread, id, n) \
     JOIN throughline.messages m ON m.tenant = $1 AND m.thread = k.thread AND m.id = k.id \
     JOIN throughline.threads t ON t.tenant = $1 AND t.thread = k.thread \
     WHERE m.state = 'final' AND coalesce(m.seq, 0) > t.floor AND NOT t.deleted ORDER BY k.n"
);

/// Some of what the index finds may be gone by now.
const MORE: u64 = 16;

/// A message that may be one: its thread and its id.
type Candidate = (String, String);

impl Scope<'_> {
    /// Looks for messages.
    pub(super) async fn search(&mut self, read: &SearchMessages) -> Answer<SearchHits> {
        rules::check_limit(read.limit)?;
        let query = Query::parse(&read.query)?;
        let indexed = Position::new(State::read(self.db).await?.found_up_to());
        let mut found = SearchHits { hits: Vec::new(), damaged: Vec::new(), indexed };
        if let Some(thread) = &read.thread
            && self.living(thread).await?.is_none()
        {
            return Ok(found);
        }
        sqlx::raw_sql(BY_INDEX).execute(&mut *self.db).await?;
        let asked = Asked::of(self.tenant.as_str(), &query);
        let limit = read.limit as usize;
        let (mut looked, mut more) = (0, u64::from(read.limit) + MORE);
        // A message that is in the index in several parts may be found by each of them.
        let mut known: HashSet<Candidate> = HashSet::new();
        loop {
            let candidates = self.candidates(&asked, read.thread.as_ref(), more, looked).await?;
            let is_last = number(more) > i64::try_from(candidates.len()).unwrap_or(i64::MAX);
            looked += candidates.len() as u64;
            let mut left: VecDeque<Candidate> =
                candidates.into_iter().filter(|candidate| known.insert(candidate.clone())).collect();
            while !left.is_empty() && found.hits.len() < limit {
                let due = left.drain(..left.len().min(limit - found.hits.len())).collect();
                self.hold_against(due, &query, &mut found).await?;
            }
            if is_last || found.hits.len() == limit {
                return Ok(found);
            }
            more = more.saturating_mul(2);
        }
    }

    /// What the index finds, after as many as were looked at.
    async fn candidates(
        &mut self,
        asked: &Asked,
        thread: Option<&ThreadId>,
        limit: u64,
        looked: u64,
    ) -> Answer<Vec<Candidate>> {
        let statement = if thread.is_some() { FOUND_IN_THREAD } else { FOUND };
        let bound = sqlx::query(statement)
            .bind(self.tenant.as_str())
            .bind(&asked.matches)
            .bind(&asked.counts)
            .bind(asked.scale)
            .bind(number(limit))
            .bind(number(looked));
        let bound = match thread {
            Some(thread) => bound.bind(thread.as_str()),
            None => bound,
        };
        let rows = bound.fetch_all(&mut *self.db).await?;
        let candidates = rows.iter().map(|row| Ok((row.try_get("thread")?, row.try_get("id")?)));
        Ok(candidates.collect::<sqlx::Result<_>>()?)
    }

    async fn hold_against(
        &mut self,
        candidates: Vec<Candidate>,
        query: &Query,
        found: &mut SearchHits,
    ) -> Answer<()> {
        let (threads, ids): (Vec<String>, Vec<String>) = candidates.into_iter().unzip();
        let rows = sqlx::query(MESSAGES)
            .bind(self.tenant.as_str())
            .bind(threads)
            .bind(ids)
            .fetch_all(&mut *self.db)
            .await?;
        for row in &rows {
            match Stored::read(row)?.whole(self.tenant, None) {
                Ok(message) => found.hits.extend(hit(message, query)),
                // It hides no other.
                Err(_) => found.damaged.push(thread_id(row.try_get("thread")?)?),
            }
        }
        Ok(())
    }
}

/// Nothing of a message that was edited since.
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
