//! Finds the positions of a text at which a match of some patterns can begin.
//!
//! A table lists for each byte the groups of patterns that allow it at each of the first positions of a match. The search
//! intersects the lists of neighboring bytes: it reads each byte once, and tests the further positions of a match only
//! where the first four allow one. The lists are wider than the patterns, so the search may find positions without a
//! match, and it never skips one with a match.

use regex_automata::{
    PatternID,
    nfa::thompson::{NFA, State},
    util::{look::Look, primitives::StateID},
};

/// The number of bytes of a match that the table describes.
const DEPTH: usize = 12;
/// The number of these bytes that are tested at every position.
const SCANNED: usize = 4;

/// A set of groups of patterns.
type Groups = u64;

/// The first group of the patterns that begin with one of many bytes.
const WIDE: u32 = 56;
/// The least number of first bytes of such a pattern: more than a few words in any case have.
const MANY: usize = 18;

/// The positions at which a match of some patterns can begin.
pub(super) struct Starts {
    /// The groups that allow a byte directly before a match, and at each of the first positions of a match.
    rows: Box<[[Groups; 1 + SCANNED]; 256]>,
    /// The groups that allow a byte at each of the further positions.
    further: Box<[[Groups; 256]; DEPTH - SCANNED]>,
}

/// The states of the patterns that the bytes of a match lead to, each once.
struct States<'a> {
    nfa: &'a NFA,
    states: Vec<StateID>,
    /// The number of the set that last contained a state.
    seen: Vec<u32>,
    number: u32,
    has_match: bool,
}

impl<'a> States<'a> {
    fn new(nfa: &'a NFA) -> Self {
        Self { nfa, states: Vec::new(), seen: vec![0; nfa.states().len()], number: 0, has_match: false }
    }

    fn clear(&mut self) {
        self.states.clear();
        self.has_match = false;
        self.number += 1;
    }

    /// Adds a state, and all states that it leads to without a byte. `holds` decides the conditions on neighboring bytes.
    fn add(&mut self, state: StateID, holds: impl Fn(Look) -> bool) {
        let mut open = vec![state];
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut self.seen[id.as_usize()], self.number) == self.number {
                continue;
            }
            match self.nfa.state(id) {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => self.states.push(id),
                State::Look { look, next } => open.extend(holds(*look).then_some(*next)),
                State::Union { alternates } => open.extend(alternates.iter().rev()),
                State::BinaryUnion { alt1, alt2 } => open.extend([*alt2, *alt1]),
                State::Capture { next, .. } => open.push(*next),
                State::Match { .. } => self.has_match = true,
                State::Fail => {}
            }
        }
    }

    /// Returns the states that `byte` leads to.
    fn after(&self, byte: u8) -> impl Iterator<Item = StateID> + '_ {
        self.states.iter().filter_map(move |id| match self.nfa.state(*id) {
            State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
            State::Sparse(sparse) => sparse.matches_byte(byte),
            State::Dense(dense) => dense.matches_byte(byte),
            _ => None,
        })
    }

    /// Calls `put` with each range of bytes that continues a match, and the state that it leads to.
    fn for_each_range(&self, mut put: impl FnMut(std::ops::RangeInclusive<u8>, StateID)) {
        for id in &self.states {
            match self.nfa.state(*id) {
                State::ByteRange { trans } => put(trans.start..=trans.end, trans.next),
                State::Sparse(sparse) => {
                    sparse.transitions.iter().for_each(|trans| put(trans.start..=trans.end, trans.next));
                }
                State::Dense(dense) => {
                    (0..=u8::MAX).for_each(|byte| {
                        if let Some(next) = dense.matches_byte(byte) {
                            put(byte..=byte, next);
                        }
                    });
                }
                _ => {}
            }
        }
    }
}

impl Starts {
    /// Returns the positions at which a match of a pattern of `nfa` can begin. No pattern may match an empty text.
    pub(super) fn new(nfa: &NFA) -> Self {
        let mut table =
            Self { rows: Box::new([[0; 1 + SCANNED]; 256]), further: Box::new([[0; 256]; DEPTH - SCANNED]) };
        let mut states = States::new(nfa);
        let (mut wide, mut kinds) = (0, Vec::new());
        for pattern in (0..nfa.pattern_len()).map(PatternID::must) {
            let Some(start) = nfa.start_pattern(pattern) else { continue };
            // For each first byte, the states behind it, and whether a match can begin with it after a byte of a word and
            // after another byte.
            let mut begun: Vec<(Vec<StateID>, [bool; 2])> = vec![Default::default(); 256];
            for (before_word, first_word) in [(false, false), (false, true), (true, false), (true, true)] {
                states.clear();
                states.add(start, |look| match look {
                    Look::WordAscii => before_word != first_word,
                    Look::WordAsciiNegate => before_word == first_word,
                    _ => true,
                });
                for byte in (0..=u8::MAX).filter(|byte| is_word(*byte) == first_word) {
                    let (behind, after) = &mut begun[usize::from(byte)];
                    let found = behind.len();
                    behind.extend(states.after(byte));
                    after[usize::from(before_word)] |= behind.len() > found;
                }
            }
            let firsts = begun.iter().filter(|(behind, _)| !behind.is_empty()).count();
            let is_wide = firsts >= MANY;
            for (byte, (behind, after)) in (0..=u8::MAX).zip(&begun) {
                if behind.is_empty() {
                    continue;
                }
                let group = if is_wide {
                    WIDE + wide % (Groups::BITS - WIDE)
                } else {
                    narrow(&mut kinds, (kind(byte), after[1]))
                };
                table.add(1 << group, (byte, behind, *after), &mut states);
            }
            wide += u32::from(is_wide);
        }
        table
    }

    /// Adds the matches of a group that begin with the byte `first`, whose states behind it are `behind`. `after` is whether
    /// they can begin after a byte that is not of a word, and after one of a word.
    fn add(
        &mut self,
        group: Groups,
        (first, behind, after): (u8, &[StateID], [bool; 2]),
        states: &mut States<'_>,
    ) {
        for byte in (0..=u8::MAX).filter(|byte| after[usize::from(is_word(*byte))]) {
            self.rows[usize::from(byte)][0] |= group;
        }
        *self.groups_at(0, first) |= group;
        states.clear();
        // A condition behind the first byte may hold.
        behind.iter().for_each(|state| states.add(*state, |_| true));
        for depth in 1..DEPTH {
            if states.has_match {
                // Any text may follow a match.
                for depth in depth..DEPTH {
                    (0..=u8::MAX).for_each(|byte| *self.groups_at(depth, byte) |= group);
                }
                return;
            }
            let mut next = Vec::new();
            states.for_each_range(|bytes, state| {
                bytes.for_each(|byte| *self.groups_at(depth, byte) |= group);
                next.push(state);
            });
            states.clear();
            next.into_iter().for_each(|state| states.add(state, |_| true));
        }
    }

    /// Returns the groups that allow a byte at this position of a match.
    fn groups_at(&mut self, depth: usize, byte: u8) -> &mut Groups {
        match depth.checked_sub(SCANNED) {
            None => &mut self.rows[usize::from(byte)][1 + depth],
            Some(further) => &mut self.further[further][usize::from(byte)],
        }
    }

    /// Returns the first position at or after `from` at which a match can begin.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let before = from.checked_sub(1).map_or(b' ', |before| text[before]);
        // The groups that allow the bytes before and at the last positions.
        let (mut before, mut one, mut two, mut three) = (self.rows[usize::from(before)][0], 0, 0, 0);
        let mut at = from;
        while let Some(byte) = text.get(at) {
            let row = &self.rows[usize::from(*byte)];
            let four = three & row[4];
            (three, two, one, before) = (two & row[3], one & row[2], before & row[1], row[0]);
            at += 1;
            if four != 0 && self.goes_on(four, text, at) {
                return Some(at - SCANNED);
            }
        }
        // Text may follow that decides these.
        let behind = [(three, 3), (two, 2), (one, 1)];
        behind.into_iter().find(|(groups, _)| *groups != 0).map(|(_, length)| text.len() - length)
    }

    /// Returns whether the text from `at` on, after the scanned bytes of a match, can continue it.
    #[inline]
    fn goes_on(&self, mut groups: Groups, text: &[u8], at: usize) -> bool {
        for (further, allowed) in self.further.iter().enumerate() {
            let Some(byte) = text.get(at + further) else { return true };
            groups &= allowed[usize::from(*byte)];
            if groups == 0 {
                return false;
            }
        }
        true
    }
}

/// Returns the group of the patterns that begin with a byte of this kind, and also inside of a word or not. Each such kind
/// has a group of its own, as long as there are any.
fn narrow(kinds: &mut Vec<(u8, bool)>, kind: (u8, bool)) -> u32 {
    let known = kinds.iter().position(|other| *other == kind);
    let group = known.unwrap_or_else(|| {
        kinds.push(kind);
        kinds.len() - 1
    });
    u32::try_from(group).unwrap_or(0) % WIDE
}

/// Returns the first byte of its kind: of a letter in both cases, of the digits, of the spaces, and of the characters that
/// may stand before a word.
const fn kind(first: u8) -> u8 {
    match first {
        b'0'..=b'9' => b'0',
        b' ' | b'\t'..=b'\r' => b' ',
        b'_' | b'\\' | b'%' | b'\x1b' => b'_',
        other => other.to_ascii_lowercase(),
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
