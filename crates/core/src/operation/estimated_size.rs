//! The byte limit of an answer: pages and lists end before they exceed it.

use crate::{
    Message,
    audit_entry::{AuditEntry, AuditItem},
    id::{AttachmentKey, SessionId, WorkDir},
    session::Attempt,
    thread::ThreadSummary,
};

/// The bytes for ids, numbers and times of one item.
const REST: usize = 256;

/// The remaining bytes of an answer. A store asks it before it adds an item to a page, and ends the page before the first item
/// that does not fit. The page then states that there is more. The first item always fits, so that every page makes progress.
///
/// A store that asks while it reads rows holds at most the page and one further row in memory.
///
/// ```
/// use throughline_core::backend::AnswerBytes;
///
/// let mut bytes = AnswerBytes::new(1000);
/// assert!(bytes.take(5000), "the first item always fits");
/// assert!(!bytes.take(1), "and nothing behind one that is as large as the bound");
///
/// let mut bytes = AnswerBytes::new(1000);
/// assert!(bytes.take(400) && bytes.take(600) && !bytes.take(1));
/// ```
#[derive(Debug, Clone)]
pub struct AnswerBytes {
    left: usize,
    is_empty: bool,
    is_full: bool,
}

impl AnswerBytes {
    /// Returns the budget of an answer of at most `max_bytes`.
    #[must_use]
    pub const fn new(max_bytes: u32) -> Self {
        Self { left: max_bytes as usize, is_empty: true, is_full: false }
    }

    /// Subtracts an item of this [estimated size](EstimatedSize), and returns whether it fits. After an item that does not fit,
    /// no item fits, so that a page has no gaps.
    pub const fn take(&mut self, size: usize) -> bool {
        if self.is_full || (!self.is_empty && size > self.left) {
            self.is_full = true;
            return false;
        }
        self.is_empty = false;
        self.left = self.left.saturating_sub(size);
        true
    }

    /// Truncates a list before the first item that does not fit. Returns whether an item did not fit.
    pub fn cut<T: EstimatedSize>(&mut self, items: &mut Vec<T>) -> bool {
        let fits = items.iter().take_while(|item| self.take(item.estimated_size())).count();
        let is_cut = fits < items.len();
        items.truncate(fits);
        is_cut
    }

    /// Whether an item did not fit.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.is_full
    }
}

/// The approximate bytes of an item of an answer, for byte limits: its data, and 256 bytes for its ids, numbers and times.
pub trait EstimatedSize {
    /// Returns the estimated bytes.
    fn estimated_size(&self) -> usize;
}

fn of_attachments(attachments: &[AttachmentKey]) -> usize {
    attachments.iter().map(|key| key.as_str().len()).sum()
}

impl EstimatedSize for Message {
    fn estimated_size(&self) -> usize {
        let reason = self.abandon_reason.as_ref().map_or(0, String::len);
        REST + self.content.byte_len() + self.metadata.byte_len() + of_attachments(&self.attachments) + reason
    }
}

impl EstimatedSize for ThreadSummary {
    fn estimated_size(&self) -> usize {
        let labels: usize =
            self.labels.iter().map(|(name, value)| name.as_str().len() + value.as_str().len()).sum();
        let preview = self.preview.as_ref().map_or(0, String::len);
        REST + self.title.as_str().len() + labels + self.metadata.byte_len() + preview
    }
}

impl EstimatedSize for AuditEntry {
    fn estimated_size(&self) -> usize {
        let items: usize = self.record.items.iter().map(of_item).sum();
        let named = [&self.record.actor, &self.record.call_site].into_iter().flatten().map(String::len);
        2 * REST + items + named.sum::<usize>()
    }
}

impl EstimatedSize for Attempt {
    fn estimated_size(&self) -> usize {
        let of = |text: Option<&str>| text.map_or(0, str::len);
        let sessions =
            [&self.resumes, &self.assigned, &self.session].map(|id| of(id.as_ref().map(SessionId::as_str)));
        let runtime = self.runtime.as_ref().map_or(0, |at| at.id.as_str().len() + at.root.as_str().len());
        let origin =
            self.origin.as_ref().map_or(0, |from| from.agent.as_str().len() + from.thread.as_str().len());
        REST + of(self.work_dir.as_ref().map(WorkDir::as_str))
            + of(self.detail.as_deref())
            + self.id.as_str().len()
            + self.provider.as_str().len()
            + sessions.iter().sum::<usize>()
            + runtime
            + origin
    }
}

fn of_item(item: &AuditItem) -> usize {
    let messages: usize = item.messages.iter().map(|id| id.as_str().len() + 4).sum();
    let thread = item.thread.as_ref().map_or(0, |thread| thread.as_str().len());
    64 + messages + thread + item.of.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_before_the_first_item_that_does_not_fit() {
        struct Item(usize);
        impl EstimatedSize for Item {
            fn estimated_size(&self) -> usize {
                self.0
            }
        }
        let cut = |sizes: &[usize]| {
            let mut items: Vec<Item> = sizes.iter().copied().map(Item).collect();
            let is_cut = AnswerBytes::new(100).cut(&mut items);
            (items.len(), is_cut)
        };
        assert_eq!(cut(&[]), (0, false));
        assert_eq!(cut(&[50, 50]), (2, false));
        assert_eq!(cut(&[50, 51, 1]), (1, true), "a small item behind a large one is not pulled forward");
        assert_eq!(cut(&[900, 1]), (1, true));
        assert_eq!(cut(&[900]), (1, false));
    }
}
