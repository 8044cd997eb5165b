use serde::{Deserialize, Serialize};

use crate::{
    MessageId, Position, Result, Role, Seq, ThreadId, Timestamp,
    message::{carries_content, carries_nothing, carries_parts, debug_without_text},
    operation::{
        Addressed, Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
        subject::Asked,
    },
};

/// Searches the final messages of the tenant, with the best match first.
///
/// A message matches if it has every term of the query, in any order and with any case. A term is a run of letters and digits; a
/// term that ends in `*` is a prefix. In a store with the tokenizer [`Cjk`](crate::backend::search::Tokenizer::Cjk), a query also
/// finds Chinese, Japanese and Korean text inside a run of characters.
///
/// The best match has the most occurrences of the terms, each counted at most four times. The latest of equal messages comes
/// first. Messages of other tenants affect neither the hits nor their order.
///
/// The work of one search is bounded. If more than [`MAX_CANDIDATES`](crate::backend::search::MAX_CANDIDATES) messages match, the
/// store ranks the latest of them and sets [`SearchHits::terminated_early`]. The full-text index can be behind the last commits:
/// see [`SearchHits::indexed`].
///
/// # Errors
/// `TooLarge` if the query has more than [`MAX_QUERY_BYTES`](crate::backend::search::MAX_QUERY_BYTES) bytes (4 KiB), or more than
/// [`MAX_WORDS`](crate::backend::search::MAX_WORDS) distinct terms.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SearchMessages {
    /// The query: see [`backend::search`](crate::backend::search).
    pub query: String,
    /// Only messages of this thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The most entries to return: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

debug_without_text!(SearchMessages { thread, limit } unshown { query });

impl SearchMessages {
    /// Returns a search for the best `limit` messages of the tenant.
    #[must_use]
    pub fn new(query: impl Into<String>, limit: u32) -> Self {
        Self { query: query.into(), thread: None, limit }
    }

    /// Searches only this thread.
    #[must_use]
    pub fn in_thread(mut self, thread: ThreadId) -> Self {
        self.thread = Some(thread);
        self
    }
}

carries_nothing!(SearchMessages { query: _, thread: _, limit: _ });

/// The answer to [`SearchMessages`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchHits {
    /// The matching messages, with the best first.
    pub hits: Vec<SearchHit>,
    /// The threads of damaged messages that would be hits, one entry for each message. A read of such a thread reports the
    /// message by id. A thread with a damaged id is `?`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<ThreadId>,
    /// The position up to which the full-text index has all changes.
    pub indexed: Position,
    /// Whether the search stopped at a limit and did not examine every match. Other messages can match better. A query with more
    /// terms, or in one thread, examines fewer messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminated_early: bool,
}

/// A message that matches a search.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchHit {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The sequence number of the message.
    pub seq: Seq,
    /// The author of the message.
    pub role: Role,
    /// The time of creation.
    pub created_at: Timestamp,
    /// An excerpt of the text around the first matched term.
    pub snippet: String,
    /// The byte ranges of the matched terms in the snippet: start, and end (exclusive).
    pub marks: Vec<(u32, u32)>,
}

debug_without_text!(SearchHit { thread, id, seq, role, created_at, marks } unshown { snippet });

carries_content!(
    SearchHit { thread, id, seq: _, role: _, created_at: _, snippet, marks: _ } for (thread, id) => [Preview(snippet)]
);
carries_parts!(SearchHits { hits, damaged: _, indexed: _, terminated_early: _ } => hits);

impl Addressed for SearchMessages {
    fn thread(&self) -> Option<&ThreadId> {
        self.thread.as_ref()
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

crate::operation::addresses_no_thread!(SearchHits);

impl StatesFacts for SearchMessages {
    fn facts(&self) -> Facts<'_> {
        Facts {
            limits: Limits::items(self.limit),
            split_by_message: Split::Refused(
                "messages cannot be searched: those of the other side are not indexed here",
            ),
            split_by_thread: Split::Both,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for SearchHits {
    fn check(&self, asked: &Asked<'_>) -> Result<(), &'static str> {
        if self.hits.iter().map(|hit| &hit.thread).chain(&self.damaged).all(|thread| asked.is_for(thread)) {
            Ok(())
        } else {
            Err("answered with a message of another thread than it was asked")
        }
    }
}
