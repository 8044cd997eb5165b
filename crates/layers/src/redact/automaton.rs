//! Matches all patterns with one automaton.
//!
//! The automaton is a lazy DFA that searches anchored only: it follows a match that begins at one position. The search
//! tries the positions at which two bytes can begin a match. An unanchored DFA needs a state for each set of partial
//! matches. Random Base64 creates a new set at each byte, so such a DFA would build states without end, for this text
//! and for each later one. The states of an anchored DFA depend on the patterns, not on the number of texts.

use regex_automata::{
    Anchored, Input,
    hybrid::{
        LazyStateID,
        dfa::{self, DFA},
    },
    nfa::thompson,
    util::{alphabet::Unit, pool::Pool, syntax},
};

/// The most bytes of states for each concurrent search, unless the largest states of the patterns need more.
/// [`Rules::secrets`](super::Rules::secrets) needs an eighth of it for ordinary text, and a third for adversarial text.
/// A search that needs more drops its states, rebuilds those that it needs, and continues.
pub(super) const MOST_MEMORY: usize = 4 * 1024 * 1024;

const NEVER_FAILS: &str = "a lazy DFA without quit bytes and without a limit of cache clears does not fail";

type Caches = Pool<
    dfa::Cache,
    Box<dyn Fn() -> dfa::Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>,
>;

/// A set of patterns. If two match at one position, the first one wins.
pub(super) struct Automaton {
    dfa: DFA,
    /// One cache for each concurrent search.
    caches: Caches,
    pairs: Box<Pairs>,
}

/// A match of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    /// The index of the pattern.
    pub(super) pattern: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

pub(super) fn bytewise() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

impl Automaton {
    /// Compiles the patterns; `None` if they are invalid or too large. No pattern may match an empty text.
    pub(super) fn new(patterns: &[&str]) -> Option<Self> {
        let dfa = DFA::builder()
            .syntax(bytewise())
            .thompson(thompson::Config::new().utf8(false))
            .configure(DFA::config().cache_capacity(MOST_MEMORY).skip_cache_capacity_check(true))
            .build_many(patterns)
            .ok()?;
        let mut cache = dfa.create_cache();
        let pairs = Box::new(Pairs::new(&dfa, &mut cache));
        // A search starts with a copy of the states that `Pairs` needed, because building them costs more.
        Some(Self { dfa, caches: Pool::new(Box::new(move || cache.clone())), pairs })
    }

    /// Returns the first match in `text[from..]`, as if the text ended there.
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

    /// Returns the first position at or after `from` where more text could create or change a match.
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
            // A match state reports the match that ended before its byte.
            if state.is_match() {
                let pattern = self.dfa.match_pattern(cache, state, 0).as_usize();
                found = Some(Match { pattern, start, end: at });
            } else if state.is_dead() {
                return found;
            }
        }
        let last = self.dfa.next_eoi_state(cache, state).expect(NEVER_FAILS);
        if last.is_match() {
            let pattern = self.dfa.match_pattern(cache, last, 0).as_usize();
            found = Some(Match { pattern, start, end: text.len() });
        }
        found
    }

    /// Returns true if a match that begins at `start` could continue after the end of the text.
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
    dfa.start_state_forward(cache, input).expect(NEVER_FAILS)
}

fn next(dfa: &DFA, cache: &mut dfa::Cache, state: LazyStateID, byte: u8) -> LazyStateID {
    dfa.next_state(cache, state, byte).expect(NEVER_FAILS)
}

/// The pairs of bytes that can begin a match: a set of second bytes for each first byte. One half is for a first byte
/// after a non-word byte, the other half for one after a word byte.
struct Pairs([[u64; 4]; 512]);

impl Pairs {
    fn new(dfa: &DFA, cache: &mut dfa::Cache) -> Self {
        let mut pairs = Self([[0; 4]; 512]);
        let classes = dfa.byte_classes();
        // The contexts that a pattern can see before it: a letter, nothing, a line break, or another character.
        for (before, is_word) in [("a", true), ("", false), ("\n", false), ("\r", false), (" ", false)] {
            let input = Input::new(before).range(before.len()..).anchored(Anchored::Yes);
            for first in classes.representatives(..).filter_map(Unit::as_u8) {
                let mut seconds = [0; 4];
                for second in 0..=u8::MAX {
                    let begun = begin(dfa, cache, &input);
                    let begun = next(dfa, cache, begun, first);
                    // No match begins with this first byte.
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

    /// Returns the first position at or after `from` at which a match can begin. The last byte has no second one, so it
    /// is always a candidate.
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

#[cfg(test)]
impl Automaton {
    /// Returns the bytes of the states of this thread's searches. It panics if states were dropped.
    pub(super) fn state_memory(&self) -> usize {
        let cache = self.caches.get();
        assert_eq!(cache.clear_count(), 0, "no state was dropped");
        cache.memory_usage()
    }
}

#[cfg(test)]
mod tests {
    use regex_automata::meta::Regex;

    use super::*;

    /// The patterns depend on the bytes before and after a match, overlap, and have one or many bytes.
    const PATTERNS: [&str; 6] =
        [r"\bab[a-c]{2,5}", r"(?m:^c\b)", r"_a|\B_", r"a{1,3}$", r"c(?:bb?|b{2}a)", r"b(?-u:\xff)"];

    fn random(random: &mut fastrand::Rng, of: &[u8], length: usize) -> Vec<u8> {
        (0..length).map(|_| of[random.usize(..of.len())]).collect()
    }

    #[test]
    fn the_first_match_is_the_one_that_a_search_for_all_of_them_finds() {
        let automaton = Automaton::new(&PATTERNS).unwrap();
        let regex = Regex::builder()
            .syntax(bytewise())
            .configure(Regex::config().utf8_empty(false))
            .build_many(&PATTERNS)
            .unwrap();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut matched = [0; PATTERNS.len()];
        for length in (0..24).cycle().take(20_000) {
            let text = random(&mut rng, b"aabbcc_ \n\r\xff", length);
            for from in 0..=text.len() {
                let expected = regex.find(Input::new(&text).range(from..)).map(|found| {
                    let pattern = found.pattern().as_usize();
                    Match { pattern, start: found.start(), end: found.end() }
                });
                let found = automaton.find(&text, from);
                assert_eq!(found, expected, "{:?} from {from}", text.escape_ascii().to_string());
                found.into_iter().for_each(|found| matched[found.pattern] += 1);
            }
        }
        assert!(matched.iter().all(|count| *count > 100), "{matched:?}");
    }

    #[test]
    fn a_text_grows_from_the_first_position_whose_match_more_text_decides() {
        let automaton = Automaton::new(&["key=[0-9]{2,4}", r"\bme"]).unwrap();
        for (text, from) in [
            ("my key", Some(3)),
            ("my ke", Some(3)),
            ("my key=12", Some(3)),
            // A match is known one byte after its end.
            ("my key=1234,", Some(3)),
            ("my key=1234, ", None),
            ("my key=x", None),
            ("a m", Some(2)),
            ("am", None),
            ("", None),
        ] {
            assert_eq!(automaton.grows_from(text.as_bytes(), 0), from, "{text}");
        }
    }
}
