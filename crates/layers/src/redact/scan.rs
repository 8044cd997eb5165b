//! Scans a text in one pass: it finds the certain part of the text, and the secrets in it.

use super::{
    check,
    encoded::{self, Run},
    redactor::{BLOCK_END, Found, Redactor},
    rule::{After, Class},
    value::{self, Reads, Value},
};

/// The state in which a text continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    /// No secret continues.
    #[default]
    Text,
    /// The following text belongs to a secret, as long as it is in the class of this rule.
    Rest(usize),
    /// The following text belongs to a private key.
    Block,
    /// The following text may be the rest of a secret whose beginning is unknown.
    Resumed,
}

/// A part of the text that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The rule of its marker; none if the marker of the secret already exists.
    pub(super) rule: Option<usize>,
}

/// The result of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// The removed parts, in order.
    pub(super) cuts: Vec<Cut>,
    /// The text before it is certain; the text after it depends on later text.
    pub(super) end: usize,
    pub(super) mode: Mode,
    /// The end of the last removed part: matches may begin there, as they may after a marker.
    pub(super) begins: usize,
    /// All encoded runs that begin before it have been read.
    pub(super) runs: usize,
}

/// A run of this many characters of [`token`] may be the rest of a secret, unless it is made of words.
const RESUMED: usize = 12;
/// The number of characters that decides this.
const UNDECIDED: usize = 64;

/// The shortest beginning of a match that could contain a secret of its own.
const LEAD: usize = 16;

/// Returns the characters of secrets, as far as they distinguish them from words.
pub(super) fn token() -> Class {
    Class::of("A-Za-z0-9+/=_.~%-")
}

impl Redactor {
    /// Scans `text[from..]`; the text before `from` is context only. With `last` the text ends, and all of it is
    /// certain.
    pub(super) fn scan(&self, text: &[u8], from: usize, mode: Mode, last: bool) -> Scan {
        self.scan_inside(text, (from, from), mode, last, 0)
    }

    /// Scans a text of which an earlier scan has read the encoded runs that begin before `runs`.
    pub(super) fn scan_on(&self, text: &[u8], from: usize, runs: usize, mode: Mode, last: bool) -> Scan {
        self.scan_inside(text, (from, runs.max(from)), mode, last, 0)
    }

    /// Scans a text that is inside of this many encoded runs.
    fn scan_inside(
        &self,
        text: &[u8],
        (from, runs): (usize, usize),
        mode: Mode,
        last: bool,
        depth: usize,
    ) -> Scan {
        let compiled = &*self.0;
        let (mut at, mut mode, mut cuts) = (from, mode, Vec::new());
        let (mut held, mut begins) = (None, 0);
        // The next match of the rules, and the next encoded run with its search position; cleared after they are
        // passed.
        let (mut next, mut run, mut runs_from) = (Next::Unknown, Next::Unknown, runs);
        let searches_runs = depth < encoded::MOST_DEEP && text.get(runs..).is_some_and(encoded::may_hold_run);
        loop {
            match mode {
                Mode::Rest(rule) => {
                    let class = compiled.rest(rule).unwrap_or(Class::of(""));
                    let end = run_end(text, at, class);
                    cut(&mut cuts, at, end, None);
                    begins = end;
                    if end == text.len() {
                        return Scan { cuts, end, mode, begins, runs: runs_from };
                    }
                    (at, mode) = (end, Mode::Text);
                }
                Mode::Block => match compiled.block_end(text, at) {
                    Some(end) => {
                        cut(&mut cuts, at, end, None);
                        (at, mode, begins) = (end, Mode::Text, end);
                    }
                    None => {
                        // The line that ends it may have begun.
                        let end =
                            if last { text.len() } else { text.len().saturating_sub(BLOCK_END).max(at) };
                        cut(&mut cuts, at, end, None);
                        return Scan { cuts, end, mode, begins: end, runs: runs_from };
                    }
                },
                Mode::Resumed => {
                    let end = run_end(text, at, token());
                    let run = &text[at..end];
                    if end == text.len() && !last && run.len() < UNDECIDED {
                        return Scan { cuts, end: at, mode, begins, runs: runs_from };
                    }
                    if run.len() >= RESUMED && !check::is_made_of_words(run) {
                        cut(&mut cuts, at, end, Some(compiled.resumed));
                        (at, mode) = (end, Mode::Rest(compiled.resumed));
                    } else {
                        mode = Mode::Text;
                    }
                }
                Mode::Text => {
                    // A match that hides nothing does not hide a run.
                    runs_from = runs_from.max(begins);
                    if !last && held.is_none_or(|held| held < at) {
                        let matches = begins + self.held_from(&text[begins..], at - begins);
                        let runs = compiled.encoded.grows_from(text, runs_from).unwrap_or(text.len());
                        held = Some(matches.min(runs));
                    }
                    let certain = held.unwrap_or(text.len());
                    let is_certain = |start: usize| last || start < certain;
                    let found = next.from(
                        at,
                        |found: &Found| found.start,
                        || compiled.find(&text[begins..], at - begins).map(|found| found.moved(begins)),
                    );
                    let encoded = if searches_runs {
                        run.from(runs_from, |run: &Run| run.start, || compiled.encoded.find(text, runs_from))
                    } else {
                        None
                    };
                    let is_run_first = |run: &Run| found.is_none_or(|found| run.start < found.start);
                    if let Some(encoded) = encoded.filter(is_run_first) {
                        if !is_certain(encoded.start) {
                            return Scan { cuts, end: certain, mode, begins, runs: runs_from };
                        }
                        let decoded = encoded.decode(text, begins);
                        let inside = self.scan_inside(&decoded.bytes, (0, 0), Mode::Text, true, depth + 1);
                        match inside.cuts.iter().find(|cut| cut.end > decoded.before) {
                            Some(secret) => {
                                let start = decoded.offset_of(secret.start.max(decoded.before), encoded.end);
                                cut(&mut cuts, start, encoded.end, secret.rule.or(Some(compiled.resumed)));
                                (at, mode) = (encoded.end, Mode::Rest(compiled.rest_of(encoded.encoding)));
                                begins = at;
                                next = Next::Unknown;
                            }
                            None => {
                                runs_from = encoded.next(&decoded);
                            }
                        }
                        continue;
                    }
                    let Some(found) = found.filter(|found| is_certain(found.start)) else {
                        return Scan { cuts, end: certain, mode, begins, runs: runs_from };
                    };
                    // An invalid marker does not hide a run.
                    let is_marker = found.rule.is_none()
                        && compiled.markers.is_true(&text[found.secret.0..found.secret.1]);
                    if is_marker {
                        runs_from = runs_from.max(found.end);
                    }
                    let before = cuts.len();
                    match self.take(text, begins, found, last, &mut cuts) {
                        Some(taken) => (at, mode) = taken,
                        None => {
                            let end = found.start.min(certain);
                            return Scan { cuts, end, mode, begins, runs: runs_from };
                        }
                    }
                    if cuts.len() > before {
                        // Rules start again after the cut. Encoded runs do not: the next one is unchanged.
                        begins = at;
                        next = Next::Unknown;
                    }
                }
            }
        }
    }

    /// Returns the offset from which a text that continues is not certain.
    fn held_from(&self, text: &[u8], from: usize) -> usize {
        let mut held = self.0.grows_from(text, from).unwrap_or(text.len());
        while held > from && held < text.len() && is_inside_character(text[held]) {
            held -= 1;
        }
        held
    }

    /// Returns true if a match that begins at or after `from`, and before `border`, hides text after `border`.
    pub(super) fn goes_over(&self, text: &[u8], from: usize, border: usize) -> bool {
        let found = if from < border { self.0.find(text, from) } else { None };
        let Some(found) = found.filter(|found| found.start < border && found.rule.is_some()) else {
            return false;
        };
        let mut cuts = Vec::new();
        self.take(text, 0, found, true, &mut cuts);
        cuts.iter().any(|cut| cut.end > border)
    }

    /// Hides a match if it is a secret; returns the offset and the state to continue with. `None` if more text decides.
    fn take(
        &self,
        text: &[u8],
        begins: usize,
        found: Found,
        last: bool,
        cuts: &mut Vec<Cut>,
    ) -> Option<(usize, Mode)> {
        let compiled = &*self.0;
        let (mut start, mut end) = found.secret;
        let Some(rule) = found.rule else {
            let is_true = compiled.markers.is_true(&text[start..end]);
            return Some((if is_true { end } else { start + 1 }, Mode::Text));
        };
        if let Some(reads) = compiled.rules[rule].reads {
            let all = (found.start, found.end);
            return match value::read(reads, text, begins, all, &compiled.markers, last) {
                Value::Undecided => None,
                Value::Plain => Some((found.start + 1, Mode::Text)),
                Value::Secret { start, end, goes_on } => {
                    if reads == Reads::Address && start - found.start > LEAD {
                        cuts.extend(self.scan(&text[..start], found.start + 1, Mode::Text, true).cuts);
                    }
                    // A known format is more specific than the name before it.
                    let format = compiled.find(&text[begins..end], start - begins);
                    let format = format.filter(|format| format.secret.0 == start - begins);
                    let format = format.and_then(|format| format.rule);
                    let marked = format.filter(|format| compiled.rules[*format].is_format()).unwrap_or(rule);
                    let end = character_end(text, end);
                    cut(cuts, start, end, Some(marked));
                    Some((end, if goes_on { Mode::Rest(rule) } else { Mode::Text }))
                }
            };
        }
        let secret = &text[start..end];
        if compiled.markers.is_true(secret) {
            return Some((end, Mode::Text));
        }
        if compiled.rules[rule].check.as_ref().is_some_and(|check| !check(secret)) {
            return Some((start.max(found.start + 1), Mode::Text));
        }
        // The text before it, which identifies it, may contain another secret, such as the name in an address.
        if start - found.start > LEAD {
            cuts.extend(self.scan(&text[..start], found.start + 1, Mode::Text, true).cuts);
        }
        // A byte pattern may end inside of a character.
        while start > 0 && is_inside_character(text[start]) {
            start -= 1;
        }
        end = character_end(text, end);
        cut(cuts, start, end, Some(rule));
        let mode = match compiled.rules[rule].after {
            After::Nothing => Mode::Text,
            After::Class(_) => Mode::Rest(rule),
            After::Block => Mode::Block,
        };
        // A group may match an empty text.
        Some((end.max(found.start + 1), mode))
    }
}

/// The next match, if it is known.
enum Next<T> {
    Unknown,
    Is(Option<T>),
}

impl<T: Copy> Next<T> {
    /// Returns the next one at or after `at`.
    fn from(
        &mut self,
        at: usize,
        start: impl Fn(&T) -> usize,
        find: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        match self {
            Self::Is(None) => None,
            Self::Is(Some(found)) if start(found) >= at => Some(*found),
            Self::Is(Some(_)) | Self::Unknown => {
                let found = find();
                *self = Self::Is(found);
                found
            }
        }
    }
}

/// A byte pattern may end inside of a character.
fn character_end(text: &[u8], mut end: usize) -> usize {
    while end < text.len() && is_inside_character(text[end]) {
        end += 1;
    }
    end
}

fn cut(cuts: &mut Vec<Cut>, start: usize, end: usize, rule: Option<usize>) {
    if start < end {
        cuts.push(Cut { start, end, rule });
    }
}

fn run_end(text: &[u8], from: usize, class: Class) -> usize {
    text[from..].iter().position(|byte| !class.contains(*byte)).map_or(text.len(), |length| from + length)
}

const fn is_inside_character(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}
