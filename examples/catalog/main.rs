//! Imports chats, then lists, searches, follows, forks and prunes them. It exports them to a folder, imports the folder
//! into a second file, and verifies that both stores are equal.
//!
//! ```text
//! cargo run --release -p catalog [-- [FILE] [WORD]]
//! ```
//!
//! `FILE` holds one ShareGPT-style chat per line; by default the example reads a small sample. `WORD` is the search
//! term. The import is in `chats.rs`, the comparison of the stores in `proof.rs`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod chats;
mod proof;

use std::{error::Error, fs, path::Path};

use throughline::transfer::ChatFolder;
use throughline::{
    NewMessage, NewThread, NewTurn, Persistence, Position, Title,
    changes::ChangeScope,
    messages::PageFrom,
    search::SearchMessages,
    sqlite::SqliteOptions,
    threads::{Keep, ListThreads, ThreadList, ThreadSummary},
};

const SAMPLE: &str = include_str!("../quickstart/sample.jsonl");

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next();
    let word = arguments.next().unwrap_or_else(|| "the".to_owned());
    let text = file.map_or_else(|| Ok(SAMPLE.to_owned()), fs::read_to_string)?;
    let folder = tempfile::tempdir()?;
    let db = open(&folder.path().join("chats.db")).await?;

    let imported = chats::import(&db, &text).await?;
    println!("imported {} chats with {} messages", imported.chats, imported.messages);
    let list = db.threads(ListThreads::new(5)).await?;
    show(&list);
    search(&db, &word, list.position).await?;
    follow(&db, list.position).await?;
    fork_and_prune(&db, &list).await?;

    let other = open(&folder.path().join("second.db")).await?;
    export_and_import(&folder.path().join("chats"), &db, &other).await?;
    db.close().await?;
    other.close().await?;
    Ok(())
}

async fn open(path: &Path) -> Result<Persistence, Failure> {
    let backend = SqliteOptions::new().search(true).open(path).await?;
    Ok(Persistence::builder().backend(backend).build()?)
}

/// Exports everything to a folder, imports the folder into a second store, and verifies that both are equal.
async fn export_and_import(chats: &Path, db: &Persistence, other: &Persistence) -> Result<(), Failure> {
    let written = ChatFolder::create(chats)?.export(db).await?;
    println!("exported: {written}");
    let source = ChatFolder::open(chats)?;
    let planned = source.plan().await?;
    let read = source.import(other).await?;
    println!("imported again: {read}");
    for finding in written.skipped.iter().chain(&read.skipped) {
        println!("  skipped: {finding}");
    }
    let (threads, messages) = proof::compare(db, other).await?;
    if (planned.messages, read.messages) != (written.messages, written.messages) {
        return Err("the import differs from the export or from its plan".into());
    }
    println!("the second file has the same {threads} threads with the same {messages} messages");
    Ok(())
}

fn show(list: &ThreadList) {
    for ThreadSummary { title, messages, turns, preview, .. } in &list.threads {
        let preview = preview.as_deref().unwrap_or("").replace('\n', " ");
        println!("  {title}: {messages} messages in {turns} turns, {preview}");
    }
}

/// Prints the messages that contain a word.
async fn search(db: &Persistence, word: &str, committed: Position) -> Result<(), Failure> {
    // The store updates the full-text index while it has no writes. A host shows the current hits; the example waits for all
    // of them.
    let found = loop {
        let found = db.search(SearchMessages::new(word, 3)).await?;
        if found.indexed >= committed {
            break found;
        }
        tokio::task::yield_now().await;
    };
    println!("the best hits for `{word}`:");
    for hit in found.hits {
        let mut shown = hit.snippet;
        for (begin, end) in hit.marks.iter().rev() {
            shown.insert(*end as usize, ']');
            shown.insert(*begin as usize, '[');
        }
        println!("  {} at {}: {}", hit.thread, hit.seq, shown.replace('\n', " "));
    }
    Ok(())
}

/// Reads the changes of another task from the change feed.
async fn follow(db: &Persistence, after: Position) -> Result<(), Failure> {
    let writer = tokio::spawn({
        let thread = db.thread("live");
        async move {
            for n in 1..=3 {
                let question = NewMessage::user(&format!("What is {n} + {n}?"));
                let answer = NewMessage::assistant(&format!("{}", n + n));
                thread
                    .append_turn(NewTurn::new(question).answered(answer))
                    .key(format!("turn-{n}").as_str())
                    .await?;
            }
            Ok::<_, throughline::PersistError>(())
        }
    });
    let mut feed = db.changes(ChangeScope::Tenant, after);
    for _ in 0..6 {
        let change = feed.next().await?;
        let message = change.kind.message().ok_or("something other than a message was changed")?;
        println!("  at {} in {}: message {} was added", change.position, change.thread, message.seq);
    }
    writer.await??;
    Ok(())
}

/// Forks a conversation in its middle, and prunes the fork.
async fn fork_and_prune(db: &Persistence, list: &ThreadList) -> Result<(), Failure> {
    let longest = list.threads.iter().max_by_key(|entry| entry.messages).ok_or("there is no thread")?;
    let thread = db.thread(longest.thread.clone());
    let half = u32::try_from(longest.messages.div_ceil(2))?;
    let page = thread.page(PageFrom::Start, half.clamp(1, 1000)).await?;
    let middle = page.messages.last().ok_or("the thread is empty")?;
    let title: Title = format!("{} (branch)", longest.title).parse()?;
    let forked =
        thread.fork(&middle.id, NewThread::new().with_id("branch".parse()?).with_title(title)).await?;
    println!("a branch of `{}` has {} of its {} messages", longest.title, forked.messages, longest.messages);
    let branch = db.thread("branch");
    let plan = branch.plan_prune(Keep::everything().messages(2)).await?;
    let pruned = branch.prune(Keep::everything().messages(2)).await?;
    println!(
        "planned to prune {} messages, and pruned {} with {} bytes",
        plan.messages, pruned.messages, pruned.bytes
    );
    Ok(())
}
