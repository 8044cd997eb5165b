//! What has to hold in the end.

use std::collections::{BTreeSet, HashMap, HashSet};

use throughline::{
    Content, MessageState, Persistence,
    messages::{PageFrom, Visibility},
};

use crate::{Failure, host, hosts::Acknowledged};

/// Whether every acknowledged message is there once, whole, and in the order in which its writer wrote; says how many there are, those
/// included that nobody was told of.
pub(crate) async fn all_is_there(db: &Persistence, acknowledged: &[Acknowledged]) -> Result<usize, Failure> {
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
        // By writer: names end with a number that grows.
        let mut last: HashMap<String, String> = HashMap::new();
        let mut seq = 0;
        let mut walk = db.thread(thread).walk(PageFrom::Start, Visibility::All);
        while let Some(message) = walk.next().await? {
            let id = message.id.as_str();
            if message.seq.get() <= seq || !found.insert(id.to_owned()) {
                return Err(format!("{id} is there twice, or out of order").into());
            }
            seq = message.seq.get();
            let writer = id.rsplit_once('.').map_or(id, |(writer, _)| writer).to_owned();
            if last.insert(writer, id.to_owned()).is_some_and(|before| *before >= *id) {
                return Err(format!("{id} stands behind what its writer wrote later").into());
            }
            if missing.remove(id)
                && (message.state != MessageState::Final || message.content != Content::text(&host::text(id)))
            {
                return Err(format!("{id} was acknowledged and is not whole").into());
            }
        }
        if let Some(lost) = missing.iter().next() {
            return Err(format!("{} acknowledged messages are lost, such as {lost}", missing.len()).into());
        }
        count += found.len();
    }
    Ok(count)
}

/// Whether the feed has told each acknowledged message once, and its positions in order; says how many changes there were.
pub(crate) fn all_was_told(acknowledged: &[Acknowledged], told: &[(u64, String)]) -> Result<usize, Failure> {
    if !told.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err("the feed has gone back".into());
    }
    let mut times: HashMap<&str, usize> = HashMap::new();
    for (_, id) in told.iter().filter(|(_, id)| !id.is_empty()) {
        *times.entry(id).or_default() += 1;
    }
    for message in acknowledged {
        match times.get(&*message.id) {
            Some(1) => {}
            Some(times) => return Err(format!("the feed has told {} {times} times", message.id).into()),
            None => return Err(format!("the feed has not told {}", message.id).into()),
        }
    }
    Ok(told.len())
}
