use std::collections::BTreeMap;

use throughline_core::{
    Effect, ErrorKind, Message, PersistError, Result, Seq, ThreadId, messages::DamagedMessage,
};

/// What a list shows of the rows that were found for it, one more than it was asked for where there are more.
pub(super) struct PageWindow<K> {
    /// By their places.
    placed: BTreeMap<K, std::result::Result<Message, DamagedMessage>>,
    /// What cannot be read so far as to say where it belongs.
    unplaced: Vec<DamagedMessage>,
    pub(super) has_more: bool,
}

/// Which rows belong to a list, and in which order.
pub(super) struct Order<P, A> {
    /// The place of a message.
    pub(super) key: P,
    /// Whether the list was asked for this place.
    pub(super) is_asked_for: A,
    pub(super) is_forward: bool,
    pub(super) limit: u32,
    /// Whether what was found ends before its limit, because it has no room for more bytes.
    pub(super) is_truncated: bool,
}

impl<K: Ord> PageWindow<K> {
    /// # Errors
    /// `Corrupt` when rows that are as they were written are not where the index leads, and where no place says how the list
    /// goes on.
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
            // What a damaged row says of its place is believed where nothing speaks against it.
            match key.filter(|key| (order.is_asked_for)(key) && !window.placed.contains_key(key)) {
                Some(key) => drop(window.placed.insert(key, Err(damaged))),
                None => window.unplaced.push(DamagedMessage { seq: None, ..damaged }),
            }
        }
        // The one row too many is the furthest in the direction of the read. If it is damaged, that is not about this list.
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

    /// The first and the last place that is shown.
    pub(super) fn ends(&self) -> Option<(&K, &K)> {
        Some((self.placed.first_key_value()?.0, self.placed.last_key_value()?.0))
    }

    /// What is shown, and what cannot be.
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
    // Each row may be as it was written, and the index leads to it from another place.
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

    /// What is shown of these rows of the places 1 to 9: those of messages, those of damaged ones, whether there are more.
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
    fn the_row_too_many_is_the_furthest() {
        let rows = || vec![healthy(3), damaged(Some(2)), healthy(1)];
        assert_eq!(shown(rows(), true, 3), Some((vec![1, 3], vec![Some(2)], false)));
        assert_eq!(shown(rows(), true, 2), Some((vec![1], vec![Some(2)], true)));
        assert_eq!(shown(rows(), false, 2), Some((vec![3], vec![Some(2)], true)));
    }

    #[test]
    fn what_has_no_place_takes_none_from_others() {
        let rows = |seq| vec![healthy(3), damaged(seq), healthy(1)];
        // Unknown, not asked for, and that of another message.
        for seq in [None, Some(77), Some(3)] {
            assert_eq!(shown(rows(seq), true, 3), Some((vec![1, 3], vec![None], false)), "{seq:?}");
            assert_eq!(shown(rows(seq), true, 2), Some((vec![1, 3], vec![None], true)), "{seq:?}");
        }
    }

    #[test]
    fn what_cannot_go_on_and_what_is_out_of_order_is_refused() {
        assert_eq!(shown(vec![damaged(None), damaged(None)], true, 1), None);
        assert_eq!(shown(vec![damaged(None)], true, 1), Some((vec![], vec![None], false)));
        assert_eq!(shown(vec![healthy(1), healthy(10)], true, 5), None);
        assert_eq!(shown(vec![healthy(1), healthy(1)], true, 5), None);
    }
}
