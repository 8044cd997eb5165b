//! Patterns in one automaton, and where in a text they match.
//!
//! The automaton is a lazy DFA that is only used anchored: it follows what begins at one position, and the search tries those
//! positions at which two bytes can begin a match. A DFA that searches for a match anywhere needs a state for each set of matches that
//! are under way. Random Base64 makes another such set at each byte, so such a DFA builds states without end, for this text and for
//! each one after it. The states of an anchored DFA depend on the patterns, not on how many texts it has read.

use regex_automata::{
    Anchored, Input,
    hybrid::{
        LazyStateID,
        dfa::{self, DFA},
    },
    nfa::thompson,
    util::{pool::Pool, syntax},
};

/// The states of one search take at most this many bytes, unless the patterns need more for their largest ones. The rules of
/// [`Rules::secrets`](super::Rules::secrets) need a part of it; a search that needs more drops its states and goes on.
const MOST_MEMORY: usize = 8 * 1024 * 1024;

const NEVER_GIVES_UP: &str = "a lazy DFA without quit bytes and without a limit of cache clears does not fail";

type Caches = Pool<
    dfa::Cache,
    Box<dyn Fn() -> dfa::Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>,
>;

/// A set of patterns. Of two that match at one position the first one counts.
pub(super) struct Automaton {
    dfa: DFA,
    /// One cache for each search that runs at the same time.
    caches: Caches,
    pairs: Box<Pairs>,
}

/// A match of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    /// Its number in the order of the patterns.
    pub(super) pattern: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

pub(super) fn bytewise() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

impl Automaton {
    /// Nothing where the patterns are invalid or too large. None of them may match a text of no length.
    pub(super) fn new(patterns: &[&str]) -> Option<Self> {
        let dfa = DFA::builder()
            .syntax(bytewise())
            .thompson(thompson::Config::new().utf8(false))
            .configure(DFA::config().cache_capacity(MOST_MEMORY).skip_cache_capacity_check(true))
            .build_many(patterns)
            .ok()?;
        let mut cache = dfa.create_cache();
        let pairs = Box::new(Pairs::new(&dfa, &mut cache));
        // A search begins with the states that `Pairs` needed: to build these costs more than to copy them.
        Some(Self { dfa, caches: Pool::new(Box::new(move || cache.clone())), pairs })
    }

    /// The first match in `text[from..]`, as if the text ended there.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Match> {
        let mut cache = self.caches.get();
        let mut at = from;
        while let Some(start) = self.pairs.next(text, at) {
            let found = self.match_at(&mut cache, text, start);
            if found.is_some() {
                return found;
            }
            at = start + 1;
        }
        None
    }

    /// The first position at or after `from` where a match begins that more text could make, or make another.
    pub(super) fn grows_from(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut cache = self.caches.get();
        let mut at = from;
        while let Some(start) = self.pairs.next(text, at) {
            if self.grows_at(&mut cache, text, start) {
                return Some(start);
            }
            at = start + 1;
        }
        None
    }

    fn match_at(&self, cache: &mut dfa::Cache, text: &[u8], start: usize) -> Option<Match> {
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        let mut state = begin(&self.dfa, cache, &input);
        let mut found = None;
        for (at, byte) in text.iter().enumerate().skip(start) {
            state = next(&self.dfa, cache, state, *byte);
            // A state tells of the match that ended before its byte.
            if state.is_match() {
                let pattern = self.dfa.match_pattern(cache, state, 0).as_usize();
                found = Some(Match { pattern, start, end: at });
            } else if state.is_dead() {
                return found;
            }
        }
        let last = self.dfa.next_eoi_state(cache, state).expect(NEVER_GIVES_UP);
        if last.is_match() {
            let pattern = self.dfa.match_pattern(cache, last, 0).as_usize();
            found = Some(Match { pattern, start, end: text.len() });
        }
        found
    }

    /// Whether what begins at `start` goes on behind the text.
    fn grows_at(&self, cache: &mut dfa::Cache, text: &[u8], start: usize) -> bool {
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        let mut state = begin(&self.dfa, cache, &input);
        text[start..].iter().all(|byte| {
            state = next(&self.dfa, cache, state, *byte);
            !state.is_dead()
        })
    }
}

fn begin(dfa: &DFA, cache: &mut dfa::Cache, input: &Input<'_>) -> LazyStateID {
    dfa.start_state_forward(cache, input).expect(NEVER_GIVES_UP)
}

fn next(dfa: &DFA, cache: &mut dfa::Cache, state: LazyStateID, byte: u8) -> LazyStateID {
    dfa.next_state(cache, state, byte).expect(NEVER_GIVES_UP)
}

/// The pairs of bytes that can begin a match: a set of second bytes for each first one, behind a byte that is not part of a word and,
/// in the other half, behind one that is.
struct Pairs([[u64; 4]; 512]);

impl Pairs {
    fn new(dfa: &DFA, cache: &mut dfa::Cache) -> Self {
        let mut pairs = Self([[0; 4]; 512]);
        let classes = dfa.byte_classes();
        // What a pattern can see before it: a letter, nothing, a line, or another character.
        for (before, is_word) in [("a", true), ("", false), ("\n", false), ("\r", false), (" ", false)] {
            let input = Input::new(before).range(before.len()..).anchored(Anchored::Yes);
            for first in classes.representatives(..).filter_map(|class| class.as_u8()) {
                let mut seconds = [0; 4];
                for second in 0..=u8::MAX {
                    let begun = begin(dfa, cache, &input);
                    let begun = next(dfa, cache, begun, first);
                    // Nothing begins with the first byte.
                    if begun.is_dead() {
                        break;
                    }
                    if !next(dfa, cache, begun, second).is_dead() {
                        seconds[usize::from(second >> 6)] |= 1 << (second & 63);
                    }
                }
                for byte in (0..=u8::MAX).filter(|byte| classes.get(*byte) == classes.get(first)) {
                    let known = &mut pairs.0[row(is_word, byte)];
                    known.iter_mut().zip(seconds).for_each(|(known, more)| *known |= more);
                }
            }
        }
        pairs
    }

    /// The first position at or after `from` at which a match can begin. The last byte has no second one, and is always one.
    fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut is_word = from.checked_sub(1).is_some_and(|before| is_word(text[before]));
        for (more, pair) in text.get(from..)?.windows(2).enumerate() {
            let seconds = self.0[row(is_word, pair[0])][usize::from(pair[1] >> 6)];
            if seconds >> (pair[1] & 63) & 1 == 1 {
                return Some(from + more);
            }
            is_word = self::is_word(pair[0]);
        }
        text.len().checked_sub(1).filter(|last| *last >= from)
    }
}

fn row(is_word: bool, first: u8) -> usize {
    usize::from(is_word) << 8 | usize::from(first)
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
