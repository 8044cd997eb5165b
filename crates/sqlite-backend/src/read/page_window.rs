use std::collections::BTreeMap;

use throughline_core::{
    Effect, ErrorKind, Message, PersistError, Result, Seq, ThreadId, messages::DamagedMessage,
};

/// The rows of a page: those that were found, without the additional one that shows that there are more.
pub(super) struct PageWindow<K> {
    /// By their sequence numbers or cursors.
    placed: BTreeMap<K, std::result::Result<Message, DamagedMessage>>,
    /// Damaged rows without a position.
    unplaced: Vec<DamagedMessage>,
    pub(super) has_more: bool,
}

/// The rows that belong to a page, and their order.
pub(super) struct Order<P, A> {
    /// Returns the key of a message.
    pub(super) key: P,
    /// Returns whether the request covers this key.
    pub(super) is_asked_for: A,
    pub(super) is_forward: bool,
    pub(super) limit: u32,
    /// Whether the result ends before its limit, because no more bytes fit.
    pub(super) is_truncated: bool,
}

impl<K: Ord> PageWindow<K> {
    /// # Errors
    /// `Corrupt` when undamaged rows are not at the keys of the index, or when no key shows where the list continues.
    pub(super) fn of(
        found: Vec<std::result::Result<Message, DamagedMessage>>,
        order: &Order<impl Fn(&ThreadId, Seq) -> K, impl Fn(&K) -> bool>,
    ) -> Result<Self> {
        let limit = order.limit as usize;
        let mut window = Self {
            placed: BTreeMap::new(),
            unplaced: Vec::new(),
            has_more: order.is_truncated || found.len() > limit,
        };
        let (healthy, damaged): (Vec<_>, Vec<_>) = found.into_iter().partition(std::result::Result::is_ok);
        for message in healthy.into_iter().flatten() {
            let key = (order.key)(&message.thread, message.seq);
            if !(order.is_asked_for)(&key) || window.placed.insert(key, Ok(message)).is_some() {
                return Err(disordered());
            }
        }
        for damaged in damaged.into_iter().filter_map(std::result::Result::err) {
            let key = damaged.seq.map(|seq| (order.key)(&damaged.thread, seq));
            // The key in a damaged row is used unless another row contradicts it.
            match key.filter(|key| (order.is_asked_for)(key) && !window.placed.contains_key(key)) {
                Some(key) => drop(window.placed.insert(key, Err(damaged))),
                None => window.unplaced.push(DamagedMessage { seq: None, ..damaged }),
            }
        }
        // The additional row is the furthest in the direction of the read. If it is damaged, this page does not report
        // it.
        while window.placed.len() > limit {
            if order.is_forward {
                window.placed.pop_last()
            } else {
                window.placed.pop_first()
            };
        }
        if window.has_more && window.placed.is_empty() {
            return Err(disordered());
        }
        Ok(window)
    }

    /// Returns the first and the last shown key.
    pub(super) fn ends(&self) -> Option<(&K, &K)> {
        Some((self.placed.first_key_value()?.0, self.placed.last_key_value()?.0))
    }

    /// Returns the shown messages and the damaged ones.
    pub(super) fn into_parts(self) -> (Vec<Message>, Vec<DamagedMessage>) {
        let (mut messages, mut damaged) = (Vec::with_capacity(self.placed.len()), Vec::new());
        for row in self.placed.into_values() {
            match row {
                Ok(message) => messages.push(message),
                Err(row) => damaged.push(row),
            }
        }
        damaged.extend(self.unplaced);
        (messages, damaged)
    }
}

pub(super) fn disordered() -> PersistError {
    // Each row may be undamaged, while the index leads to it from another key.
    PersistError::new(ErrorKind::Corrupt, "the order of the thread is damaged")
        .with_effect(Effect::NotApplied)
}

#[cfg(test)]
mod tests {
    use throughline_core::{NewMessage, TenantId, Timestamp, messages::Add};

    use super::*;

    type Row = std::result::Result<Message, DamagedMessage>;

    fn healthy(seq: u64) -> Row {
        let add = Add::new("t".parse().unwrap(), NewMessage::user("x"));
        Ok(add.to_message(&TenantId::default(), Seq::new(seq), Timestamp::from_micros(0)))
    }

    fn damaged(seq: Option<u64>) -> Row {
        Err(DamagedMessage { thread: "t".parse().unwrap(), seq: seq.map(Seq::new), id: None })
    }

    /// Returns the result for these rows of the sequence numbers 1 to 9: those of messages, those of damaged ones, and
    /// whether there are more.
    fn shown(rows: Vec<Row>, is_forward: bool, limit: u32) -> Option<(Vec<u64>, Vec<Option<u64>>, bool)> {
        let order = Order {
            key: |_: &ThreadId, seq: Seq| seq.get(),
            is_asked_for: |seq: &u64| (1..10).contains(seq),
            is_forward,
            limit,
            is_truncated: false,
        };
        let window = PageWindow::of(rows, &order)
            .map_err(|error| {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied));
            })
            .ok()?;
        let has_more = window.has_more;
        let (messages, damaged) = window.into_parts();
        let seqs = messages.iter().map(|message| message.seq.get()).collect();
        Some((seqs, damaged.iter().map(|damaged| damaged.seq.map(Seq::get)).collect(), has_more))
    }

    #[test]
    fn the_additional_row_is_the_furthest() {
        let rows = || vec![healthy(3), damaged(Some(2)), healthy(1)];
        assert_eq!(shown(rows(), true, 3), Some((vec![1, 3], vec![Some(2)], false)));
        assert_eq!(shown(rows(), true, 2), Some((vec![1], vec![Some(2)], true)));
        assert_eq!(shown(rows(), false, 2), Some((vec![3], vec![Some(2)], true)));
    }

    #[test]
    fn a_damaged_row_without_a_position_displaces_no_other() {
        let rows = |seq| vec![healthy(3), damaged(seq), healthy(1)];
        // Unknown, not requested, and that of another message.
        for seq in [None, Some(77), Some(3)] {
            assert_eq!(shown(rows(seq), true, 3), Some((vec![1, 3], vec![None], false)), "{seq:?}");
            assert_eq!(shown(rows(seq), true, 2), Some((vec![1, 3], vec![None], true)), "{seq:?}");
        }
    }

    #[test]
    fn rows_out_of_order_and_a_page_without_a_cursor_are_refused() {
        assert_eq!(shown(vec![damaged(None), damaged(None)], true, 1), None);
        assert_eq!(shown(vec![damaged(None)], true, 1), Some((vec![], vec![None], false)));
        assert_eq!(shown(vec![healthy(1), healthy(10)], true, 5), None);
        assert_eq!(shown(vec![healthy(1), healthy(1)], true, 5), None);
    }
}
