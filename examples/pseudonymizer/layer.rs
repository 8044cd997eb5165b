use std::{cmp::Reverse, iter};

use throughline::layers::transform::{Edits, HeldTail, Rewrite, TextPart, Transform};

/// Replaces each name with a pseudonym before the store, and restores it in answers. Fails closed: the store receives
/// no text that this layer could not rewrite.
///
/// A pseudonym is one word, so a search for a name finds it. The list of names is configuration: keep its order, and
/// add new names at the end.
#[derive(Debug)]
pub(crate) struct Pseudonyms {
    /// The names with their pseudonyms. Longer names come first, so that a name wins over its prefix.
    pairs: Vec<(String, String)>,
}

impl Pseudonyms {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let numbered = iter::zip(names, 1..);
        let mut pairs: Vec<(String, String)> =
            numbered.map(|(name, number)| (name.to_owned(), format!("pseudonym{number:06}"))).collect();
        pairs.sort_by_key(|(name, _)| Reverse(name.len()));
        Self { pairs }
    }
}

impl Transform for Pseudonyms {
    /// Buffers the end of a text while it can be the beginning of a name.
    type Stream = HeldTail;

    fn name(&self) -> &str {
        "pseudonyms"
    }

    fn down(&self, part: TextPart<'_>) -> Rewrite {
        let names = self.pairs.iter().map(|(name, alias)| (&**name, &**alias));
        let certain = part.certain_before(part.start(), names.clone().map(|(name, _)| name));
        Rewrite { edits: replace(part.text(), part.start(), &names), certain }
    }

    fn up(&self, text: &str) -> Edits {
        replace(text, 0, &self.pairs.iter().map(|(name, alias)| (&**alias, &**name)))
    }
}

/// Replaces from `start` on, from left to right; at each position the first matching pair applies.
fn replace<'a>(
    text: &str,
    start: usize,
    pairs: &(impl Iterator<Item = (&'a str, &'a str)> + Clone),
) -> Edits {
    let (mut edits, mut at) = (Edits::none(), start);
    while let Some(character) = text[at..].chars().next() {
        match pairs.clone().find(|(from, _)| text[at..].starts_with(from)) {
            Some((from, to)) => {
                edits.replace(at..at + from.len(), to.to_owned());
                at += from.len();
            }
            None => at += character.len_utf8(),
        }
    }
    edits
}
