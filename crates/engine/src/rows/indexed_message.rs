use throughline_core::{IndexedMetadata, Metadata, Seq, Timestamp};

use super::MessageRow;

/// The entries of a message in the index of metadata: they replace all earlier entries of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedMessage {
    /// Each indexed field of the message, with the [`index_key`](throughline_core::MetadataScalar::index_key) of its value. Without
    /// fields, the index has no entry of the message.
    pub fields: Vec<(String, String)>,
    /// The time of creation of the message.
    pub created_at: Timestamp,
    /// The sequence number of the message; zero for a removed one, which has no fields.
    pub seq: Seq,
}

impl IndexedMessage {
    /// Returns the entries of a message under the declared names. A tombstone has none.
    #[must_use]
    pub fn of(row: &MessageRow, indexed: &IndexedMetadata) -> Self {
        let seq = row.seq.unwrap_or(Seq::ZERO);
        let fields = if row.is_tombstone() { Vec::new() } else { fields(&row.metadata, indexed) };
        Self { fields, created_at: row.created_at, seq }
    }
}

fn fields(metadata: &Metadata, indexed: &IndexedMetadata) -> Vec<(String, String)> {
    indexed.fields(metadata).map(|(name, value)| (name.to_owned(), value.index_key())).collect()
}
