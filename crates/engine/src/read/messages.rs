use throughline_core::{
    Lease, Message, MessageState, Position, Seq, Timestamp,
    backend::{AnswerBytes, EstimatedSize as _, rules},
    messages::{DamagedMessage, ListOpen, OpenCursor, OpenReservations, Page, ReadPage, Visibility},
};

use crate::rows::ThreadRow;

/// A page of a thread. `rows` are the messages above the floor, from the cursor on in the direction of the read; `with_content` reads
/// one with its content.
pub fn page<M>(
    read: &ReadPage,
    thread: Option<&ThreadRow>,
    first_open: Option<Seq>,
    position: Position,
    rows: impl Iterator<Item = (Seq, MessageState, M)>,
    with_content: impl FnMut(M) -> Result<Message, DamagedMessage>,
) -> Page {
    let living = thread.filter(|thread| !thread.deleted);
    let ends_at = first_open.filter(|_| read.visibility == Visibility::Settled);
    let is_shown = |(seq, state, _): &(Seq, MessageState, M)| {
        ends_at.is_none_or(|end| *seq < end) && rules::is_visible(read.visibility, *state)
    };
    let shown = rows.filter(is_shown).map(|(.., message)| message);
    let Fitted { mut messages, damaged, has_more } = fit(shown, with_content, read.limit, read.max_bytes);
    if !read.from.is_forward() {
        messages.reverse();
    }
    let last_seq = living.map_or(Seq::ZERO, |thread| thread.last_seq);
    Page { thread: read.thread.clone(), messages, damaged, has_more, first_open, last_seq, position }
}

/// Open messages. `rows` are those behind the cursor, by thread and then by sequence number, each with its lease.
pub fn open_messages<M>(
    list: &ListOpen,
    now: Timestamp,
    rows: impl Iterator<Item = (Option<Lease>, M)>,
    with_content: impl FnMut(M) -> Result<Message, DamagedMessage>,
) -> OpenReservations {
    let is_expired = |lease: &Option<Lease>| lease.is_none_or(|lease| lease.is_expired(now));
    let shown = rows.filter(|(lease, _)| !list.expired_only || is_expired(lease)).map(|(_, message)| message);
    let Fitted { messages, damaged, has_more } = fit(shown, with_content, list.limit, list.max_bytes);
    // The last message that was examined, readable or not: the rows are in the order of the cursor.
    let read = messages.last().map(|last| OpenCursor { thread: last.thread.clone(), seq: last.seq });
    let cursor = |last: &DamagedMessage| Some(OpenCursor { thread: last.thread.clone(), seq: last.seq? });
    let last = read.max(damaged.iter().rev().find_map(cursor));
    OpenReservations { messages, damaged, next: last.filter(|_| has_more) }
}

struct Fitted {
    messages: Vec<Message>,
    damaged: Vec<DamagedMessage>,
    has_more: bool,
}

/// Returns as many messages as an answer may contain.
fn fit<M>(
    rows: impl Iterator<Item = M>,
    mut with_content: impl FnMut(M) -> Result<Message, DamagedMessage>,
    limit: u32,
    max_bytes: u32,
) -> Fitted {
    let mut bytes = AnswerBytes::new(max_bytes);
    let mut fitted = Fitted { messages: Vec::new(), damaged: Vec::new(), has_more: false };
    for (count, row) in rows.enumerate() {
        fitted.has_more = count == limit as usize;
        if fitted.has_more {
            break;
        }
        match with_content(row) {
            Ok(message) if bytes.take(message.estimated_size()) => fitted.messages.push(message),
            Ok(_) => {
                fitted.has_more = true;
                break;
            }
            Err(damaged) => fitted.damaged.push(damaged),
        }
    }
    fitted
}

#[cfg(test)]
mod tests {
    use throughline_core::{Content, MessageState::*, Role, messages::PageFrom};

    use super::*;
    use crate::rows::{LastChange, MessageRow};

    fn message(seq: u64) -> Message {
        let add = throughline_core::messages::Add::new(
            "t".parse().unwrap(),
            throughline_core::NewMessage::user("x"),
        );
        add.to_message(&"a".parse().unwrap(), Seq::new(seq), Timestamp::from_micros(0))
    }

    fn read(visibility: Visibility, limit: u32, states: &[MessageState]) -> (Vec<u64>, bool) {
        let rows = (1..).zip(states).map(|(seq, state)| (Seq::new(seq), *state, seq));
        let first_open = (1..).zip(states).find(|(_, state)| state.is_open()).map(|(seq, _)| Seq::new(seq));
        let read = ReadPage { visibility, ..ReadPage::new("t".parse().unwrap(), PageFrom::Start, limit) };
        let page = page(&read, None, first_open, Position::ZERO, rows, |seq| Ok(message(seq)));
        (page.messages.iter().map(|message| message.seq.get()).collect(), page.has_more)
    }

    #[test]
    fn a_page_shows_what_its_visibility_says() {
        let states = [Final, Abandoned, Streaming, Final];
        assert_eq!(read(Visibility::All, 9, &states), (vec![1, 2, 3, 4], false));
        assert_eq!(read(Visibility::Final, 9, &states), (vec![1, 4], false));
        assert_eq!(read(Visibility::Settled, 9, &states), (vec![1, 2], false));
    }

    #[test]
    fn a_page_that_ends_with_the_last_message_has_no_more() {
        assert_eq!(read(Visibility::All, 2, &[Final, Final]), (vec![1, 2], false));
        assert_eq!(read(Visibility::All, 1, &[Final, Final]), (vec![1], true));
        assert_eq!(read(Visibility::Final, 1, &[Final, Abandoned]), (vec![1], false));
    }

    #[test]
    fn a_list_of_open_messages_goes_on_behind_a_damaged_one() {
        let thread: throughline_core::ThreadId = "t".parse().unwrap();
        let rows = |after: u64| (after + 1..=4).map(|seq| (None, seq));
        let whole = |seq: u64| match seq {
            3 => Ok(message(seq)),
            _ => Err(DamagedMessage { thread: thread.clone(), seq: Some(Seq::new(seq)), id: None }),
        };
        let mut list = ListOpen::new(2);
        let (mut read, mut damaged) = (Vec::new(), Vec::new());
        loop {
            let after = list.after.as_ref().map_or(0, |after| after.seq.get());
            let page = open_messages(&list, Timestamp::from_micros(0), rows(after), whole);
            read.extend(page.messages.iter().map(|message| message.seq.get()));
            damaged.extend(page.damaged.iter().filter_map(|damaged| damaged.seq).map(Seq::get));
            list.after = page.next;
            if list.after.is_none() {
                break;
            }
        }
        assert_eq!((read, damaged), (vec![3], vec![1, 2, 4]));
    }

    #[test]
    fn a_row_says_what_its_message_says() {
        let whole = message(7);
        let row = MessageRow::new(&whole, LastChange::Stored(1));
        assert_eq!(row.role, Role::User);
        let again = row.message(&whole.tenant, &whole.thread, &whole.id, Content::text("x"));
        assert_eq!(again, whole);
    }
}
