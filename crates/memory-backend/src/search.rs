//! Search: by a look at every message of the tenant, each time.

use throughline_core::{
    Message, MessageState, Position, Result, SearchHit, SearchHits, SearchMessages,
    backend::search::{MAX_CANDIDATES, Query, Tokenizer},
};

use crate::store::Threads;

pub(crate) fn search(
    threads: &Threads,
    read: &SearchMessages,
    tokenizer: Tokenizer,
    indexed: Position,
) -> Result<SearchHits> {
    let query = Query::parse(&read.query, tokenizer)?;
    let mut found: Vec<(&Message, String)> = threads
        .iter()
        .filter(|(thread, _)| read.thread.as_ref().is_none_or(|only| only == *thread))
        .flat_map(|(_, log)| log.rows.values())
        .filter(|row| row.message.state == MessageState::Final)
        .map(|row| (&row.message, row.message.content.plain_text(usize::MAX)))
        .filter(|(_, text)| query.matches(text))
        .collect();
    found.sort_by(|(a, _), (b, _)| b.created_at.cmp(&a.created_at).then_with(|| b.seq.cmp(&a.seq)));
    let terminated_early = found.len() > MAX_CANDIDATES;
    found.truncate(MAX_CANDIDATES);
    // Of equal weight they stay in their order.
    found.sort_by_cached_key(|(_, text)| std::cmp::Reverse(query.weight(&query.terms_of(text))));
    found.truncate(read.limit as usize);
    let hit = |(message, text): (&Message, String)| {
        let (snippet, marks) = query.snippet(&text);
        SearchHit {
            thread: message.thread.clone(),
            id: message.id.clone(),
            seq: message.seq,
            role: message.role,
            created_at: message.created_at,
            snippet,
            marks,
        }
    };
    let hits = found.into_iter().map(hit).collect();
    Ok(SearchHits { hits, damaged: Vec::new(), indexed, terminated_early })
}
