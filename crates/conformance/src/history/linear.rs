//! The search for an order, after Wing and Gong: exponential in the worst case, and histories here are short.

use std::collections::HashSet;

use super::spec::{Answer, Call, State};

/// One call of a history.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) call: Call,
    /// Nothing where the effect is unknown: it may take effect at any time after it was made, or never.
    pub(super) answer: Option<Answer>,
    pub(super) invoked: usize,
    pub(super) returned: Option<usize>,
}

/// Whether the calls could have been made one by one, each at a moment between its beginning and its end.
pub(super) fn is_linearizable(events: &[Event]) -> bool {
    assert!(events.len() <= 64, "a history of {} calls is too long", events.len());
    Search { events, dead_ends: HashSet::new() }.from(0, &State::default())
}

struct Search<'a> {
    events: &'a [Event],
    dead_ends: HashSet<(u64, State)>,
}

impl Search<'_> {
    /// `done` has a bit for each call that is in the order already.
    fn from(&mut self, done: u64, state: &State) -> bool {
        let events = self.events;
        let left = || events.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        if left().all(|(_, event)| event.answer.is_none()) {
            return true;
        }
        if !self.dead_ends.insert((done, state.clone())) {
            return false;
        }
        // The next one must have begun before any other has ended.
        let first_end = left().filter_map(|(_, event)| event.returned).min().unwrap_or(usize::MAX);
        left().filter(|(_, event)| event.invoked < first_end).any(|(at, event)| {
            let (next, answer) = state.apply(&event.call);
            event.answer.as_ref().is_none_or(|given| *given == answer) && self.from(done | (1 << at), &next)
        })
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::ErrorKind;

    use super::*;

    fn event(call: Call, answer: Option<Answer>, invoked: usize, returned: usize) -> Event {
        let returned = answer.as_ref().map(|_| returned);
        Event { call, answer, invoked, returned }
    }

    fn add(text: &str, answer: Option<Answer>, invoked: usize, returned: usize) -> Event {
        event(Call::Add(text.to_owned()), answer, invoked, returned)
    }

    const DONE: Option<Answer> = Some(Answer::Done(1));
    const EXISTS: Option<Answer> = Some(Answer::Refused(ErrorKind::AlreadyExists));

    fn read(text: Option<&str>) -> Option<Answer> {
        let content = |text| (1, throughline_core::Content::text(text).as_json().to_owned());
        Some(Answer::Read(text.map(content)))
    }

    #[test]
    fn one_of_two_adds_wins() {
        assert!(is_linearizable(&[add("a", DONE, 0, 2), add("b", EXISTS, 1, 3)]));
        assert!(is_linearizable(&[add("a", EXISTS, 0, 2), add("b", DONE, 1, 3)]));
        assert!(!is_linearizable(&[add("a", DONE, 0, 2), add("b", DONE, 1, 3)]));
        // One after the other there is only one order.
        assert!(!is_linearizable(&[add("a", EXISTS, 0, 1), add("b", DONE, 2, 3)]));
    }

    #[test]
    fn read_sees_every_write_answered_before_it_began() {
        let get = |answer, invoked, returned| event(Call::Get, answer, invoked, returned);
        assert!(!is_linearizable(&[add("a", DONE, 0, 1), get(read(None), 2, 3)]));
        assert!(is_linearizable(&[add("a", DONE, 0, 2), get(read(None), 1, 3)]));
        assert!(is_linearizable(&[add("a", DONE, 0, 2), get(read(Some("a")), 1, 3)]));
    }

    #[test]
    fn call_of_unknown_effect_is_allowed_either_way() {
        let get = |answer, invoked, returned| event(Call::Get, answer, invoked, returned);
        assert!(is_linearizable(&[add("a", None, 0, 0), get(read(None), 1, 2)]));
        assert!(is_linearizable(&[add("a", None, 0, 0), get(read(Some("a")), 1, 2)]));
        assert!(is_linearizable(&[add("a", None, 0, 0), get(read(None), 1, 2), get(read(Some("a")), 3, 4)]));
        // But it cannot be undone.
        assert!(!is_linearizable(&[add("a", None, 0, 0), get(read(Some("a")), 1, 2), get(read(None), 3, 4)]));
        assert!(!is_linearizable(&[add("a", None, 0, 0), get(read(Some("b")), 1, 2)]));
    }
}
