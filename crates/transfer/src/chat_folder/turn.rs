//! A line of a transcript that is a turn, and the messages that it is.

use std::collections::HashMap;

use serde_json::value::RawValue;
use throughline_core::{Content, MessageId, Metadata, Role, Timestamp, messages::ImportRow};

use super::{
    MARK, SCHEMA_VERSION,
    mark::marked,
    object::{Object, Patched},
    value::content,
};
use crate::{Found, moment};

/// What stands in the metadata of a question of a line that is written otherwise than this crate writes: the line, with `0` or
/// `{}` in the place of its question and its answer.
pub(super) const LINE: &str = "chat.line";
/// What stands in the metadata of a line that is not looked into: all of it.
pub(super) const OPAQUE: &str = "chat.opaque";

const FIELDS: [&str; 7] = ["type", "schema_version", "seq", "created", "question", "answer", MARK];

/// What is known of the lines before one.
#[derive(Debug, Clone)]
pub(super) struct Before {
    /// The highest number of a turn.
    pub(super) seq: u64,
    /// The time of the last turn, or of the header.
    pub(super) time: Timestamp,
    met: HashMap<u64, u32>,
}

/// What a line comes to.
#[derive(Debug)]
pub(super) struct Turn {
    seq: Option<u64>,
    time: Timestamp,
    pub(super) rows: Vec<ImportRow>,
    pub(super) notes: Vec<Found>,
    /// Fields that are not known here.
    pub(super) unknown: Vec<String>,
    /// Its version, where that is newer.
    pub(super) newer: Option<String>,
}

impl Before {
    /// At the beginning of a transcript.
    pub(super) fn new(time: Timestamp) -> Self {
        Self { seq: 0, time, met: HashMap::new() }
    }

    /// Reads a line, the `number`th of its file.
    pub(super) fn read(&self, line: &Object<'_>, number: u64) -> Turn {
        let mut notes = Vec::new();
        let newer = newer(line, &mut notes);
        let seq = line.get::<u64>("seq").filter(|seq| *seq > 0);
        let base = match seq {
            None => {
                notes.push(absent_or_wrong(line, "seq"));
                format!("line-{number}")
            }
            Some(seq) => {
                notes.extend(self.out_of_turn(seq));
                match self.met.get(&seq) {
                    None => format!("turn-{seq}"),
                    Some(met) => format!("turn-{seq}.{}", met + 1),
                }
            }
        };
        let time = line.get::<String>("created").and_then(|text| moment::parse(&text)).unwrap_or_else(|| {
            notes.push(Found::NoTime("created"));
            self.time
        });
        let known = |name: &str| FIELDS.contains(&name);
        let unknown = line.fields().map(|(name, _)| name).filter(|name| !known(name)).map(str::to_owned);
        let mut turn = Turn { seq, time, rows: Vec::new(), notes, unknown: unknown.collect(), newer };
        turn.rows = turn.messages(line, &base);
        turn
    }

    /// Goes behind a line.
    pub(super) fn pass(&mut self, turn: &Turn) {
        self.time = turn.time;
        if let Some(seq) = turn.seq {
            *self.met.entry(seq).or_default() += 1;
            self.seq = self.seq.max(seq);
        }
    }

    fn out_of_turn(&self, seq: u64) -> Option<Found> {
        let after = self.seq;
        if self.met.contains_key(&seq) {
            Some(Found::SeqTwice(seq))
        } else if seq < after {
            Some(Found::SeqOutOfOrder { after, seq })
        } else if seq > after + 1 {
            Some(Found::SeqGap { after, seq })
        } else {
            None
        }
    }
}

/// What a line is to a reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header,
    /// A turn, or whatever a newer version writes.
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

/// The version of a line, where it is newer than what is known here.
pub(super) fn newer(line: &Object<'_>, notes: &mut Vec<Found>) -> Option<String> {
    let version = line.raw("schema_version").map(RawValue::get);
    match line.get::<f64>("schema_version") {
        Some(number) if number > SCHEMA_VERSION as f64 => version.map(str::to_owned),
        Some(_) => None,
        None => {
            notes.push(absent_or_wrong(line, "schema_version"));
            None
        }
    }
}

pub(super) fn absent_or_wrong(line: &Object<'_>, field: &'static str) -> Found {
    if line.raw(field).is_some() { Found::WrongField(field) } else { Found::NoField(field) }
}

impl Turn {
    /// The messages that it is.
    fn messages(&mut self, line: &Object<'_>, base: &str) -> Vec<ImportRow> {
        if self.newer.is_some() {
            return vec![self.kept_whole(line, base)];
        }
        if let Some(mark) = line.raw(MARK) {
            match marked(line, mark) {
                Some(rows) => return rows,
                None => self.notes.push(Found::WrongField(MARK)),
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
                None => self.notes.push(Found::NoField(field)),
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

    /// A message that keeps the whole line, and is flagged as what nobody here can read.
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

/// A turn as this crate writes it.
pub(super) fn canonical(seq: u64, time: Timestamp, question: &str, answer: &str) -> String {
    let time = moment::format(time);
    format!(
        r#"{{"type":"turn","schema_version":{SCHEMA_VERSION},"seq":{seq},"created":"{time}","question":{question},"answer":{answer}}}"#
    )
}

/// A line without what its messages hold: what stands round it is kept once.
fn skeleton(line: &Object<'_>) -> String {
    let mut text = Patched::of(line.text());
    for field in ["question", "answer"] {
        if let Some(value) = line.raw(field) {
            text = text.set(field, if value.get().starts_with('"') { "0" } else { "{}" });
        }
    }
    text.into_text()
}
