//! Redacts a text that arrives in parts.

use super::{
    Redactions,
    redactor::{Compact, Redactor},
    rule::After,
    scan::{Mode, Scan},
};

/// The buffered text of an open message, and the state in which it continues.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Stream {
    /// The context before the buffered text, as far as it affects matches, followed by the buffered text.
    text: Vec<u8>,
    /// The offset at which the buffered text begins.
    held: usize,
    /// All encoded runs that begin before it have been read.
    runs: usize,
    mode: Mode,
    /// Whether the stored text may contain the beginning of a match that continues.
    may_have_begun: bool,
}

/// The length of the context: a name, the whitespace before it, and the character before that.
const BEFORE: usize = super::value::BEFORE + super::value::MAX_INDENT + 2;

impl Stream {
    /// Continues a stored text of another process, or from before a restart: its buffered text is lost.
    pub(super) fn resumed(redactor: &Redactor, stored: &[u8]) -> Self {
        let continued = Self::continued(redactor, stored);
        let is_key =
            |rule: &Compact| matches!(rule.after, After::Block) && stored.ends_with(rule.marker.as_bytes());
        let mode = if redactor.0.rules.iter().any(is_key) {
            // The lines of a private key may continue after its marker.
            Mode::Block
        } else if redactor.0.ends_with_marker(stored) {
            // Text directly after another marker belongs to the marker's secret.
            Mode::Rest(redactor.0.resumed)
        } else {
            Mode::Resumed
        };
        Self { mode, ..continued }
    }

    /// Continues a stored text that was complete.
    pub(super) fn continued(redactor: &Redactor, stored: &[u8]) -> Self {
        let tail = stored[stored.len().saturating_sub(redactor.0.longest)..].to_vec();
        Self { held: tail.len(), text: tail, runs: 0, mode: Mode::Text, may_have_begun: true }
    }

    /// Continues it for an edit. Text directly after a marker continues the secret; text after the marker of a private
    /// key continues the key if it contains the last line of a key.
    pub(super) fn edited(redactor: &Redactor, stored: &[u8], more: &str) -> Self {
        let continued = Self::continued(redactor, stored);
        let is_last = |rule: &Compact| stored.ends_with(rule.marker.as_bytes());
        let Some(rule) = redactor.0.rules.iter().position(is_last) else { return continued };
        let mode = match redactor.0.rules[rule].after {
            After::Nothing => Mode::Text,
            After::Class(_) => Mode::Rest(rule),
            After::Block if redactor.0.block_end(more.as_bytes(), 0).is_some() => Mode::Block,
            After::Block => Mode::Text,
        };
        Self { mode, ..continued }
    }

    /// Returns the state after `scan` of `text`: certain up to the end of the scan, and stored up to `stored`, which is
    /// not before that end.
    pub(super) fn after(text: &[u8], scan: &Scan, stored: usize) -> Self {
        // A match that continues begins at or after `begins`.
        let from = scan.end.saturating_sub(BEFORE).max(scan.begins.min(scan.end));
        Self {
            text: text[from..].to_vec(),
            held: stored - from,
            runs: scan.runs.saturating_sub(from),
            mode: scan.mode,
            may_have_begun: stored > scan.end,
        }
    }

    /// Returns the number of buffered bytes.
    pub(super) fn held(&self) -> usize {
        self.text.len() - self.held
    }

    /// Returns the buffered bytes.
    pub(super) fn held_bytes(&self) -> &[u8] {
        &self.text[self.held..]
    }

    /// Appends `more` and returns the text that can be stored now; all of it for the `last` part.
    pub(super) fn push(
        &mut self,
        redactor: &Redactor,
        more: &str,
        last: bool,
        found: &mut Redactions,
    ) -> String {
        let before = std::mem::take(&mut self.text);
        let from = self.held;
        let text = [&before, more.as_bytes()].concat();
        // The stored text may contain the beginning of this match; it is not returned again.
        let begun = if self.may_have_begun { self.begun(redactor, &text) } else { from };
        let (start, mode) = match self.mode {
            Mode::Text => (begun, Mode::Text),
            Mode::Resumed if redactor.goes_over(&text, begun, from) => (begun, Mode::Text),
            mode => (from, mode),
        };
        let mut scan = redactor.scan_on(&text, start, self.runs, mode, last);
        let certain_to = if scan.mode == Mode::Resumed { scan.end.min(begun) } else { scan.end };
        scan.end = scan.end.max(from);
        for cut in &mut scan.cuts {
            cut.start = cut.start.max(from);
            cut.end = cut.end.max(from);
        }
        scan.cuts.retain(|cut| cut.start < cut.end);
        let certain = redactor.without(&text, from, &scan, found);
        let stored = scan.end;
        *self = Self::after(&text, &Scan { end: certain_to, ..scan }, stored);
        String::from_utf8_lossy(&certain).into_owned()
    }

    /// Returns the offset in the stored text at which an incomplete match began.
    fn begun(&self, redactor: &Redactor, text: &[u8]) -> usize {
        redactor.scan(&text[..self.held], 0, Mode::Text, false).end
    }
}

/// Prints the length of the buffered text, but no content.
impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("held", &self.held()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(redactor: &Redactor, parts: &[&str]) -> (String, Redactions, Vec<usize>) {
        let (mut stream, mut found, mut held) = (Stream::default(), Redactions::new(), Vec::new());
        let mut stored = String::new();
        for part in parts {
            stored.push_str(&stream.push(redactor, part, false, &mut found));
            held.push(stream.held());
        }
        stored.push_str(&stream.push(redactor, "", true, &mut found));
        assert_eq!(stream.held(), 0);
        (stored, found, held)
    }

    /// A secret for each kind of rule: with a rest, with context, with a check, with its own end.
    fn texts() -> Vec<String> {
        let pem = |line: &str| format!("-----{line} RSA PRIVATE KEY-----");
        vec![
            format!("x AKIA{} y", "ABCD2345".repeat(2)),
            format!("curl -H 'Authorization: Bearer {}' z", "a1b2c3d4".repeat(5)),
            format!("PASSWORD={} and é so on", "hunter2"),
            format!("{}\nMIIE\nabcd+/=\n{}\nafter", pem("BEGIN"), pem("END")),
            format!("{}\nMIIE never ends", pem("BEGIN")),
            format!("postgres://{}:{}@db/x", "me", "p4ss"),
            format!("postgres://{}:{}@db/x y", "me", "p/4@ss"),
            format!("x password=\"{} horse\", z", "correct"),
            format!("user=x&password={}&y=1 z", "hunter2"),
            format!("see --token {} z", "abc123def4"),
            "see cGFzc3dvcmQ9aHVudGVyMg== | x".to_owned(),
            "see 70617373776f72643d68756e74657232 x".to_owned(),
            format!("q=password%3D{}%26user x", "hunter2"),
            format!(r"\u0022password\u0022: \u0022{}\u0022 x", "hunter2"),
            format!("Password: `{}` é, API key: {}.", "swordfish", "abc123def4"),
            format!("x\npassword: | # of it\n   {}\n\n   {}\nuser: x", "hunter2", "swordfish"),
            format!("password={}\n    password={}\nuser=x", "swordfish", "staplehorse"),
            format!("x password = \"\"\"\n{}\"er2\n{}\"\"\" x", "hunt", "swordfish"),
            "x [redacted:70617373776f72643d68756e74657232#00000000] x".to_owned(),
            "ghost sketch: task-force é🦀 -----BEGIN CERTIFICATE-----".to_owned(),
        ]
    }

    #[test]
    fn a_text_in_parts_is_stored_as_the_whole_text_would_be() {
        let redactor = Redactor::secrets();
        for text in texts() {
            let (whole, found) = redactor.redact(&text).unwrap_or((text.clone(), Redactions::new()));
            let cuts: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
            for first in &cuts {
                for second in cuts.iter().filter(|second| *second >= first) {
                    let parts = [&text[..*first], &text[*first..*second], &text[*second..]];
                    let (stored, counted, held) = streamed(&redactor, &parts);
                    assert_eq!((&stored, &counted), (&whole, &found), "{parts:?}");
                    assert!(held.iter().all(|held| *held <= redactor.longest_tail()));
                }
            }
            let letters: Vec<String> = text.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(streamed(&redactor, &letters).0, whole);
        }
    }

    #[test]
    fn a_long_value_and_a_long_run_are_stored_as_the_whole_text_would_be() {
        let redactor = Redactor::secrets();
        let encode = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let mut texts: Vec<String> = [508, 509, 510, 511, 512]
            .map(|length| format!("password=\"{}\\n\" z", "hunter2x".repeat(64).split_at(length).0))
            .into();
        texts.push(format!(
            "see {} x",
            encode(&format!("{} {token} {}", "plain ".repeat(64), "y ".repeat(300)))
        ));
        texts.push(format!("see {} x", encode(&"plain ".repeat(200))));
        for text in texts {
            let whole = redactor.redact(&text).map_or_else(|| text.clone(), |(stored, _)| stored);
            let middle = text.len() / 2;
            for first in 0..=text.len() {
                let parts = match first % 3 {
                    0 => vec![&text[..first], &text[first..]],
                    1 if first < middle => vec![&text[..first], &text[first..middle], &text[middle..]],
                    _ => vec![&text[..first], &text[first..first], &text[first..]],
                };
                assert_eq!(streamed(&redactor, &parts).0, whole, "{first} of {text}");
            }
            let letters: Vec<&str> = text.split("").collect();
            assert_eq!(streamed(&redactor, &letters).0, whole);
        }
    }

    #[test]
    fn text_after_a_stored_text_completes_no_secret() {
        let redactor = Redactor::secrets();
        let key = format!("AKIA{}", "ABCD2345".repeat(2));
        for cut in 4..key.len() {
            let stored = format!("x {}", &key[..cut]);
            for parts in [vec![&key[cut..], " y"], key[cut..].split("").chain([" y"]).collect()] {
                for mut stream in [
                    Stream::continued(&redactor, stored.as_bytes()),
                    Stream::resumed(&redactor, stored.as_bytes()),
                ] {
                    let mut found = Redactions::new();
                    let mut added: String =
                        parts.iter().map(|part| stream.push(&redactor, part, false, &mut found)).collect();
                    added.push_str(&stream.push(&redactor, "", true, &mut found));
                    assert!(
                        added.starts_with("[redacted:aws-access-key#") && added.ends_with("] y"),
                        "{added}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_possible_secret_with_an_unknown_beginning_is_hidden() {
        let redactor = Redactor::secrets();
        let resumed = |stored: &str, more: &str| {
            let (mut stream, mut found) = (Stream::resumed(&redactor, stored.as_bytes()), Redactions::new());
            let mut text = stream.push(&redactor, more, false, &mut found);
            text.push_str(&stream.push(&redactor, "", true, &mut found));
            text
        };
        assert!(resumed("the key is ", "ABCD2345ABCD2345 and").starts_with("[redacted:resumed#"));
        assert_eq!(resumed("the key is ", "here: look"), "here: look");
        let begun = redactor.redact(&format!("-----{} PRIVATE KEY-----\n", "BEGIN")).unwrap().0;
        assert_eq!(resumed(&begun, &format!("MIIEabc\n-----{} PRIVATE KEY----- after", "END")), " after");
    }

    #[test]
    fn little_of_an_ordinary_text_is_buffered() {
        let redactor = Redactor::secrets();
        let (stored, found, held) =
            streamed(&redactor, &["The quick brown fox ", "jumps over ", "the lazy dog."]);
        assert_eq!(stored, "The quick brown fox jumps over the lazy dog.");
        assert!(found.is_empty() && held.iter().all(|held| *held <= 1), "{held:?}");
    }
}
