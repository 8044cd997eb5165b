use super::{KeyId, Weakness};

/// The form of what is sealed. Another form is another number.
pub(super) const FORMAT: &str = "1";

/// The one algorithm: XChaCha20-Poly1305.
pub(super) const ALGORITHM: &str = "xc20p";

/// Where something sealed belongs. It is authenticated with it, so that it can be read in this place and no other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    pub(super) tenant: &'a str,
    pub(super) thread: &'a str,
    /// None where it belongs to the thread as a whole.
    pub(super) message: Option<&'a str>,
    pub(super) field: Field<'a>,
}

/// Which part of a message or a thread something sealed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// A piece of the content, which made it this revision.
    Content { part: Part, revision: u64 },
    /// Why a message was abandoned, which made it this revision.
    Reason { revision: u64 },
    /// The value of this name in the metadata. It has no revision: a patch makes none.
    Fact(&'a str),
    /// The title of a thread.
    Title,
    /// What a run of an agent failed with.
    RunDetail { agent: &'a str, attempt: &'a str },
    /// Why a consumer passed over the change at this position.
    Quarantine { consumer: &'a str, position: u64 },
    /// The key of a thread.
    ThreadKey(&'a str),
}

/// What a piece of content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it, up to its revision.
    Whole,
    /// Text that was appended to what was reserved, and had none yet.
    FirstText,
    /// Blocks that were appended to what was reserved, and had none yet.
    FirstBlocks,
    /// Text that was appended to what was there.
    Text,
    /// Blocks that were appended to what was there.
    Blocks,
}

impl Part {
    const ALL: [Self; 5] = [Self::Whole, Self::FirstText, Self::FirstBlocks, Self::Text, Self::Blocks];

    /// Whether it is the first of its message, and there is nothing before it.
    pub(super) const fn begins(self) -> bool {
        matches!(self, Self::Whole | Self::FirstText | Self::FirstBlocks)
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
    /// The associated data: each part behind its length, so that no two places come out alike.
    pub(super) fn associated(&self, key: &KeyId, weakness: Weakness) -> Vec<u8> {
        let (field, names, number): (&str, [&str; 2], u64) = match self.field {
            Field::Content { part, revision } => ("content", [part.as_str(), ""], revision),
            Field::Reason { revision } => ("reason", ["", ""], revision),
            Field::Fact(name) => ("fact", [name, ""], 0),
            Field::Title => ("title", ["", ""], 0),
            Field::RunDetail { agent, attempt } => ("run", [agent, attempt], 0),
            Field::Quarantine { consumer, position } => ("quarantine", [consumer, ""], position),
            Field::ThreadKey(id) => ("key", [id, ""], 0),
        };
        let kept = |weak: Weakness, text| if weakness == weak { "" } else { text };
        let number = if weakness == Weakness::ForgetsRevision { 0 } else { number };
        let whose = if self.message.is_some() { "message" } else { "thread" };
        let parts = [
            FORMAT,
            ALGORITHM,
            key.as_str(),
            kept(Weakness::ForgetsTenant, self.tenant),
            kept(Weakness::ForgetsThread, self.thread),
            whose,
            kept(Weakness::ForgetsMessage, self.message.unwrap_or_default()),
            kept(Weakness::ForgetsField, field),
            kept(Weakness::ForgetsField, names[0]),
            names[1],
        ];
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum::<usize>() + 8);
        for part in parts {
            // Names are at most some hundred bytes, but for those in metadata, which no store takes above 4 GiB.
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

    #[test]
    fn no_two_places_come_out_alike() {
        let ids = ["a", "b", "ab", ""];
        let fields = [
            Field::Content { part: Part::Whole, revision: 1 },
            Field::Content { part: Part::Text, revision: 1 },
            Field::Content { part: Part::Text, revision: 2 },
            Field::Reason { revision: 1 },
            Field::Fact("a"),
            Field::Fact("ab"),
            Field::Title,
            Field::RunDetail { agent: "a", attempt: "b" },
            Field::RunDetail { agent: "ab", attempt: "" },
            Field::Quarantine { consumer: "a", position: 1 },
            Field::ThreadKey("a"),
        ];
        let mut seen = HashSet::new();
        let mut count = 0;
        for key in ["k", "l"].map(KeyId::found) {
            for tenant in ids {
                for thread in ids {
                    for message in ids.map(Some).into_iter().chain([None]) {
                        for field in fields {
                            let binding = Binding { tenant, thread, message, field };
                            seen.insert(binding.associated(&key, Weakness::None));
                            count += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(seen.len(), count);
    }
}
