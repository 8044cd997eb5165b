//! Reads a line of a transcript as a turn, and converts it to messages.

use std::collections::HashMap;

use serde_json::value::RawValue;
use throughline_core::{Content, MessageId, Metadata, Role, Timestamp, messages::ImportRow};

use super::{MARK, SCHEMA_VERSION, mark::marked, value::content};
use crate::{
    FindingKind, iso8601,
    object::{Object, Patched},
};

/// The metadata key of a question for its line, if this crate would write the line differently: the line with `0` or
/// `{}` in place of its question and its answer.
pub(super) const LINE: &str = "chat.line";
/// The metadata key of a message that keeps a whole line which this crate cannot read.
pub(super) const OPAQUE: &str = "chat.opaque";

const FIELDS: [&str; 7] = ["type", "schema_version", "seq", "created", "question", "answer", MARK];

/// The state after the lines before the current one.
#[derive(Debug, Clone)]
pub(super) struct Before {
    /// The highest number of a turn.
    pub(super) seq: u64,
    /// The time of the last turn, or of the header.
    pub(super) time: Timestamp,
    met: HashMap<u64, u32>,
}

/// The result of reading a line.
#[derive(Debug)]
pub(super) struct Turn {
    seq: Option<u64>,
    time: Timestamp,
    pub(super) rows: Vec<ImportRow>,
    pub(super) warnings: Vec<FindingKind>,
    /// Unknown fields.
    pub(super) unknown: Vec<String>,
    /// Its version, if it is newer than the known one.
    pub(super) newer: Option<String>,
}

impl Before {
    /// Returns the state at the start of a transcript.
    pub(super) fn new(time: Timestamp) -> Self {
        Self { seq: 0, time, met: HashMap::new() }
    }

    /// Reads a line; `number` is its line number.
    pub(super) fn read(&self, line: &Object<'_>, number: u64) -> Turn {
        let mut warnings = Vec::new();
        let newer = newer(line, &mut warnings);
        let seq = line.get::<u64>("seq").filter(|seq| *seq > 0);
        let base = match seq {
            None => {
                warnings.push(absent_or_wrong(line, "seq"));
                format!("line-{number}")
            }
            Some(seq) => {
                warnings.extend(self.out_of_turn(seq));
                match self.met.get(&seq) {
                    None => format!("turn-{seq}"),
                    Some(met) => format!("turn-{seq}.{}", met + 1),
                }
            }
        };
        let time =
            line.get::<String>("created").and_then(|text| iso8601::parse(&text)).unwrap_or_else(|| {
                warnings.push(FindingKind::NoTime("created"));
                self.time
            });
        let known = |name: &str| FIELDS.contains(&name);
        let unknown = line.fields().map(|(name, _)| name).filter(|name| !known(name)).map(str::to_owned);
        let mut turn = Turn { seq, time, rows: Vec::new(), warnings, unknown: unknown.collect(), newer };
        turn.rows = turn.messages(line, &base);
        turn
    }

    /// Updates the state after a line.
    pub(super) fn pass(&mut self, turn: &Turn) {
        self.time = turn.time;
        if let Some(seq) = turn.seq {
            *self.met.entry(seq).or_default() += 1;
            self.seq = self.seq.max(seq);
        }
    }

    fn out_of_turn(&self, seq: u64) -> Option<FindingKind> {
        let after = self.seq;
        if self.met.contains_key(&seq) {
            Some(FindingKind::SeqTwice(seq))
        } else if seq < after {
            Some(FindingKind::SeqOutOfOrder { after, seq })
        } else if seq > after + 1 {
            Some(FindingKind::SeqGap { after, seq })
        } else {
            None
        }
    }
}

/// The kind of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header,
    /// A turn, or any line of a newer version.
    Turn,
    Other(String),
}

impl Kind {
    pub(super) fn of(line: &Object<'_>) -> Self {
        let kind = line.get::<String>("type").unwrap_or_default();
        match &*kind {
            "header" => Self::Header,
            "turn" => Self::Turn,
            _ if newer(line, &mut Vec::new()).is_some() => Self::Turn,
            _ => Self::Other(kind),
        }
    }
}

/// Returns the version of a line, if it is newer than the known one.
pub(super) fn newer(line: &Object<'_>, warnings: &mut Vec<FindingKind>) -> Option<String> {
    let version = line.raw("schema_version").map(RawValue::get);
    match line.get::<f64>("schema_version") {
        Some(number) if number > SCHEMA_VERSION as f64 => version.map(str::to_owned),
        Some(_) => None,
        None => {
            warnings.push(absent_or_wrong(line, "schema_version"));
            None
        }
    }
}

pub(super) fn absent_or_wrong(line: &Object<'_>, field: &'static str) -> FindingKind {
    if line.raw(field).is_some() { FindingKind::WrongField(field) } else { FindingKind::NoField(field) }
}

impl Turn {
    /// Returns the messages of the turn.
    fn messages(&mut self, line: &Object<'_>, base: &str) -> Vec<ImportRow> {
        if self.newer.is_some() {
            return vec![self.kept_whole(line, base)];
        }
        if let Some(mark) = line.raw(MARK) {
            match marked(line, mark) {
                Some(rows) => return rows,
                None => self.warnings.push(FindingKind::WrongField(MARK)),
            }
        }
        let (question, answer) = (line.raw("question"), line.raw("answer"));
        let mut rows = Vec::new();
        for (field, role, value) in [("question", Role::User, question), ("answer", Role::Assistant, answer)]
        {
            match value {
                Some(value) => {
                    let id = MessageId::new(format!("{base}-{field}")).expect("short, without controls");
                    rows.push(ImportRow::new(id, role, content(value), self.time));
                }
                None => self.warnings.push(FindingKind::NoField(field)),
            }
        }
        let Some(first) = rows.first_mut() else { return vec![self.kept_whole(line, base)] };
        let is_ours = match (self.seq, question, answer) {
            (Some(seq), Some(question), Some(answer)) => {
                canonical(seq, self.time, question.get(), answer.get()) == line.text()
            }
            _ => false,
        };
        if !is_ours {
            first.metadata.set_raw(LINE, raw(skeleton(line)));
        }
        rows
    }

    /// Returns a message that keeps the whole line, and marks it as unreadable.
    fn kept_whole(&self, line: &Object<'_>, base: &str) -> ImportRow {
        let version = self.newer.as_deref().unwrap_or("1");
        let block = format!(r#"[{{"type":"{OPAQUE}","schemaVersion":{version}}}]"#);
        let content = Content::from_json(block).expect("a number in an array");
        let id = MessageId::new(format!("{base}-opaque")).expect("short, without controls");
        let mut metadata = Metadata::new();
        metadata.set_raw(OPAQUE, raw(line.text().to_owned()));
        ImportRow { metadata, ..ImportRow::new(id, Role::System, content, self.time) }
    }
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("it was read as JSON")
}

/// Returns a turn as this crate writes it.
pub(super) fn canonical(seq: u64, time: Timestamp, question: &str, answer: &str) -> String {
    let time = iso8601::format(time);
    format!(
        r#"{{"type":"turn","schema_version":{SCHEMA_VERSION},"seq":{seq},"created":"{time}","question":{question},"answer":{answer}}}"#
    )
}

/// Returns a line without the content of its messages; the other fields are kept once.
fn skeleton(line: &Object<'_>) -> String {
    let mut text = Patched::of(line.text());
    for field in ["question", "answer"] {
        if let Some(value) = line.raw(field) {
            text = text.set(field, if value.get().starts_with('"') { "0" } else { "{}" });
        }
    }
    text.into_text()
}
