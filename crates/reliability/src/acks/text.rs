//! The content of messages, which derives from their names.

use throughline_core::{Content, Message, Metadata, NewMessage};

/// The metadata key of the name.
const NAME: &str = "name";

/// Returns the message of this name, complete.
#[must_use]
pub fn message(name: &str) -> NewMessage {
    let (front, back) = halves(name);
    NewMessage::user(&format!("{front}{back}")).with_metadata(metadata(name))
}

/// Returns the metadata of the message of this name.
///
/// # Panics
/// Never: a string is JSON.
#[must_use]
pub fn metadata(name: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set(NAME, name).expect("a string serializes");
    metadata
}

/// Returns the text in two halves: some 200 bytes for most names, several pages for some.
#[must_use]
pub fn halves(name: &str) -> (String, String) {
    let sum: usize = name.bytes().map(usize::from).sum();
    let times = if sum.is_multiple_of(50) { 1000 } else { 100 / name.len().max(1) + 1 };
    (format!("{name} begins. {}", name.repeat(times)), format!("{} ends {name}.", name.repeat(times)))
}

/// Returns the name of a message, if it has one.
#[must_use]
pub fn name_of(message: &Message) -> Option<String> {
    message.metadata.get_as(NAME)
}

pub(super) fn first_half(name: &str) -> Content {
    Content::text(&halves(name).0)
}

pub(super) fn whole(name: &str) -> Content {
    let (front, back) = halves(name);
    Content::text(&format!("{front}{back}"))
}
