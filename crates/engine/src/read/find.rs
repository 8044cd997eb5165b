//! Messages that a metadata field finds.

use throughline_core::{
    Message, MessageState, Metadata, MetadataScalar, Result, Seq,
    backend::{AnswerBytes, EstimatedSize as _, rules},
    messages::{DamagedMessage, FindCursor, FindMessages, FoundMessages},
};

/// The most hidden messages that one page skips: 1000.
pub const MAX_SKIPPED: u32 = 1000;

/// The condition of a find, against which a store compares each message that its index leads to.
#[derive(Debug, Clone)]
pub struct FindCriterion<'a> {
    find: &'a FindMessages,
    name: &'a str,
    value: MetadataScalar,
}

impl<'a> FindCriterion<'a> {
    /// Returns the condition of this find.
    ///
    /// # Errors
    /// `Invalid`: see [`FindMessages::criterion`].
    pub fn of(find: &'a FindMessages) -> Result<Self> {
        let (name, value) = find.criterion()?;
        Ok(Self { find, name, value })
    }

    /// The name of the field.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// The key of the value in the index.
    #[must_use]
    pub fn index_key(&self) -> String {
        self.value.index_key()
    }

    /// Whether a message of a living thread is in the answer: it is above the floor, has a state that the find shows, and its field
    /// has the value. The index can lead to other messages, such as those that were cleared and not yet purged.
    #[must_use]
    pub fn matches(&self, floor: Seq, seq: Seq, state: MessageState, metadata: &Metadata) -> bool {
        seq > floor
            && rules::is_visible(self.find.visibility, state)
            && MetadataScalar::under(metadata, self.name).as_ref() == Some(&self.value)
    }
}

/// A page of found messages, for which a store examines one entry of its index after the other.
///
/// ```
/// use throughline_core::messages::FindMessages;
/// use throughline_engine::read::FoundPage;
///
/// let find = FindMessages::new("kind", "tool", 20);
/// let page = FoundPage::new(&find);
/// assert_eq!(page.into_answer().next, None, "no entry was left");
/// ```
#[derive(Debug)]
pub struct FoundPage {
    limit: usize,
    bytes: AnswerBytes,
    answer: FoundMessages,
    examined: Option<FindCursor>,
    skipped: u32,
}

impl FoundPage {
    /// Returns an empty page.
    #[must_use]
    pub fn new(find: &FindMessages) -> Self {
        let answer = FoundMessages { messages: Vec::new(), damaged: Vec::new(), next: None };
        Self {
            limit: find.limit as usize,
            bytes: AnswerBytes::new(find.max_bytes),
            answer,
            examined: None,
            skipped: 0,
        }
    }

    /// Announces that the index has another entry. Returns whether to examine it: otherwise the page ends before it.
    #[must_use]
    pub fn has_entry(&mut self) -> bool {
        let is_full = self.answer.messages.len() + self.answer.damaged.len() >= self.limit;
        let ends = is_full || self.skipped >= MAX_SKIPPED;
        if ends {
            self.answer.next.clone_from(&self.examined);
        }
        !ends
    }

    /// Adds the message of an entry: `None` for one that does not [match](FindCriterion::matches). Returns whether to go on with the
    /// next entry: otherwise the page ends before this one.
    #[must_use]
    pub fn examine(&mut self, at: FindCursor, message: Result<Option<Message>, DamagedMessage>) -> bool {
        match message {
            Ok(Some(message)) if self.bytes.take(message.estimated_size()) => {
                self.answer.messages.push(message);
            }
            Ok(Some(_)) => {
                self.answer.next.clone_from(&self.examined);
                return false;
            }
            Ok(None) => self.skipped += 1,
            Err(damaged) => self.answer.damaged.push(damaged),
        }
        self.examined = Some(at);
        true
    }

    /// Returns the answer.
    #[must_use]
    pub fn into_answer(self) -> FoundMessages {
        self.answer
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{NewMessage, Timestamp, messages::Add};

    use super::*;

    fn message(seq: u64) -> Message {
        let add = Add::new("t".parse().unwrap(), NewMessage::user("x"));
        add.to_message(&"a".parse().unwrap(), Seq::new(seq), Timestamp::from_micros(7))
    }

    /// Examines the entries of these messages; `false` for one that does not match.
    fn page(limit: u32, max_bytes: u32, entries: &[bool]) -> (Vec<u64>, Option<u64>) {
        let find = FindMessages::new("kind", "tool", limit).with_max_bytes(max_bytes);
        let mut page = FoundPage::new(&find);
        for (seq, matches) in (1..).zip(entries) {
            let message = message(seq);
            if !page.has_entry() || !page.examine(FindCursor::of(&message), Ok(matches.then_some(message))) {
                break;
            }
        }
        let FoundMessages { messages, next, .. } = page.into_answer();
        (messages.iter().map(|message| message.seq.get()).collect(), next.map(|next| next.seq.get()))
    }

    #[test]
    fn a_page_that_ends_with_the_last_entry_has_no_more() {
        assert_eq!(page(2, 9999, &[true, true]), (vec![1, 2], None));
        assert_eq!(page(1, 9999, &[true, false]), (vec![1], Some(1)));
        assert_eq!(page(2, 9999, &[false, true, true, true]), (vec![2, 3], Some(3)));
        assert_eq!(page(9, 1, &[true, true]), (vec![1], Some(1)), "at least one message of any size");
    }

    #[test]
    fn a_page_skips_a_bounded_number_of_entries() {
        let skipped = MAX_SKIPPED as usize;
        let entries = [vec![false; skipped], vec![true]].concat();
        assert_eq!(page(9, 9999, &entries), (vec![], Some(skipped as u64)));
        assert_eq!(page(9, 9999, &entries[1..]), (vec![skipped as u64], None));
    }

    #[test]
    fn a_message_matches_by_the_meaning_of_its_value() {
        let find =
            FindMessages::new("kind", "tool", 1).showing(throughline_core::messages::Visibility::Settled);
        let criterion = FindCriterion::of(&find).unwrap();
        let metadata = |json: &str| serde_json::from_str::<Metadata>(json).unwrap();
        let matches = |state, json: &str| criterion.matches(Seq::new(3), Seq::new(4), state, &metadata(json));
        assert!(matches(MessageState::Final, r#"{"kind":"t\u006fol"}"#));
        assert!(matches(MessageState::Abandoned, r#"{"kind":"tool"}"#));
        assert!(!matches(MessageState::Streaming, r#"{"kind":"tool"}"#));
        assert!(!matches(MessageState::Final, r#"{"kind":"other"}"#));
        assert!(!criterion.matches(
            Seq::new(4),
            Seq::new(4),
            MessageState::Final,
            &metadata(r#"{"kind":"tool"}"#)
        ));
    }
}
