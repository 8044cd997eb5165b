use serde::{Deserialize, Serialize};

use crate::message::debug_without_text;
use crate::{
    MessageId, Position, Role, Seq, ThreadId, Timestamp,
    message::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_nothing},
};

/// Looks for final messages of the tenant that have certain words, the best first.
///
/// A message is found that has every word of the query, in any order and in capitals or not. A word is a run of letters and
/// digits; one that ends in `*` stands for all that begin so. A store that was opened with the tokenizer
/// [`Cjk`](crate::backend::search::Tokenizer::Cjk) finds Chinese, Japanese and Korean inside a run of characters.
///
/// The best message is the one that has the words most often, each counted four times at most; of equal ones the latest comes first.
/// What other tenants say changes neither the hits nor their order.
///
/// The work of one search is bounded. A query of more than [`MAX_QUERY_BYTES`](crate::backend::search::MAX_QUERY_BYTES) bytes (4 KiB) or of
/// more than [`MAX_WORDS`](crate::backend::search::MAX_WORDS) distinct words is refused as `TooLarge`. Of more than [`MAX_CANDIDATES`](crate::backend::search::MAX_CANDIDATES) messages that match, the
/// store ranks the latest: [`SearchHits::terminated_early`] says so. It may not have indexed the last commits yet:
/// [`SearchHits::indexed`] says how far it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SearchMessages {
    /// The words: see [`backend::search`](crate::backend::search).
    pub query: String,
    /// Only in this thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// How many at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

debug_without_text!(SearchMessages { thread, limit } unshown { query });

impl SearchMessages {
    /// The best `limit` messages of the tenant.
    #[must_use]
    pub fn new(query: impl Into<String>, limit: u32) -> Self {
        Self { query: query.into(), thread: None, limit }
    }

    /// Only in this thread.
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
    /// The messages that were found, the best first.
    pub hits: Vec<SearchHit>,
    /// Threads with a message that would be among them and cannot be read, one for each such message. To read it says so by
    /// name. One whose id cannot be read is called `?`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<ThreadId>,
    /// The changes that were looked at: all up to this one.
    pub indexed: Position,
    /// Whether the search met one of its bounds and did not look at every message that may match: there may be others, also
    /// better ones. A query with more words, or in one thread, meets them later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminated_early: bool,
}

/// A message that was found.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchHit {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// Its place in the thread.
    pub seq: Seq,
    /// Who said it.
    pub role: Role,
    /// When it was first written.
    pub created_at: Timestamp,
    /// Some of its text, around the first word that was found.
    pub snippet: String,
    /// Where in the snippet words stand that were looked for: from one byte to before another.
    pub marks: Vec<(u32, u32)>,
}

debug_without_text!(SearchHit { thread, id, seq, role, created_at, marks } unshown { snippet });

impl CarriesContent for SearchHits {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { hits, damaged: _, indexed: _, terminated_early: _ } = self;
        fn field(hit: &SearchHit) -> ContentField<'_> {
            let SearchHit { thread, id, seq: _, role: _, created_at: _, snippet, marks: _ } = hit;
            ContentField { thread, message: Some(id), value: FieldValue::Preview(snippet) }
        }
        hits.iter().map(field).collect()
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { hits, damaged: _, indexed: _, terminated_early: _ } = self;
        fn field(hit: &mut SearchHit) -> ContentFieldMut<'_> {
            let SearchHit { thread, id, seq: _, role: _, created_at: _, snippet, marks: _ } = hit;
            ContentFieldMut { thread, message: Some(id), value: FieldValueMut::Preview(snippet) }
        }
        hits.iter_mut().map(field).collect()
    }
}
