use blake3::Hash;
use rusqlite::Connection;
use throughline_core::Content;

use super::{BlobFault, BlobFolder};

/// The beginning of a reference. No JSON array begins with a letter.
const PREFIX: &str = "blob:";

/// The column `content` if it may be a reference, and NULL for a longer one, which SQLite then does not read.
macro_rules! short_content {
    () => {
        "CASE WHEN octet_length(content) < 100 THEN content END"
    };
}
pub(super) use short_content;

/// The name of a blob in the column `content` of its message: `blob:HASH:LENGTH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlobRef {
    hash: Hash,
    length: u64,
    text: String,
}

impl BlobRef {
    /// Selects the sum of the lengths in all references, each once.
    pub(crate) const TOTAL_BYTES: &str = "SELECT coalesce(sum(CAST(substr(content, 71) AS INTEGER)), 0) \
                                          FROM (SELECT DISTINCT content FROM messages WHERE content >= 'b')";

    /// Returns the reference to these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::new(blake3::hash(bytes), bytes.len() as u64)
    }

    fn new(hash: Hash, length: u64) -> Self {
        Self { hash, length, text: format!("{PREFIX}{hash}:{length}") }
    }

    /// Parses the text of a column, in exactly the form that this crate writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (hash, length) = text.strip_prefix(PREFIX)?.split_once(':')?;
        let reference = Self::new(Hash::from_hex(hash).ok()?, length.parse().ok()?);
        (reference.text == text).then_some(reference)
    }

    pub(crate) const fn hash(&self) -> Hash {
        self.hash
    }

    /// The length of the content in bytes.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// The text of the column.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the texts between which every reference to a hash is, without the second one.
    pub(super) fn texts_of(hash: Hash) -> [String; 2] {
        // The character after a colon.
        [format!("{PREFIX}{hash}:"), format!("{PREFIX}{hash};")]
    }
}

/// The column `content` of a message.
#[derive(Debug, Clone)]
pub(crate) enum StoredContent {
    /// The content itself.
    Inline(Content),
    /// The name of the file that has it.
    Blob(BlobRef),
}

impl StoredContent {
    /// Parses the text of the column.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.starts_with(PREFIX) {
            return BlobRef::parse(text).map(Self::Blob);
        }
        Content::from_json(text).ok().map(Self::Inline)
    }

    /// The text of the column.
    pub(crate) fn as_column(&self) -> &str {
        match self {
            Self::Inline(content) => content.as_json(),
            Self::Blob(reference) => reference.as_str(),
        }
    }

    /// Returns the content. Reads the blob, if it is in one.
    ///
    /// # Errors
    /// The operating system cannot read the blob now.
    pub(crate) fn read(self, db: &Connection) -> rusqlite::Result<Result<Content, BlobFault>> {
        match self {
            Self::Inline(content) => Ok(Ok(content)),
            Self::Blob(reference) => Ok(BlobFolder::of(db).read(&reference)?),
        }
    }

    /// The blob, if the content is in one.
    pub(crate) const fn blob(&self) -> Option<&BlobRef> {
        match self {
            Self::Inline(_) => None,
            Self::Blob(reference) => Some(reference),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_parsed_only_in_the_form_in_which_it_is_written() {
        let reference = BlobRef::of(b"[1]");
        assert_eq!(reference.length(), 3);
        assert_eq!(BlobRef::parse(reference.as_str()), Some(reference.clone()));
        let [first, behind] = BlobRef::texts_of(reference.hash());
        assert!(first.as_str() <= reference.as_str() && reference.as_str() < behind.as_str());
        let text = reference.as_str();
        for other in [
            text.to_uppercase(),
            text.replace("blob:", "blob: "),
            format!("{text} "),
            text.replace(":3", ":03"),
            text.replace(":3", ":"),
            text.replace(":3", ":-3"),
            text[1..].to_owned(),
            "blob:".to_owned(),
        ] {
            assert_eq!(BlobRef::parse(&other), None, "{other}");
            assert!(StoredContent::parse(&other).is_none(), "{other}");
        }
    }

    #[test]
    fn no_content_is_taken_for_a_reference() {
        for json in ["[]", " [1]", "\n\t[\"blob:\"]", r#"[{"type":"text","text":"blob:"}]"#] {
            let content = Content::from_json(json).unwrap();
            assert!(content.as_json() < "b", "the index of references holds it: {json}");
            assert!(matches!(StoredContent::parse(content.as_json()), Some(StoredContent::Inline(_))));
        }
    }
}
