//! Matches all patterns with one automaton.
//!
//! The automaton is a lazy DFA that searches anchored only: it follows a match that begins at one position. The search
//! tries the positions at which the [first bytes](Starts) of a match stand. An unanchored DFA needs a state for each set of partial
//! matches. Random Base64 creates a new set at each byte, so such a DFA would build states without end, for this text
//! and for each later one. The states of an anchored DFA depend on the patterns, not on the number of texts.

use regex_automata::{
    Anchored, Input,
    hybrid::{
        LazyStateID,
        dfa::{self, DFA},
    },
    nfa::thompson,
    util::{pool::Pool, syntax},
};

use super::starts::Starts;

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
    starts: Starts,
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
        let starts = Starts::new(dfa.get_nfa());
        let cache = dfa.create_cache();
        Some(Self { dfa, caches: Pool::new(Box::new(move || cache.clone())), starts })
    }

    /// Returns the first match in `text[from..]`, as if the text ended there.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Match> {
        let mut start = self.starts.next(text, from)?;
        let mut cache = self.caches.get();
        loop {
            let found = self.match_at(&mut cache, text, start);
            if found.is_some() {
                return found;
            }
            start = self.starts.next(text, start + 1)?;
        }
    }

    /// Returns the first position at or after `from` where more text could create or change a match.
    pub(super) fn grows_from(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut start = self.starts.next(text, from)?;
        let mut cache = self.caches.get();
        while !self.grows_at(&mut cache, text, start) {
            start = self.starts.next(text, start + 1)?;
        }
        Some(start)
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

#[cfg(test)]
impl Automaton {
    /// Returns the number of positions that a search of the text tries. It panics if the search skips a position at which
    /// a match begins, or could begin if the text continued.
    pub(super) fn tried_positions(&self, text: &[u8]) -> usize {
        let mut cache = self.caches.get();
        let tried = |start: &usize| self.starts.next(text, *start) == Some(*start);
        for start in (0..text.len()).filter(|start| !tried(start)) {
            let begins =
                self.match_at(&mut cache, text, start).is_some() || self.grows_at(&mut cache, text, start);
            assert!(!begins, "position {start} of {:?} is skipped", text.escape_ascii().to_string());
        }
        (0..text.len()).filter(tried).count()
    }

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
