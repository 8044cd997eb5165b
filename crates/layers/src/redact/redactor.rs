use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use regex_automata::{Anchored, Input, meta::Regex, util::syntax};

use super::{
    Redactions, Rules,
    automaton::{Automaton, bytewise},
    encoded::{self, ENCODINGS, Encoded, Encoding},
    marker::{self, Markers},
    rule::{After, Check, Class, Rule},
    rules::{Field, InvalidRule},
    scan::{Mode, Scan},
    value::{self, Reads},
};

/// Compiled rules that find secrets in a text, in time linear in its length. A clone shares them.
///
/// ```
/// use throughline_layers::redact::Redactor;
///
/// let key = format!("{}{}", "ghp_", "0123456789".repeat(4));
/// let (text, found) = Redactor::secrets().redact(&format!("use {key}, please")).expect("it holds one");
/// assert!(text.starts_with("use [redacted:github-token#") && text.ends_with("], please"));
/// assert_eq!(found.total(), 1);
/// assert!(Redactor::secrets().redact("no secret").is_none());
/// ```
#[derive(Clone)]
pub struct Redactor(pub(super) Arc<Compiled>);

pub(super) struct Compiled {
    /// Its first pattern matches markers; the others are those of `rules` in their order.
    automaton: Automaton,
    /// Finds encoded text.
    pub(super) encoded: Encoded,
    /// The lines that end a private key.
    block_end: Regex,
    pub(super) rules: Vec<Compact>,
    pub(super) fields: Vec<Field>,
    pub(super) markers: Markers,
    /// The longest match, in bytes.
    pub(super) longest: usize,
    pub(super) resumed: usize,
    pub(super) field: usize,
    /// The first of the rules for the rest of encoded secrets, in the order of [`ENCODINGS`].
    encodings: usize,
    /// Whether fields are hidden by their names.
    pub(super) names: bool,
}

/// The part of a rule that is needed after it matched.
pub(super) struct Compact {
    pub(super) name: Arc<str>,
    pub(super) marker: String,
    pub(super) after: After,
    pub(super) check: Option<Check>,
    pub(super) reads: Option<Reads>,
    /// Finds the secret in a match.
    group: Option<Group>,
}

impl Compact {
    /// Returns true if the match alone is a secret.
    pub(super) const fn is_format(&self) -> bool {
        self.reads.is_none() && self.check.is_none()
    }
}

/// The first group of a pattern.
struct Group {
    pattern: Cow<'static, str>,
    /// Compiled at the first match, because most rules never match.
    regex: OnceLock<Option<Regex>>,
}

impl Group {
    /// Returns the range of the first participating group in the match that begins at `start`.
    fn find(&self, text: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
        let config = Regex::config().utf8_empty(false).hybrid(false);
        let build = || Regex::builder().syntax(bytewise()).configure(config).build(&self.pattern).ok();
        let regex = self.regex.get_or_init(build).as_ref()?;
        let mut captures = regex.create_captures();
        // The whole text, and not only the match, because the following text decides the match.
        regex.search_captures(&Input::new(text).range(start..).anchored(Anchored::Yes), &mut captures);
        let group = captures.iter().skip(1).flatten().next()?;
        debug_assert!(captures.get_match().is_some_and(|all| all.end() == end), "the same match");
        Some((group.start, group.end))
    }
}

/// A match, with the secret in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// None for a text in the format of a marker.
    pub(super) rule: Option<usize>,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) secret: (usize, usize),
}

impl Found {
    /// Returns the match in a text with `by` more bytes before it.
    pub(super) const fn moved(self, by: usize) -> Self {
        let (start, end) = self.secret;
        Self { rule: self.rule, start: self.start + by, end: self.end + by, secret: (start + by, end + by) }
    }
}

/// The longest line that ends a private key.
pub(super) const BLOCK_END: usize = 96;
const BLOCK_END_PATTERN: &str = r"-----END (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----";

impl Redactor {
    /// Returns the rules of [`Rules::secrets`], which are compiled once for each process.
    ///
    /// # Panics
    /// Never panics, because a test compiles the rules.
    #[must_use]
    pub fn secrets() -> Self {
        static SECRETS: std::sync::LazyLock<Redactor> =
            std::sync::LazyLock::new(|| Rules::secrets().compile().expect("tested to compile"));
        SECRETS.clone()
    }

    pub(super) fn compile(
        rules: &[Rule],
        fields: Vec<Field>,
        names: bool,
        markers: Markers,
    ) -> Result<Self, InvalidRule> {
        let mut longest = BLOCK_END.max(encoded::LONGEST);
        for rule in rules {
            longest = longest.max(longest_match(rule)?);
        }
        let patterns: Vec<&str> =
            std::iter::once(marker::PATTERN).chain(rules.iter().map(|rule| &*rule.pattern)).collect();
        let fails = |()| InvalidRule::new("all together", "the patterns are too large");
        let automaton = Automaton::new(&patterns).ok_or_else(|| fails(()))?;
        let block_end = Regex::builder()
            .syntax(bytewise())
            .configure(Regex::config().utf8_empty(false))
            .build(BLOCK_END_PATTERN)
            .map_err(|_| InvalidRule::new("private-key", "is no pattern"))?;
        let compact = |name: &str, after| Compact {
            name: name.into(),
            marker: markers.of(name),
            after,
            check: None,
            reads: None,
            group: None,
        };
        let mut compacts: Vec<Compact> = rules
            .iter()
            .map(|rule| Compact {
                check: rule.check.clone(),
                reads: rule.reads,
                group: Some(Group { pattern: rule.pattern.clone(), regex: OnceLock::new() }),
                ..compact(&rule.name, rule.after)
            })
            .collect();
        let resumed = compacts.len();
        compacts.push(compact(Rules::RESUMED, After::Class(super::scan::token())));
        compacts.push(compact(Rules::FIELD, After::Nothing));
        let encodings = compacts.len();
        for encoding in ENCODINGS {
            compacts.push(compact(encoding.name(), After::Class(encoding.rest())));
        }
        Ok(Self(Arc::new(Compiled {
            automaton,
            encoded: Encoded::new().ok_or_else(|| fails(()))?,
            block_end,
            rules: compacts,
            fields,
            markers,
            // A match is certain one byte after its end.
            longest: longest + 1,
            resumed,
            field: resumed + 1,
            encodings,
            names,
        })))
    }

    /// Hides the secrets of a text as the layer does. Returns the redacted text and the counts; `None` without secrets.
    #[must_use]
    pub fn redact(&self, text: &str) -> Option<(String, Redactions)> {
        let mut found = Redactions::new();
        let text = self.text(text, &mut found)?;
        Some((text, found))
    }

    /// Returns true if all of `text` is a valid marker under the key of these rules.
    #[must_use]
    pub fn is_marker(&self, text: &str) -> bool {
        self.0.markers.is_true(text.as_bytes())
    }

    /// Returns the most bytes that the layer buffers for an open message.
    #[must_use]
    pub fn longest_tail(&self) -> usize {
        self.0.longest
    }

    /// Returns the text without its secrets; `None` if it has none.
    pub(super) fn text(&self, text: &str, found: &mut Redactions) -> Option<String> {
        let scan = self.scan(text.as_bytes(), 0, Mode::Text, true);
        if scan.cuts.is_empty() {
            return None;
        }
        let redacted = self.without(text.as_bytes(), 0, &scan, found);
        Some(String::from_utf8_lossy(&redacted).into_owned())
    }

    /// Returns `text[from..scan.end]` with markers instead of secrets.
    pub(super) fn without(&self, text: &[u8], from: usize, scan: &Scan, found: &mut Redactions) -> Vec<u8> {
        let (mut left, mut at) = (Vec::with_capacity(scan.end.saturating_sub(from)), from);
        for cut in &scan.cuts {
            left.extend_from_slice(&text[at.min(cut.start)..cut.start]);
            if let Some(rule) = cut.rule {
                let rule = &self.0.rules[rule];
                left.extend_from_slice(rule.marker.as_bytes());
                found.count(&rule.name);
            }
            at = at.max(cut.end);
        }
        left.extend_from_slice(&text[at.min(scan.end)..scan.end]);
        left
    }
}

/// Returns the length of the rule's longest match.
fn longest_match(rule: &Rule) -> Result<usize, InvalidRule> {
    let refuse = |why| InvalidRule::new(&rule.name, why);
    let parsed = syntax::parse_with(&rule.pattern, &bytewise()).map_err(|_| refuse("is no pattern"))?;
    let properties = parsed.properties();
    match (properties.minimum_len(), properties.maximum_len()) {
        (Some(shortest), Some(longest)) if shortest > 0 && longest <= Rules::MAX_MATCH => {
            Ok(longest + rule.reads.map_or(0, |_| value::MAX_READ))
        }
        (Some(0), _) => Err(refuse("it matches a text of no length")),
        (Some(_), _) => Err(refuse("a match has to end after 1024 bytes: write {8,64} in place of +")),
        (None, _) => Err(refuse("it can never match")),
    }
}

impl Compiled {
    /// Returns the first match in `text[from..]`, as if the text ended there.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Found> {
        let all = self.automaton.find(text, from)?;
        let (start, end) = (all.start, all.end);
        let Some(rule) = all.pattern.checked_sub(1) else {
            return Some(Found { rule: None, start, end, secret: (start, end) });
        };
        let secret = match &self.rules[rule] {
            Compact { reads: Some(_), .. } => (end, end),
            Compact { group, .. } => {
                group.as_ref().and_then(|group| group.find(text, start, end)).unwrap_or((start, end))
            }
        };
        Some(Found { rule: Some(rule), start, end, secret })
    }

    /// Returns the first position at or after `from` where more text could create or change a match.
    pub(super) fn grows_from(&self, text: &[u8], from: usize) -> Option<usize> {
        self.automaton.grows_from(text, from.max(text.len().saturating_sub(self.longest)))
    }

    /// Returns the rule for the rest of a secret in such a run.
    pub(super) fn rest_of(&self, encoding: Encoding) -> usize {
        self.encodings + ENCODINGS.iter().position(|other| *other == encoding).unwrap_or(0)
    }

    /// Returns true if `text` ends with a valid marker.
    pub(super) fn ends_with_marker(&self, text: &[u8]) -> bool {
        let last = text.iter().rposition(|byte| *byte == b'[');
        last.is_some_and(|start| self.markers.is_true(&text[start..]))
    }

    /// Returns the end of the line that ends a private key, if it is in `text[from..]`.
    pub(super) fn block_end(&self, text: &[u8], from: usize) -> Option<usize> {
        self.block_end.find(Input::new(text).range(from..)).map(|line| line.end())
    }

    /// Returns the class of the characters that continue a match of this rule.
    pub(super) fn rest(&self, rule: usize) -> Option<Class> {
        match self.rules[rule].after {
            After::Class(class) => Some(class),
            After::Nothing | After::Block => None,
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("rules", &(self.0.rules.len())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::automaton::MOST_MEMORY, *};

    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    fn characters(random: &mut fastrand::Rng, of: &[u8], length: usize) -> String {
        (0..length).map(|_| char::from(of[random.usize(..of.len())])).collect()
    }

    /// Log lines. No two of them have the same id or address.
    fn log(random: &mut fastrand::Rng) -> String {
        let mut log = String::new();
        for second in 0..300 {
            let id = characters(random, &LETTERS[..62], 16);
            let name = characters(random, &LETTERS[26..52], 12);
            let (minute, second) = (second / 60, second % 60);
            log += &format!(
                "2026-11-23T18:{minute:02}:{second:02}Z INFO req={id} GET https://www.example.com/{name}?id=7\n"
            );
        }
        log
    }

    /// Returns the bytes of the states after each of the texts.
    fn state_memory(texts: &[&str]) -> Vec<usize> {
        let redactor = Rules::secrets().compile().unwrap();
        let mut memory = Vec::new();
        for text in texts {
            let _ = redactor.redact(text);
            memory.push(redactor.0.automaton.state_memory() + redactor.0.encoded.0.state_memory());
        }
        memory
    }

    #[test]
    fn a_base64_image_drops_no_states_that_other_text_needs() {
        let mut random = fastrand::Rng::with_seed(3);
        let (first, second) = (log(&mut random), log(&mut random));
        let picture = characters(&mut random, LETTERS, 200_000);
        let [warm, after_log] = state_memory(&[&first, &second])[..] else { panic!() };
        let [_, after_picture, after_both] = state_memory(&[&first, &picture, &second])[..] else { panic!() };
        assert!(after_both - after_picture <= after_log - warm, "the second log rebuilds no states");
        assert!(after_both < 2 * warm, "{warm} bytes of states become {after_both}");
    }

    #[test]
    fn a_search_skips_no_position_where_a_secret_begins() {
        let redactor = Rules::secrets().compile().unwrap();
        let searched = |text: &[u8]| {
            [&redactor.0.automaton, &redactor.0.encoded.0].map(|automaton| automaton.tried_positions(text))
        };
        let mut random = fastrand::Rng::with_seed(9);
        let parts = [
            "password",
            "token",
            "=",
            ": ",
            " ",
            "\n",
            "\"",
            "sk-",
            "ghp_",
            "AKIA",
            "eyJ",
            "://",
            "user:",
            "-p",
            "%41",
            "\\u0041",
            "_",
            "key-",
            "Bearer ",
            "xox",
            "b-",
            "[redacted:",
            "-----BEGIN ",
            "cGFz",
            "4a6b",
            "\u{e9}",
        ];
        for _ in 0..400 {
            let mut text = String::new();
            for _ in 0..random.usize(1..12) {
                text += parts[random.usize(..parts.len())];
                let length = [0, 0, 3, 16, 40][random.usize(..5)];
                text += &characters(&mut random, LETTERS, length);
            }
            searched(text.as_bytes());
        }
        let prose = "The table lists for each byte the patterns that allow it, and ordinary text matches few of them. ";
        let prose = prose.repeat(8);
        let [rules, encodings] = searched(prose.as_bytes());
        assert!(rules < prose.len() / 8 && encodings < prose.len() / 8, "{rules} {encodings}");
    }

    #[test]
    fn random_text_after_the_beginnings_of_rules_needs_bounded_memory() {
        let mut random = fastrand::Rng::with_seed(4);
        let mut texts = vec!["eyJ".repeat(10_000), "://a:".repeat(10_000)];
        for _ in 0..60 {
            texts.push(format!("mysql -p{}", characters(&mut random, b"abc -p'\"", 160)));
            texts.push(characters(&mut random, b"keytokenauth-_. :=\"\\", 800));
            texts.push(characters(&mut random, b"x-aws_secret:=/@.%", 800));
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let memory = *state_memory(&texts).last().unwrap();
        assert!(memory < MOST_MEMORY / 2, "{memory}");
    }
}
