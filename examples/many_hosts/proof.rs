//! Checks the store and the change feed at the end.

use std::collections::{BTreeSet, HashMap, HashSet};

use throughline::{
    Content, MessageState, Persistence,
    messages::{PageFrom, Visibility},
};

use crate::{Failure, host, hosts::Acknowledged};

/// Checks that every acknowledged message is stored once, complete, and in the order of its writer. Returns the number
/// of stored messages, which includes messages without an acknowledgment.
pub(crate) async fn all_are_stored(
    db: &Persistence,
    acknowledged: &[Acknowledged],
) -> Result<usize, Failure> {
    let threads: BTreeSet<&str> = acknowledged.iter().map(|message| &*message.thread).collect();
    let mut count = 0;
    for thread in threads {
        let mut missing: HashSet<&str> = HashSet::new();
        for message in acknowledged.iter().filter(|message| message.thread == thread) {
            if !missing.insert(&message.id) {
                return Err(format!("{} was acknowledged twice", message.id).into());
            }
        }
        let mut found = HashSet::new();
        // The last id of each writer. The ids of a writer end with an increasing number.
        let mut last: HashMap<String, String> = HashMap::new();
        let mut seq = 0;
        let mut walk = db.thread(thread).walk(PageFrom::Start, Visibility::All);
        while let Some(message) = walk.next().await? {
            let id = message.id.as_str();
            if message.seq.get() <= seq || !found.insert(id.to_owned()) {
                return Err(format!("{id} is stored twice or out of order").into());
            }
            seq = message.seq.get();
            let writer = id.rsplit_once('.').map_or(id, |(writer, _)| writer).to_owned();
            if last.insert(writer, id.to_owned()).is_some_and(|before| *before >= *id) {
                return Err(format!("{id} is stored after a later message of its writer").into());
            }
            if missing.remove(id)
                && (message.state != MessageState::Final || message.content != Content::text(&host::text(id)))
            {
                return Err(format!("{id} was acknowledged and is not complete").into());
            }
        }
        if let Some(lost) = missing.iter().next() {
            return Err(format!("{} acknowledged messages are lost, such as {lost}", missing.len()).into());
        }
        count += found.len();
    }
    Ok(count)
}

/// Checks that the feed emitted each acknowledged message once, with increasing positions. Returns the number of changes.
pub(crate) fn all_were_emitted(
    acknowledged: &[Acknowledged],
    changes: &[(u64, String)],
) -> Result<usize, Failure> {
    if !changes.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err("a position of the feed is not above the one before".into());
    }
    let mut times: HashMap<&str, usize> = HashMap::new();
    for (_, id) in changes.iter().filter(|(_, id)| !id.is_empty()) {
        *times.entry(id).or_default() += 1;
    }
    for message in acknowledged {
        match times.get(&*message.id) {
            Some(1) => {}
            Some(times) => return Err(format!("the feed emitted {} {times} times", message.id).into()),
            None => return Err(format!("the feed did not emit {}", message.id).into()),
        }
    }
    Ok(changes.len())
}
