//! Converts messages to lines of a transcript.

use throughline_core::{Content, Role, messages::ImportRow};

use crate::object::{Object, Patched, quoted};

use super::{
    MARK,
    mark::mark_of,
    turn::{Before, Kind, LINE, OPAQUE, canonical, newer},
    value::{text_of, value_of},
};

/// Returns the line for a group of messages after these lines; `number` is its line number.
pub(super) fn line_of(rows: &[ImportRow], before: &mut Before, number: u64) -> String {
    for candidate in [whole(rows), plain(rows)].into_iter().flatten() {
        // The line is used only if reading it returns the same messages.
        if let Ok(line) = Object::read(&candidate)
            && Kind::of(&line) == Kind::Turn
            && !candidate.contains(['\n', '\r'])
        {
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

/// Returns a line that was kept byte for byte.
fn whole(rows: &[ImportRow]) -> Option<String> {
    let [row] = rows else { return None };
    let line = row.metadata.get(OPAQUE)?.get();
    // A host's own metadata may contain line breaks.
    (!line.contains(['\n', '\r'])).then(|| line.to_owned())
}

/// Returns the kept line of these messages, without their content.
fn kept(rows: &[ImportRow]) -> Option<&str> {
    let kept = rows.iter().find_map(|row| row.metadata.get(LINE))?.get();
    let line = Object::parse(kept).ok().filter(|_| !kept.contains(['\n', '\r']))?;
    let is_turn = Kind::of(&line) == Kind::Turn && newer(&line, &mut Vec::new()).is_none();
    // A described line also sets its number, its question, its answer and the extra field of an export.
    (is_turn && line.has_space_for(4)).then_some(kept)
}

/// Returns a line with only a question, an answer and a time.
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

/// Returns the number in the id of a message of an imported turn.
fn seq_of(row: &ImportRow) -> Option<u64> {
    row.id.as_str().strip_prefix("turn-")?.split(['-', '.']).next()?.parse().ok()
}

/// Returns a line that describes each message, with a question and an answer for simpler readers.
fn described(rows: &[ImportRow], before: &Before) -> String {
    let question = rows.iter().position(|row| row.role == Role::User);
    let answer = rows.iter().rposition(|row| row.role == Role::Assistant);
    let value = |at: Option<usize>| {
        let content = at.map(|at| &rows[at].content);
        let token = content.and_then(text_of).map(str::to_owned);
        (token.is_some(), token.unwrap_or_else(|| quoted(&content.map_or_else(String::new, in_words))))
    };
    let ((holds_question, question_text), (holds_answer, answer_text)) = (value(question), value(answer));
    let mark = mark_of(rows, question.filter(|_| holds_question), answer.filter(|_| holds_answer));
    let time = rows.first().map_or(before.time, |row| row.created_at);
    let next = before.seq.saturating_add(1);
    let text = match kept(rows) {
        None => canonical(next, time, &question_text, &answer_text),
        Some(kept) => {
            let seq = Object::parse(kept).ok().and_then(|line| line.get::<u64>("seq"));
            let seq = seq.filter(|seq| *seq >= next).unwrap_or(next);
            Patched::of(kept)
                .set("seq", &seq.to_string())
                .set("question", &question_text)
                .set("answer", &answer_text)
                .into_text()
        }
    };
    Patched::of(&text).set(MARK, &mark).into_text()
}

/// Returns the text of a content.
fn in_words(content: &Content) -> String {
    content.plain_text(usize::MAX)
}

/// Returns true if a message has a line of its own.
pub(super) fn is_opaque(row: &ImportRow) -> bool {
    row.metadata.get(OPAQUE).is_some()
}
