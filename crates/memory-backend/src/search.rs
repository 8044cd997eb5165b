//! Looking for words: in every message, each time.

use throughline_core::{
    Message, MessageState, Position, Result, SearchHit, SearchHits, SearchMessages, backend::search::Query,
};

use crate::store::Threads;

pub(crate) fn search(threads: &Threads, read: &SearchMessages, indexed: Position) -> Result<SearchHits> {
    let query = Query::parse(&read.query)?;
    let mut found: Vec<(usize, &Message, String)> = threads
        .iter()
        .filter(|(thread, _)| read.thread.as_ref().is_none_or(|only| only == *thread))
        .flat_map(|(_, log)| log.rows.values())
        .filter(|row| row.message.state == MessageState::Final)
        .map(|row| (&row.message, row.message.content.plain_text(usize::MAX)))
        .filter(|(_, text)| query.matches(text))
        .map(|(message, text)| (query.count(&text), message, text))
        .collect();
    found.sort_by(|(a, a_is, _), (b, b_is, _)| {
        b.cmp(a).then_with(|| b_is.created_at.cmp(&a_is.created_at)).then_with(|| b_is.seq.cmp(&a_is.seq))
    });
    found.truncate(read.limit as usize);
    let hit = |(_, message, text): (usize, &Message, String)| {
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
    Ok(SearchHits { hits: found.into_iter().map(hit).collect(), damaged: Vec::new(), indexed })
}
