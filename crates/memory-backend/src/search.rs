//! Search: a scan of every message of the tenant.

use throughline_core::{
    MessageState, Position, Result,
    backend::search::{MAX_CANDIDATES, Query, Tokenizer},
    search::{SearchHit, SearchHits, SearchMessages},
};

use crate::store::Threads;

pub(crate) fn search(
    threads: &Threads,
    read: &SearchMessages,
    tokenizer: Tokenizer,
    indexed: Position,
) -> Result<SearchHits> {
    let query = Query::parse(&read.query, tokenizer)?;
    let mut found: Vec<_> = threads
        .iter()
        .filter(|(thread, _)| read.thread.as_ref().is_none_or(|only| only == *thread))
        .flat_map(|(thread, rows)| rows.visible().map(move |(seq, id, stored)| (thread, seq, id, stored)))
        .filter(|(.., stored)| stored.row.state == MessageState::Final)
        .map(|message| (message, message.3.content.content().plain_text(usize::MAX)))
        .filter(|(_, text)| query.matches(text))
        .collect();
    found.sort_by(|((_, a_seq, _, a), _), ((_, b_seq, _, b), _)| {
        b.row.created_at.cmp(&a.row.created_at).then_with(|| b_seq.cmp(a_seq))
    });
    let terminated_early = found.len() > MAX_CANDIDATES;
    found.truncate(MAX_CANDIDATES);
    // Equal ranks keep their order.
    found.sort_by_cached_key(|(_, text)| std::cmp::Reverse(query.rank(&query.terms_of(text))));
    found.truncate(read.limit as usize);
    let hits = found.into_iter().map(|((thread, seq, id, stored), text)| {
        let (snippet, marks) = query.snippet(&text);
        let (role, created_at) = (stored.row.role, stored.row.created_at);
        SearchHit { thread: thread.clone(), id: id.clone(), seq, role, created_at, snippet, marks }
    });
    Ok(SearchHits { hits: hits.collect(), damaged: Vec::new(), indexed, terminated_early })
}
