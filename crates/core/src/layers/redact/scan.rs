//! One pass over a text: what of it is certain, and what of that is hidden.

use super::{
    check,
    redactor::{BLOCK_END, Found, Redactor},
    rule::{After, Class},
};

/// Where a text goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    /// Nothing is known of what follows.
    #[default]
    Text,
    /// What follows belongs to a secret as long as it is of the class of this rule.
    Rest(usize),
    /// What follows belongs to a private key.
    Block,
    /// What follows may be the rest of a secret whose beginning nobody knows any more.
    Resumed,
}

/// A part of the text that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whose marker stands there; none where it belongs to a secret that has one already.
    pub(super) rule: Option<usize>,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// What is hidden, in order.
    pub(super) cuts: Vec<Cut>,
    /// What stands before it is certain; what follows depends on what comes.
    pub(super) end: usize,
    pub(super) mode: Mode,
    /// Where the last of what is hidden ends: what follows begins there, as it does behind the marker.
    pub(super) begins: usize,
}

/// A run of so many characters of [`token`] may be the rest of a secret, unless it is made of words.
const RESUMED: usize = 12;
/// Once there are so many of them it is known which it is.
const UNDECIDED: usize = 64;

/// The shortest beginning of a match that could hold a secret of its own.
const LEAD: usize = 16;

/// What secrets are made of, as far as it tells them from words.
pub(super) fn token() -> Class {
    Class::of("A-Za-z0-9+/=_.~%-")
}

impl Redactor {
    /// Goes through `text[from..]`; what stands before `from` only decides what may begin there. Where `last` is said the text
    /// ends, and all of it is certain.
    pub(super) fn scan(&self, text: &[u8], from: usize, mode: Mode, last: bool) -> Scan {
        let compiled = &*self.0;
        let (mut at, mut mode, mut cuts) = (from, mode, Vec::new());
        let (mut held, mut begins) = (None, 0);
        loop {
            match mode {
                Mode::Rest(rule) => {
                    let class = compiled.rest(rule).unwrap_or(Class::of(""));
                    let end = run_end(text, at, class);
                    cut(&mut cuts, at, end, None);
                    begins = end;
                    if end == text.len() {
                        return Scan { cuts, end, mode, begins };
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
                        return Scan { cuts, end, mode, begins: end };
                    }
                },
                Mode::Resumed => {
                    let end = run_end(text, at, token());
                    let run = &text[at..end];
                    if end == text.len() && !last && run.len() < UNDECIDED {
                        return Scan { cuts, end: at, mode, begins };
                    }
                    if run.len() >= RESUMED && !check::is_made_of_words(run) {
                        cut(&mut cuts, at, end, Some(compiled.resumed));
                        (at, mode) = (end, Mode::Rest(compiled.resumed));
                    } else {
                        mode = Mode::Text;
                    }
                }
                Mode::Text => {
                    if !last && held.is_none_or(|held| held < at) {
                        held = Some(begins + self.held_from(&text[begins..], at - begins));
                    }
                    let certain = held.unwrap_or(text.len());
                    let found = compiled.find(&text[begins..], at - begins).map(|found| found.moved(begins));
                    let Some(found) = found.filter(|found| last || found.start < certain) else {
                        return Scan { cuts, end: certain, mode, begins };
                    };
                    let before = cuts.len();
                    (at, mode) = self.take(text, found, &mut cuts);
                    if cuts.len() > before {
                        begins = at;
                    }
                }
            }
        }
    }

    /// From where on a text that goes on is not certain.
    fn held_from(&self, text: &[u8], from: usize) -> usize {
        let mut held = self.0.grows_from(text, from).unwrap_or(text.len());
        while held > from && held < text.len() && is_inside_character(text[held]) {
            held -= 1;
        }
        held
    }

    /// Hides what was found, if it is to be hidden; answers where to go on, and how.
    fn take(&self, text: &[u8], found: Found, cuts: &mut Vec<Cut>) -> (usize, Mode) {
        let compiled = &*self.0;
        let (mut start, mut end) = found.secret;
        let Some(rule) = found.rule else {
            let is_true = compiled.markers.is_true(&text[start..end]);
            return (if is_true { end } else { start + 1 }, Mode::Text);
        };
        let secret = &text[start..end];
        if compiled.markers.is_true(secret) {
            return (end, Mode::Text);
        }
        if compiled.rules[rule].check.as_ref().is_some_and(|check| !check(secret)) {
            return (start.max(found.start + 1), Mode::Text);
        }
        // What stands before it and says that it is one may hold another: the name in an address, say.
        if start - found.start > LEAD {
            cuts.extend(self.scan(&text[..start], found.start + 1, Mode::Text, true).cuts);
        }
        // A pattern of bytes may end inside a character.
        while start > 0 && is_inside_character(text[start]) {
            start -= 1;
        }
        while end < text.len() && is_inside_character(text[end]) {
            end += 1;
        }
        cut(cuts, start, end, Some(rule));
        let mode = match compiled.rules[rule].after {
            After::Nothing => Mode::Text,
            After::Class(_) => Mode::Rest(rule),
            After::Block => Mode::Block,
        };
        (end, mode)
    }
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
