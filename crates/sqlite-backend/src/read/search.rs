//! Full-text search: finds candidates in the full-text index, shard by shard, and the best of them by their rows.
//!
//! A search reads only data of its tenant, so the hits, their order and their absence depend on nothing else. Its work
//! is bounded: by the number of candidates, by their bytes, by time, and by the terms of one shard, which FTS5
//! processes in one call.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension, params};
use throughline_core::{
    Position, Result,
    backend::{
        rules,
        search::{MAX_CANDIDATES, MAX_COUNT, MAX_TEXT_BYTES, Query, Tokenizer},
    },
    search::{SearchHit, SearchHits, SearchMessages},
};

use super::{
    Scope,
    thread::{Known, living, nameless, thread_id},
};
use crate::{
    blob::StoredContent,
    error::EngineError,
    record::{Columns as _, Record, message_columns},
    search::{BY_COUNT, Lookup, State, prefix, searchable, term_of_thread},
};

/// The candidates in one shard, the latest message first.
pub(super) const CANDIDATES: &str = "SELECT s.rowid, m.seq, m.created_at FROM search s \
    CROSS JOIN search_messages m ON m.message_pk = s.rowid WHERE search MATCH ?1 ORDER BY s.rowid DESC";

/// The candidates in a part of a shard that have a term in some column.
pub(super) const WITH_TERM: &str =
    "SELECT rowid FROM search WHERE search MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC";

/// The content of a candidate.
const CONTENT: &str = "SELECT content FROM messages WHERE message_pk = ?1";

const CONTENT_LENGTH: &str = "SELECT content_bytes FROM messages WHERE message_pk = ?1";

/// The number of candidates in one shard for each term of the query, up to which their scores are computed from their
/// texts: above it, asking the index for each term is faster.
const SCORED_BY_TEXT: usize = 8;

/// The bytes of their contents together, up to which the same is true.
const SCORED_TEXT_BYTES: u64 = 64 << 10;

/// The row of a candidate, unless it is no longer searchable: the index may be behind.
pub(super) const FOUND: &str = concat!(
    "SELECT 0, ",
    message_columns!(),
    ", t.thread FROM messages m CROSS JOIN threads t ON t.thread_pk = m.thread_pk \
     WHERE m.message_pk = ?1 AND t.tenant = ?2 AND (?3 IS NULL OR m.thread_pk = ?3) AND ",
    searchable!(),
);
const CONTENT_BYTES: usize = 8;
const THREAD: usize = 21;

/// The search options of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Searching {
    pub(super) tokenizer: Tokenizer,
    pub(super) time_limit: Duration,
}

/// The bounds of one search.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    candidates: usize,
    bytes: u64,
    until: Instant,
}

/// The time limit of one search. It reads the clock only once per number of rows or bytes. So a search whose time is
/// over has still read some of each kind.
#[derive(Debug)]
struct Timer {
    until: Instant,
    rows: u32,
    bytes: u64,
}

impl Timer {
    const ROWS: u32 = 64;
    const BYTES: u64 = 1 << 20;

    const fn new(until: Instant) -> Self {
        Self { until, rows: 0, bytes: 0 }
    }

    /// Counts a row that was read.
    const fn count(&mut self, bytes: u64) {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Returns whether the time is over, before the next row.
    fn is_over(&mut self) -> bool {
        if self.rows < Self::ROWS && self.bytes < Self::BYTES {
            return false;
        }
        (self.rows, self.bytes) = (0, 0);
        Instant::now() >= self.until
    }
}

/// A message that may be a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    // In the order of the answer, reversed.
    score: u32,
    created_at: i64,
    seq: i64,
    message_pk: i64,
}

/// The messages that have the terms of a query.
#[derive(Debug, Default, PartialEq, Eq)]
struct Candidates {
    found: Vec<Candidate>,
    /// The bytes of the texts that were read.
    bytes: u64,
    /// The number of searched shards, and of vocabularies that lack the terms.
    steps: usize,
    terminated_early: bool,
}

/// Searches messages.
pub(super) fn search(scope: Scope<'_>, searching: Searching, read: &SearchMessages) -> Result<SearchHits> {
    let until = Instant::now() + searching.time_limit;
    let until = scope.deadline.map_or(until, |deadline| until.min(deadline));
    search_within(
        scope,
        searching.tokenizer,
        read,
        Bounds { candidates: MAX_CANDIDATES, bytes: MAX_TEXT_BYTES, until },
    )
}

fn search_within(
    scope: Scope<'_>,
    tokenizer: Tokenizer,
    read: &SearchMessages,
    bounds: Bounds,
) -> Result<SearchHits> {
    rules::check_limit(read.limit)?;
    let state = State::read(scope.db).map_err(EngineError::from)?;
    // Until the index is rebuilt with the tokenizer of this store, the query uses that of the index.
    let query = Query::parse(&read.query, state.tokenizer.unwrap_or(tokenizer))?;
    let indexed = Position::new(state.found_up_to(tokenizer));
    let mut found = SearchHits { hits: Vec::new(), damaged: Vec::new(), indexed, terminated_early: false };
    let thread_pk = match &read.thread {
        None => None,
        Some(thread) => match living(scope, thread)? {
            Some(Known { thread_pk, .. }) => Some(thread_pk),
            None => return Ok(found),
        },
    };
    let mut candidates = candidates(scope, thread_pk, &query, bounds).map_err(EngineError::from)?;
    candidates.found.sort_unstable_by(|a, b| b.cmp(a));
    found.terminated_early = candidates.terminated_early;
    let (limit, mut bytes, mut timer) = (read.limit as usize, 0_u64, Timer::new(bounds.until));
    let mut statement = scope.db.prepare_cached(FOUND).map_err(EngineError::from)?;
    for candidate in candidates.found {
        if found.hits.len() == limit {
            break;
        }
        if timer.is_over() {
            found.terminated_early = true;
            break;
        }
        let parameters = params![candidate.message_pk, scope.tenant.as_str(), thread_pk];
        let mut rows = statement.query(parameters).map_err(EngineError::from)?;
        let Some(row) = rows.next().map_err(EngineError::from)? else {
            timer.count(0);
            continue;
        };
        let content =
            row.integer(CONTENT_BYTES).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
        if bytes > 0 && bytes.saturating_add(content) > bounds.bytes {
            found.terminated_early = true;
            break;
        }
        bytes = bytes.saturating_add(content);
        timer.count(content);
        let thread = thread_id(row, THREAD).unwrap_or_else(nameless);
        let read = match Record::read(row, scope.tenant, &thread) {
            Ok(Record { message, content, .. }) => {
                content.read(scope.db).map_err(EngineError::from)?.ok().map(|content| (message, content))
            }
            Err(_) => None,
        };
        let Some((message, content)) = read else {
            // A damaged message does not hide other hits.
            found.damaged.push(thread);
            continue;
        };
        let text = content.plain_text(usize::MAX);
        if !query.matches(&text) {
            // The message was edited since, or it has the terms but not the words of the query.
            continue;
        }
        let (snippet, marks) = query.snippet(&text);
        found.hits.push(SearchHit {
            thread,
            id: message.id,
            seq: message.seq,
            role: message.role,
            created_at: message.created_at,
            snippet,
            marks,
        });
    }
    Ok(found)
}

/// Returns the messages of the tenant that have every required term, the shards of the latest messages first.
fn candidates(
    scope: Scope<'_>,
    thread_pk: Option<i64>,
    query: &Query,
    bounds: Bounds,
) -> rusqlite::Result<Candidates> {
    let (mut candidates, mut timer) = (Candidates::default(), Timer::new(bounds.until));
    let mut statement = scope.db.prepare_cached(CANDIDATES)?;
    let mut lookup = Lookup::new(scope.db, scope.tenant.as_str(), query.required())?;
    // A search without time takes one step.
    let is_over = |steps| steps > 0 && Instant::now() >= bounds.until;
    'search: while let Some(shards) = lookup.next()? {
        if is_over(candidates.steps) {
            candidates.terminated_early = true;
            break;
        }
        if shards.is_empty() {
            candidates.steps += 1;
        }
        for shard in shards {
            if is_over(candidates.steps) {
                candidates.terminated_early = true;
                break 'search;
            }
            candidates.steps += 1;
            let (prefix, first) = (prefix(shard), candidates.found.len());
            let mut rows = statement.query([matches(&prefix, thread_pk, query)])?;
            while let Some(row) = rows.next()? {
                if candidates.found.len() >= bounds.candidates || timer.is_over() {
                    candidates.terminated_early = true;
                    break;
                }
                timer.count(0);
                candidates.found.push(Candidate {
                    score: 0,
                    created_at: row.integer(2).unwrap_or_default(),
                    seq: row.integer(1).unwrap_or_default(),
                    message_pk: row.get(0)?,
                });
            }
            drop(rows);
            score(scope.db, &prefix, query, &mut candidates, first, bounds, &mut timer)?;
            if candidates.terminated_early {
                break 'search;
            }
        }
    }
    Ok(candidates)
}

/// Computes the scores of the candidates in one shard, which are those from `first` on.
fn score(
    db: &Connection,
    prefix: &str,
    query: &Query,
    candidates: &mut Candidates,
    first: usize,
    bounds: Bounds,
    timer: &mut Timer,
) -> rusqlite::Result<()> {
    let counted = query.counted();
    let found = candidates.found.len() - first;
    // The index has no count of the terms with a prefix.
    if counted.iter().all(|term| !term.is_prefix)
        && (found > SCORED_BY_TEXT * counted.len() || !are_short(db, &candidates.found[first..])?)
    {
        return score_by_terms(db, prefix, query, candidates, first, timer);
    }
    let mut statement = db.prepare_cached(CONTENT)?;
    let mut at = first;
    while let Some(candidate) = candidates.found.get(at) {
        if candidates.bytes >= bounds.bytes || at > first && timer.is_over() {
            candidates.terminated_early = true;
            candidates.found.truncate(at);
            break;
        }
        let stored = statement
            .query_row([candidate.message_pk], |row| {
                Ok(row.text(0).and_then(|text| StoredContent::parse(str::from_utf8(text).ok()?)))
            })
            .optional()?;
        let content = match stored.flatten() {
            Some(content) => content.read(db)?.ok(),
            None => None,
        };
        // The row of a damaged candidate is read again below the limit, and reported.
        if let Some(content) = content {
            let text = content.plain_text(usize::MAX);
            let bytes = text.len() as u64;
            candidates.bytes = candidates.bytes.saturating_add(bytes);
            timer.count(bytes);
            candidates.found[at].score = query.rank(&query.terms_of(&text));
        }
        at += 1;
    }
    Ok(())
}

/// Returns whether the contents of these candidates are short together.
fn are_short(db: &Connection, found: &[Candidate]) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(CONTENT_LENGTH)?;
    let mut bytes = 0_u64;
    for candidate in found {
        let length =
            statement.query_row([candidate.message_pk], |row| Ok(row.integer(0))).optional()?.flatten();
        bytes = bytes.saturating_add(length.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default());
    }
    Ok(bytes <= SCORED_TEXT_BYTES)
}

/// Computes the scores from the columns of the index, for a query whose terms are all required and whole: every
/// candidate has each of them at least once.
fn score_by_terms(
    db: &Connection,
    prefix: &str,
    query: &Query,
    candidates: &mut Candidates,
    first: usize,
    timer: &mut Timer,
) -> rusqlite::Result<()> {
    let found = &mut candidates.found[first..];
    let (Some(latest), Some(earliest)) = (found.first(), found.last()) else { return Ok(()) };
    let (latest, earliest) = (latest.message_pk, earliest.message_pk);
    let terms = u32::try_from(query.counted().len()).unwrap_or(u32::MAX);
    found.iter_mut().for_each(|candidate| candidate.score = terms);
    let mut statement = db.prepare_cached(WITH_TERM)?;
    let repeated = BY_COUNT[..BY_COUNT.len() - 1].join(" ");
    for term in query.counted() {
        // Most words occur once in each message.
        let matches = format!("{{{repeated}}} : \"{prefix}{}\"", term.text);
        if statement.query(params![matches, earliest, latest])?.next()?.is_none() {
            continue;
        }
        for (column, count) in BY_COUNT.into_iter().zip((2..=MAX_COUNT).rev()) {
            let matches = format!("{{{column}}} : \"{prefix}{}\"", term.text);
            let mut rows = statement.query(params![matches, earliest, latest])?;
            let mut at = 0;
            while let Some(row) = rows.next()? {
                if timer.is_over() {
                    candidates.terminated_early = true;
                    return Ok(());
                }
                timer.count(0);
                let message_pk: i64 = row.get(0)?;
                // Both are in the same order.
                at += found[at..].iter().take_while(|candidate| candidate.message_pk > message_pk).count();
                if let Some(candidate) = found.get_mut(at).filter(|one| one.message_pk == message_pk) {
                    candidate.score = candidate.score.saturating_add(count - 1);
                }
            }
        }
    }
    Ok(())
}

/// Returns the query in the syntax of FTS5. A term consists of letters and digits only; it is quoted so that it is
/// never an operator.
fn matches(prefix: &str, thread_pk: Option<i64>, query: &Query) -> String {
    let mut matches = String::new();
    for (at, term) in query.required().iter().enumerate() {
        let (and, star) = (if at == 0 { "" } else { " AND " }, if term.is_prefix { " *" } else { "" });
        // Writing into a string does not fail.
        let _ = write!(matches, "{and}\"{prefix}{}\"{star}", term.text);
    }
    if let Some(thread_pk) = thread_pk {
        let _ = write!(matches, " AND \"{}\"", term_of_thread(thread_pk));
    }
    matches
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;
    use throughline_core::{Content, TenantId, Timestamp, backend::search::Terms};

    use super::*;
    use crate::{open::create_tables, search::IndexedTerms};

    fn empty() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        db
    }

    /// Adds a message to a shard, and its text.
    fn put(db: &Connection, shard: i64, message_pk: i64, text: &str) {
        let terms = IndexedTerms::new(&Terms::of(text, Tokenizer::Words), shard, 1);
        terms.add(db, message_pk).unwrap();
        db.execute(
            "INSERT INTO search_messages (message_pk, shard, thread_pk, seq, created_at, digest) \
             VALUES (?1, ?2, 1, ?1, 0, ?3)",
            params![message_pk, shard, terms.digest()],
        )
        .unwrap();
        db.execute(
            "INSERT INTO messages (message_pk, thread_pk, message_id, seq, segment, role, state, revision, appends, \
             content_bytes, tail, created_at, updated_at, position, checksum, metadata, content) \
             VALUES (?1, 1, ?1, ?1, 1, 'user', 'final', 1, 0, 0, 0, 0, 0, 0, 0, '{}', ?2)",
            params![message_pk, Content::text(text).as_json()],
        )
        .unwrap();
    }

    /// Returns a store with only an index: in each shard of two tenants this number of messages with this text.
    fn index(shards: i64, messages: i64, text: &str) -> Connection {
        let db = empty();
        for shard in 1..=2 * shards {
            let tenant = if shard % 2 == 0 { "a" } else { "b" };
            let has_vocabulary = (shard <= 2 * shards - 2).then_some(0);
            db.execute(
                "INSERT INTO search_shards (shard, tenant, first_pk, terms, has_vocabulary) VALUES (?1, ?2, ?1, 1, ?3)",
                params![shard, tenant, has_vocabulary],
            )
            .unwrap();
            for n in 0..messages {
                put(&db, shard, shard * 1000 + n, text);
            }
        }
        db
    }

    fn asked(db: &Connection, query: &str, bounds: Bounds) -> Candidates {
        let tenant: TenantId = "a".parse().unwrap();
        let scope = Scope { db, tenant: &tenant, now: Timestamp::from_micros(0), deadline: None };
        candidates(scope, None, &Query::parse(query, Tokenizer::Words).unwrap(), bounds).unwrap()
    }

    fn bounds() -> Bounds {
        let until = Instant::now() + Duration::from_secs(3600);
        Bounds { candidates: 1000, bytes: 1 << 20, until }
    }

    #[test]
    fn a_search_ends_at_each_of_its_bounds_and_reports_that() {
        let db = index(4, 5, "water wave, water");
        let all = asked(&db, "w*", bounds());
        assert_eq!((all.found.len(), all.steps, all.terminated_early), (20, 4, false));
        assert!(all.found.iter().all(|candidate| candidate.score == 3));
        let few = asked(&db, "w*", Bounds { candidates: 7, ..bounds() });
        assert_eq!((few.found.len(), few.steps, few.terminated_early), (7, 2, true));
        // The latest ones.
        let latest: Vec<i64> = few.found.iter().map(|candidate| candidate.message_pk).collect();
        assert_eq!(latest, [8004, 8003, 8002, 8001, 8000, 6004, 6003]);
        let exactly = asked(&db, "w*", Bounds { candidates: 20, ..bounds() });
        assert!(!exactly.terminated_early);
        let few_bytes = asked(&db, "w*", Bounds { bytes: 1, ..bounds() });
        assert_eq!((few_bytes.found.len(), few_bytes.terminated_early), (1, true));
        let late = asked(&db, "w*", Bounds { until: Instant::now(), ..bounds() });
        assert_eq!((late.found.len(), late.steps, late.terminated_early), (5, 1, true));
        let nothing = asked(&db, "wa* fire", bounds());
        assert_eq!((nothing.found.len(), nothing.steps, nothing.terminated_early), (0, 4, false));
    }

    #[test]
    fn a_search_whose_time_is_over_ends_within_a_shard() {
        let db = index(1, 200, "water wave");
        for query in ["w*", "water"] {
            let late = asked(&db, query, Bounds { until: Instant::now(), ..bounds() });
            assert_eq!((late.found.len(), late.steps, late.terminated_early), (64, 1, true), "{query}");
            assert_eq!(late.found.first().map(|candidate| candidate.message_pk), Some(2199));
        }
        let long = (0..20_000).map(|n| format!("w{n:099} ")).collect::<String>();
        let db = index(1, 2, &long);
        let late = asked(&db, "w*", Bounds { until: Instant::now(), bytes: u64::MAX, ..bounds() });
        assert_eq!((late.found.len(), late.terminated_early), (1, true));
    }

    #[test]
    fn a_shard_whose_vocabulary_lacks_a_term_is_not_searched() {
        let db = index(2, 3, "water wave");
        let found = |query| asked(&db, query, bounds()).found.len();
        db.execute_batch(
            "INSERT INTO search_vocabulary VALUES (1, 'a', 0, 'water', 'water 14' || char(10) || 'wave 10');
             UPDATE search_shards SET has_vocabulary = 0",
        )
        .unwrap();
        assert_eq!(
            [found("wave"), found("wat* wav*"), found("water")],
            [6, 6, 6],
            "an incomplete vocabulary is not read"
        );
        db.execute("UPDATE search_shards SET has_vocabulary = 1", []).unwrap();
        assert_eq!([found("wave"), found("wat* wav*"), found("water")], [3, 3, 6]);
        let late = |db: &Connection| {
            let late = asked(db, "fire", Bounds { until: Instant::now(), ..bounds() });
            (late.steps, late.terminated_early)
        };
        assert_eq!(late(&db), (1, false), "there is one vocabulary");
        db.execute("INSERT INTO search_vocabulary VALUES (2, 'a', 7, 'water', 'water 14')", []).unwrap();
        assert_eq!(late(&db), (1, true), "it reads one vocabulary, and no more in no time");
    }

    #[test]
    fn a_repeated_word_adds_no_cost() {
        let db = index(1, 50, "water wave");
        let (once, often) = (asked(&db, "w*", bounds()), asked(&db, &"w* ".repeat(32), bounds()));
        assert_eq!(once, often);
        let tenant_prefix = prefix(2);
        let query =
            |text: &str| matches(&tenant_prefix, None, &Query::parse(text, Tokenizer::Words).unwrap());
        assert_eq!(query(&"w* ".repeat(32)), query("w*"));
    }

    /// The index and the text of a message agree about its score.
    #[test]
    fn scores_from_the_index_are_those_from_the_texts() {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let db = empty();
        db.execute("INSERT INTO search_shards (shard, tenant, first_pk, terms) VALUES (2, 'a', 0, 1)", [])
            .unwrap();
        let mut texts = Vec::new();
        for message_pk in 1..=200 {
            let words = (0..random.usize(1..12)).map(|_| *random.choice(&["a", "b", "c", "d"]).unwrap());
            texts.push(words.map(|word| format!("{word} ")).collect::<String>());
            put(&db, 2, message_pk, texts.last().unwrap());
        }
        for query in ["a", "a b", "c a b", "a b c d"] {
            let parsed = Query::parse(query, Tokenizer::Words).unwrap();
            let expected: Vec<(usize, u32)> = (1..=200)
                .rev()
                .filter(|n| parsed.matches(&texts[n - 1]))
                .map(|n| (n, parsed.rank(&parsed.terms_of(&texts[n - 1]))))
                .collect();
            let found = asked(&db, query, bounds());
            // The first three are scored by the index, and no text was read for them.
            assert_eq!(found.bytes == 0, expected.len() > SCORED_BY_TEXT * parsed.counted().len(), "{query}");
            let found: Vec<(usize, u32)> =
                found.found.iter().map(|one| (usize::try_from(one.message_pk).unwrap(), one.score)).collect();
            assert_eq!(found, expected, "{query}");
        }
    }

    /// The number of virtual-machine steps grows with the examined candidates, and not with the existing ones.
    #[test]
    fn the_work_of_a_search_is_bounded_by_its_candidates() {
        let steps = |messages| {
            let db = index(1, messages, "water");
            let mut statement = db.prepare(CANDIDATES).unwrap();
            let mut rows = statement.query(["\"2.wa\" *"]).unwrap();
            for _ in 0..10 {
                assert!(rows.next().unwrap().is_some());
            }
            drop(rows);
            assert_eq!(statement.get_status(StatementStatus::Sort), 0);
            statement.get_status(StatementStatus::VmStep)
        };
        assert_eq!(steps(10), steps(500));
    }
}
