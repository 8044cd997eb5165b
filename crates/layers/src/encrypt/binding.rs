use super::KeyId;

/// The version of the stored format; a different format has a different number.
pub(super) const FORMAT: &str = "1";

/// The one algorithm: XChaCha20-Poly1305.
pub(super) const ALGORITHM: &str = "xc20p";

/// The context that a ciphertext is authenticated with, as associated data: it decrypts in this context only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    pub(super) tenant: &'a str,
    pub(super) thread: &'a str,
    /// None for data of the thread itself.
    pub(super) message: Option<&'a str>,
    pub(super) field: Field<'a>,
}

/// The part of a message, thread, run or consumer that a ciphertext belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// A chunk of the content, with the revision that it created.
    Content { part: Part, revision: u64 },
    /// The reason of an abandoned message, with the revision that the abandonment created.
    Reason { revision: u64 },
    /// The value of this name in the metadata. It has no revision, because a patch creates none.
    Metadata(&'a str),
    /// The title of a thread.
    Title,
    /// The error of a failed run of an agent.
    RunDetail { agent: &'a str, attempt: &'a str },
    /// The reason why a consumer quarantined the change at this position.
    Quarantine { consumer: &'a str, position: u64 },
    /// The key of a thread.
    ThreadKey(&'a str),
}

/// The kind of change that a chunk of content records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole content at its revision.
    Whole,
    /// The first text, appended to a reserved message.
    FirstText,
    /// The first blocks, appended to a reserved message.
    FirstBlocks,
    /// Text that was appended to existing content.
    Text,
    /// Blocks that were appended to existing content.
    Blocks,
}

impl Part {
    const ALL: [Self; 5] = [Self::Whole, Self::FirstText, Self::FirstBlocks, Self::Text, Self::Blocks];

    /// Returns true for a part that starts the content of its message.
    pub(super) const fn begins(self) -> bool {
        matches!(self, Self::Whole | Self::FirstText | Self::FirstBlocks)
    }

    /// Returns true for a part that is text, and false for one that is blocks.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::FirstText | Self::Text)
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::FirstText => "first-text",
            Self::FirstBlocks => "first-blocks",
            Self::Text => "text",
            Self::Blocks => "blocks",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == name)
    }
}

impl Binding<'_> {
    /// Returns the associated data: each part is preceded by its length, so two different bindings never encode alike.
    pub(super) fn associated(&self, key: &KeyId) -> Vec<u8> {
        let (field, names, number): (&str, [&str; 2], u64) = match self.field {
            Field::Content { part, revision } => ("content", [part.as_str(), ""], revision),
            Field::Reason { revision } => ("reason", ["", ""], revision),
            Field::Metadata(name) => ("fact", [name, ""], 0),
            Field::Title => ("title", ["", ""], 0),
            Field::RunDetail { agent, attempt } => ("run", [agent, attempt], 0),
            Field::Quarantine { consumer, position } => ("quarantine", [consumer, ""], position),
            Field::ThreadKey(id) => ("key", [id, ""], 0),
        };
        let whose = if self.message.is_some() { "message" } else { "thread" };
        let parts = [
            FORMAT,
            ALGORITHM,
            key.as_str(),
            self.tenant,
            self.thread,
            whose,
            self.message.unwrap_or_default(),
            field,
            names[0],
            names[1],
        ];
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum::<usize>() + 8);
        for part in parts {
            // Names have at most some hundred bytes. Metadata names can be longer, but no store accepts one above 4
            // GiB.
            bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes.extend(number.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    type Encode = fn(&Binding<'_>, &KeyId) -> Vec<u8>;

    const FIELDS: [Field<'static>; 11] = [
        Field::Content { part: Part::Whole, revision: 1 },
        Field::Content { part: Part::Text, revision: 1 },
        Field::Content { part: Part::Text, revision: 2 },
        Field::Reason { revision: 1 },
        Field::Metadata("a"),
        Field::Metadata("ab"),
        Field::Title,
        Field::RunDetail { agent: "a", attempt: "b" },
        Field::RunDetail { agent: "ab", attempt: "" },
        Field::Quarantine { consumer: "a", position: 1 },
        Field::ThreadKey("a"),
    ];

    /// Returns the number of bindings, and the number of their different encodings.
    fn encodings(encode: Encode) -> (usize, usize) {
        let ids = ["a", "b", "ab", ""];
        let mut seen = HashSet::new();
        let mut count = 0;
        for key in ["k", "l"].map(KeyId::from_stored) {
            for tenant in ids {
                for thread in ids {
                    for message in ids.map(Some).into_iter().chain([None]) {
                        for field in FIELDS {
                            seen.insert(encode(&Binding { tenant, thread, message, field }, &key));
                            count += 1;
                        }
                    }
                }
            }
        }
        (count, seen.len())
    }

    fn complete(binding: &Binding<'_>, key: &KeyId) -> Vec<u8> {
        binding.associated(key)
    }

    #[test]
    fn two_different_bindings_never_encode_alike() {
        let (bindings, different) = encodings(complete);
        assert_eq!(different, bindings);
    }

    /// The same field with revision 1.
    fn at_first_revision(field: Field<'_>) -> Field<'_> {
        match field {
            Field::Content { part, .. } => Field::Content { part, revision: 1 },
            Field::Reason { .. } => Field::Reason { revision: 1 },
            other => other,
        }
    }

    /// The same field without its kind, its name and the kind of change.
    fn without_name(field: Field<'_>) -> Field<'_> {
        match field {
            Field::Content { revision, .. } | Field::Reason { revision } => Field::Reason { revision },
            Field::RunDetail { attempt, .. } => Field::RunDetail { agent: "", attempt },
            Field::Quarantine { position, .. } => Field::Quarantine { consumer: "", position },
            Field::Metadata(_) | Field::Title | Field::ThreadKey(_) => Field::Title,
        }
    }

    /// The same encoding without the length before each part.
    fn without_lengths(mut encoded: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..10 {
            let (length, rest) = encoded.split_first_chunk().unwrap();
            let (part, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            bytes.extend_from_slice(part);
            encoded = rest;
        }
        assert_eq!(encoded.len(), size_of::<u64>());
        bytes.extend_from_slice(encoded);
        bytes
    }

    #[test]
    fn an_encoding_that_omits_a_part_is_detected() {
        let defective: [(&str, Encode); 7] = [
            ("tenant", |binding, key| Binding { tenant: "", ..*binding }.associated(key)),
            ("thread", |binding, key| Binding { thread: "", ..*binding }.associated(key)),
            ("message", |binding, key| {
                Binding { message: binding.message.map(|_| ""), ..*binding }.associated(key)
            }),
            ("field", |binding, key| {
                Binding { field: without_name(binding.field), ..*binding }.associated(key)
            }),
            ("revision", |binding, key| {
                Binding { field: at_first_revision(binding.field), ..*binding }.associated(key)
            }),
            ("key", |binding, _| binding.associated(&KeyId::from_stored("k"))),
            ("lengths", |binding, key| without_lengths(&binding.associated(key))),
        ];
        for (part, encode) in defective {
            let (bindings, different) = encodings(encode);
            assert!(different < bindings, "{part}");
        }
    }
}
