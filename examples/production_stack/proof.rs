//! What has to hold in the end: every acknowledged message there once, in order, and no secret in any byte of a file.

use std::{collections::BTreeMap, fs, path::Path};

use aho_corasick::AhoCorasick;
use throughline::{
    Message, Persistence, ThreadId,
    messages::{PageFrom, Visibility},
};

use crate::{Failure, traffic::Acknowledged};

/// How many bytes in a row of a secret are a part of it that must not be found. Fewer stand anywhere by chance.
const PART: usize = 8;

/// Every thread holds what was acknowledged of it, in that order, and nothing else.
pub(crate) async fn all_is_there(db: &Persistence, acknowledged: &[Acknowledged]) -> Result<usize, Failure> {
    let mut threads = BTreeMap::<&ThreadId, Vec<&Acknowledged>>::new();
    for one in acknowledged {
        threads.entry(&one.thread).or_default().push(one);
    }
    for (thread, due) in &threads {
        let found = all_of(db, thread).await?;
        if found.len() != due.len() {
            return Err(format!("{thread} has {} messages, and {} are due", found.len(), due.len()).into());
        }
        for (due, found) in due.iter().zip(&found) {
            if due.id != found.id {
                return Err(format!("{thread}: `{}` stands where `{}` is due", found.id, due.id).into());
            }
            if due.content != found.content {
                return Err(format!("{thread}: `{}` is not what was acknowledged", due.id).into());
            }
        }
    }
    Ok(threads.len())
}

async fn all_of(db: &Persistence, thread: &ThreadId) -> Result<Vec<Message>, Failure> {
    let mut walk = db.thread(thread).walk(PageFrom::Start, Visibility::Final);
    let mut messages = Vec::new();
    while let Some(message) = walk.next().await? {
        messages.push(message);
    }
    Ok(messages)
}

/// Looks for every part of every secret in every file of a folder. Answers how many bytes were looked at.
pub(crate) fn no_secret_is_in(folder: &Path, secrets: &[String]) -> Result<usize, Failure> {
    let parts = secrets.iter().flat_map(|secret| secret.as_bytes().windows(PART));
    let parts = AhoCorasick::new(parts)?;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = fs::read(&path)?;
        if parts.is_match(&file) {
            return Err(format!("a part of a secret is in {}", path.display()).into());
        }
        bytes += file.len();
    }
    Ok(bytes)
}
