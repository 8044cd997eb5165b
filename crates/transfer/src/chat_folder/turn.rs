//! A line of a transcript that is a turn, and the messages that it is.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_core::{Content, ImportRow, MessageId, Metadata, Role, Timestamp};

use super::{
    MARK, SCHEMA_VERSION,
    object::{Object, Patched, quoted},
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
    time: Timestamp,
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

/// What an export says of the messages of a line that question and answer do not tell.
#[derive(Serialize, Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

/// A message of such a line. The content of the first two stands in the line itself.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kept {
    Question(ImportRow),
    Answer(ImportRow),
    Message(ImportRow),
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

/// A value of a line as content: a text is a block of text, whatever else there is is a block itself. Its bytes are kept.
fn content(value: &RawValue) -> Content {
    let value = value.get();
    let json = if value.starts_with('"') { as_text(value) } else { format!("[{value}]") };
    Content::from_json(json).expect("an array of JSON")
}

fn as_text(token: &str) -> String {
    format!(r#"[{{"type":"text","text":{token}}}]"#)
}

/// The text of a content that is one block of text, as it was written.
fn text_of(content: &Content) -> Option<&str> {
    let token = content.as_json().strip_prefix(r#"[{"type":"text","text":"#)?.strip_suffix("}]")?;
    let is_one = serde_json::from_str::<&RawValue>(token).is_ok_and(|raw| raw.get() == token);
    (is_one && token.starts_with('"')).then_some(token)
}

/// The value of a line that comes to this content.
fn value_of(content: &Content, is_text: bool) -> Option<&str> {
    if is_text {
        return text_of(content);
    }
    let value = content.as_json().strip_prefix('[')?.strip_suffix(']')?;
    let is_one = serde_json::from_str::<&RawValue>(value).is_ok_and(|raw| raw.get() == value);
    (is_one && !value.contains(['\n', '\r'])).then_some(value)
}

/// A turn as this crate writes it.
fn canonical(seq: u64, time: Timestamp, question: &str, answer: &str) -> String {
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

/// The messages of a line that an export has written.
fn marked(line: &Object<'_>, mark: &RawValue) -> Option<Vec<ImportRow>> {
    let Mark { messages } = serde_json::from_str(mark.get()).ok()?;
    let row = |raw: &&RawValue| {
        let kept = if raw.get().starts_with('"') {
            let json: String = serde_json::from_str(raw.get()).ok()?;
            serde_json::from_str(&json).ok()?
        } else {
            serde_json::from_str(raw.get()).ok()?
        };
        Some(match kept {
            Kept::Question(row) => ImportRow { content: content(line.raw("question")?), ..row },
            Kept::Answer(row) => ImportRow { content: content(line.raw("answer")?), ..row },
            Kept::Message(row) => row,
        })
    };
    messages.iter().map(row).collect()
}

/// The line for messages that belong together, behind these lines: at `number` in its file.
pub(super) fn line_of(rows: &[ImportRow], before: &mut Before, number: u64) -> String {
    for candidate in [whole(rows), plain(rows)].into_iter().flatten() {
        // What comes back out of it decides.
        if let Ok(line) = Object::parse(&candidate) {
            let turn = before.read(&line, number);
            if turn.rows == rows {
                before.pass(&turn);
                return candidate;
            }
        }
    }
    let text = described(rows, before);
    if let Ok(line) = Object::parse(&text) {
        before.pass(&before.read(&line, number));
    }
    text
}

/// A line that was kept as it was.
fn whole(rows: &[ImportRow]) -> Option<String> {
    let [row] = rows else { return None };
    Some(row.metadata.get(OPAQUE)?.get().to_owned())
}

/// The line that was kept of these messages without them.
fn kept(rows: &[ImportRow]) -> Option<&str> {
    let kept = rows.iter().find_map(|row| row.metadata.get(LINE))?.get();
    (Object::parse(kept).is_ok() && !kept.contains(['\n', '\r'])).then_some(kept)
}

/// The line that says no more than question, answer and time.
fn plain(rows: &[ImportRow]) -> Option<String> {
    let of = |role| rows.iter().find(|row| row.role == role);
    let (question, answer) = (of(Role::User), of(Role::Assistant));
    let first = rows.first()?;
    let Some(kept) = kept(rows) else {
        let (question, answer) = (text_of(&question?.content)?, text_of(&answer?.content)?);
        return Some(canonical(seq_of(first)?, first.created_at, question, answer));
    };
    let line = Object::parse(kept).ok()?;
    let mut text = Patched::of(kept);
    for (field, row) in [("question", question), ("answer", answer)] {
        if let Some(row) = row {
            let is_text = line.raw(field).is_none_or(|value| value.get() == "0");
            text = text.set(field, value_of(&row.content, is_text)?);
        }
    }
    Some(text.into_text())
}

/// The number in the id of a message of an imported turn.
fn seq_of(row: &ImportRow) -> Option<u64> {
    row.id.as_str().strip_prefix("turn-")?.split(['-', '.']).next()?.parse().ok()
}

/// The line that says of each message what it is, beside a question and an answer for who reads no more than these.
fn described(rows: &[ImportRow], before: &Before) -> String {
    let question = rows.iter().position(|row| row.role == Role::User);
    let answer = rows.iter().rposition(|row| row.role == Role::Assistant);
    let value = |at: Option<usize>| {
        let content = at.map(|at| &rows[at].content);
        let token = content.and_then(text_of).map(str::to_owned);
        (token.is_some(), token.unwrap_or_else(|| quoted(&content.map_or_else(String::new, in_words))))
    };
    let ((holds_question, question_text), (holds_answer, answer_text)) = (value(question), value(answer));
    let messages = rows.iter().enumerate().map(|(at, row)| {
        let empty = || ImportRow { content: Content::empty(), ..row.clone() };
        let kept = if holds_question && question == Some(at) {
            Kept::Question(empty())
        } else if holds_answer && answer == Some(at) {
            Kept::Answer(empty())
        } else {
            Kept::Message(row.clone())
        };
        let json = serde_json::to_string(&kept).expect("a message serialises");
        // A line has no line breaks, and JSON may have some.
        if json.contains(['\n', '\r']) { quoted(&json) } else { json }
    });
    let messages: Vec<String> = messages.collect();
    let mark = format!(r#"{{"messages":[{}]}}"#, messages.join(","));
    let time = rows.first().map_or(before.time, |row| row.created_at);
    let next = before.seq.saturating_add(1);
    let text = match kept(rows) {
        None => canonical(next, time, &question_text, &answer_text),
        Some(kept) => {
            let seq = Object::parse(kept).ok().and_then(|line| line.get::<u64>("seq"));
            let seq = seq.filter(|seq| *seq >= next).unwrap_or(next);
            Patched::of(kept)
                .set("type", "\"turn\"")
                .set("seq", &seq.to_string())
                .set("question", &question_text)
                .set("answer", &answer_text)
                .into_text()
        }
    };
    Patched::of(&text).set(MARK, &mark).into_text()
}

/// What a content says in words.
fn in_words(content: &Content) -> String {
    content.plain_text(usize::MAX)
}

/// Whether a message stands in a line of its own.
pub(super) fn is_opaque(row: &ImportRow) -> bool {
    row.metadata.get(OPAQUE).is_some()
}
