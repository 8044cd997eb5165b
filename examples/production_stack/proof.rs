//! Checks the end state: every acknowledged message is stored once and in order, and no file contains a part of a secret.

use std::{collections::BTreeMap, fs, path::Path};

use aho_corasick::AhoCorasick;
use throughline::{
    Message, Persistence, ThreadId,
    messages::{PageFrom, Visibility},
};

use crate::{Failure, traffic::Acknowledged};

/// The shortest part of a secret, in bytes, that must not be found. Shorter parts can occur by chance.
const PART: usize = 8;

/// Checks that each thread contains its acknowledged messages in order, and no others. Returns the number of threads.
pub(crate) async fn all_are_stored(
    db: &Persistence,
    acknowledged: &[Acknowledged],
) -> Result<usize, Failure> {
    let mut threads = BTreeMap::<&ThreadId, Vec<&Acknowledged>>::new();
    for one in acknowledged {
        threads.entry(&one.thread).or_default().push(one);
    }
    for (thread, expected) in &threads {
        let found = all_messages(db, thread).await?;
        if found.len() != expected.len() {
            return Err(format!("{thread}: {} messages, expected {}", found.len(), expected.len()).into());
        }
        for (expected, found) in expected.iter().zip(&found) {
            if expected.id != found.id {
                return Err(format!("{thread}: found `{}`, expected `{}`", found.id, expected.id).into());
            }
            if expected.content != found.content {
                return Err(
                    format!("{thread}: `{}` differs from the acknowledged content", expected.id).into()
                );
            }
        }
    }
    Ok(threads.len())
}

async fn all_messages(db: &Persistence, thread: &ThreadId) -> Result<Vec<Message>, Failure> {
    let mut walk = db.thread(thread).walk(PageFrom::Start, Visibility::Final);
    let mut messages = Vec::new();
    while let Some(message) = walk.next().await? {
        messages.push(message);
    }
    Ok(messages)
}

/// Searches every file of a folder for every part of every secret. Returns the number of searched bytes.
pub(crate) fn check_no_secret_in(folder: &Path, secrets: &[String]) -> Result<usize, Failure> {
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
