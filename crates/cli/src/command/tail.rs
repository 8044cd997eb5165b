//! `tail`: the changes of a store, with the content that they bring.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use clap::Args;
use serde::Serialize;
use throughline::{
    Delta, ErrorKind, Message, MessageId, PersistError, Persistence, Position, ThreadId,
    changes::{Change, ChangeFeed, ChangeKind, ChangeScope},
    messages::{ContentCursor, PageFrom, ReadPage},
    threads::ListThreads,
};

use super::show::{existing, parts};
use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{BAD, BOLD, CAUTION, DIM, ID, Output, line, time_of_day},
};

/// How long a lost store may stay away before the command fails.
const AWAY_LIMIT: Duration = Duration::from_secs(60);
/// The wait before another attempt.
const AGAIN: Duration = Duration::from_millis(200);
/// The open replies whose shown content is remembered. Another one is shown from its start.
const MAX_OPEN: usize = 1024;

/// Shows the changes of a thread or of the tenant
///
/// It shows each change once, with the text of the replies that are being written. With --follow it waits for more.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The thread; all threads of the tenant otherwise
    thread: Option<ThreadId>,
    /// Begins after this position; 0 is the first. Otherwise it begins at the end
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// Waits for further changes, until Ctrl-C
    #[arg(long, short)]
    pub(super) follow: bool,
    /// The latest messages of the thread to show first, unless --after is given
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=i64::from(ReadPage::MAX_LIMIT)))]
    last: u32,
}

impl Tail {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        if self.thread.is_none() && self.after.is_none() && !self.follow {
            return Err(Failure::usage("`tail` has nothing to show")
                .advise("name a thread, or add --after or --follow"));
        }
        let db = session.open(Access::Read).await?;
        let output = &mut session.output;
        let from = match (&self.thread, self.after) {
            (_, Some(position)) => Position::new(position),
            (Some(thread), None) => {
                // A thread to wait for may come later.
                if !self.follow {
                    existing(&db, thread).await?;
                }
                latest(&db, thread, self.last, output).await?
            }
            (None, None) => db.threads(ListThreads::new(1)).await?.position,
        };
        if self.after.is_none() && !self.follow {
            return Ok(Exit::Done);
        }
        let scope = self.thread.map_or(ChangeScope::Tenant, ChangeScope::Thread);
        let feed = db.changes(scope, from);
        let mut shower = Shower { db, open: HashMap::new(), has_damage: false };
        shower.run(feed, self.follow, output).await?;
        Ok(if shower.has_damage { Exit::Findings } else { Exit::Done })
    }
}

/// Shows the latest messages, and returns the position up to which they are complete.
async fn latest(
    db: &Persistence,
    thread: &ThreadId,
    last: u32,
    output: &mut Output,
) -> Result<Position, Failure> {
    #[derive(Serialize)]
    struct Latest<'a> {
        position: u64,
        message: &'a Message,
    }
    let page = db.thread(thread.clone()).page(PageFrom::End, last.max(1)).await?;
    let skipped = page.messages.len().saturating_sub(last as usize);
    for message in &page.messages[skipped..] {
        if output.is_json() {
            output.json("tail", &Latest { position: page.position.get(), message })?;
            continue;
        }
        let (at, role) = (time_of_day(message.created_at), message.role.as_str());
        let text = line(&parts(message).join(" "));
        output.line(format_args!("{DIM}{at}  #{}{DIM:#} {BOLD}{role}{BOLD:#}: {text}", message.seq))?;
    }
    output.flush()?;
    Ok(page.position)
}

/// A change with its content.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    change: &'a Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Grown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<String>,
}

/// The content that an open reply has gained.
#[derive(Serialize)]
struct Grown {
    /// Whether it begins at the start of the message.
    replaced: bool,
    parts: Vec<Delta>,
}

struct Shower {
    db: Persistence,
    /// The end of the shown content of each open reply.
    open: HashMap<(ThreadId, MessageId), ContentCursor>,
    has_damage: bool,
}

impl Shower {
    async fn run(&mut self, mut feed: ChangeFeed, waits: bool, output: &mut Output) -> Result<(), Failure> {
        let mut failing_since = None;
        loop {
            let next = match feed.next_now().await {
                Err(error) if waits && error.is_transient() => {
                    self.wait(&mut failing_since, error).await?;
                    continue;
                }
                next => next?,
            };
            failing_since = None;
            let Some(change) = next else {
                output.flush()?;
                if !waits {
                    return Ok(());
                }
                feed.wait_for_commit().await;
                continue;
            };
            // The feed has passed the change, so it is shown before anything else.
            let shown = loop {
                match self.shown(&change).await {
                    Err(error) if waits && error.is_transient() => {
                        self.wait(&mut failing_since, error).await?;
                    }
                    shown => break shown?,
                }
            };
            failing_since = None;
            self.has_damage |=
                shown.damaged.is_some() || matches!(change.kind, ChangeKind::Unreadable { .. });
            if output.is_json() {
                output.json("tail", &shown)?;
            } else {
                write(&shown, output)?;
            }
        }
    }

    /// Waits before another attempt, for a store whose writer has crashed or whose server restarts.
    async fn wait(&self, since: &mut Option<Instant>, error: PersistError) -> Result<(), Failure> {
        if since.get_or_insert_with(Instant::now).elapsed() > AWAY_LIMIT {
            return Err(error.into());
        }
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }

    async fn shown<'a>(&mut self, change: &'a Change) -> throughline::Result<Shown<'a>> {
        let mut shown = Shown { change, message: None, content: None, damaged: None };
        let Some(of) = change.kind.message() else { return Ok(shown) };
        let key = (change.thread.clone(), of.id.clone());
        let read = match &change.kind {
            ChangeKind::Added(_) | ChangeKind::Edited(_) => {
                self.open.remove(&key);
                self.db
                    .thread(change.thread.clone())
                    .get(of.id.clone())
                    .await
                    .map(|message| shown.message = message)
            }
            ChangeKind::Written(_) | ChangeKind::Finished(_) | ChangeKind::Abandoned(_) => {
                self.grown(&key).await.map(|grown| shown.content = grown)
            }
            ChangeKind::Deleted(_) => {
                self.open.remove(&key);
                Ok(())
            }
            _ => Ok(()),
        };
        match read {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => shown.damaged = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        if matches!(change.kind, ChangeKind::Finished(_) | ChangeKind::Abandoned(_)) {
            self.open.remove(&key);
        }
        Ok(shown)
    }

    /// Reads what a reply has gained since it was shown last.
    async fn grown(&mut self, key: &(ThreadId, MessageId)) -> throughline::Result<Option<Grown>> {
        let mut cursor = self.open.get(key).copied();
        let mut grown = Grown { replaced: cursor.is_none(), parts: Vec::new() };
        let thread = self.db.thread(key.0.clone());
        while let Some(tail) = thread.read_content(key.1.clone(), cursor.take()).await? {
            if tail.replaced {
                grown = Grown { replaced: true, parts: Vec::new() };
            }
            grown.parts.extend(tail.parts);
            cursor = Some(tail.next);
            if !tail.has_more {
                break;
            }
        }
        if let Some(cursor) = cursor {
            if self.open.len() >= MAX_OPEN
                && !self.open.contains_key(key)
                && let Some(forgotten) = self.open.keys().next().cloned()
            {
                self.open.remove(&forgotten);
            }
            self.open.insert(key.clone(), cursor);
        }
        Ok((!grown.parts.is_empty()).then_some(grown))
    }
}

fn write(shown: &Shown<'_>, output: &mut Output) -> Result<(), Failure> {
    let Change { position, thread, at, kind, .. } = shown.change;
    let head = format!("{DIM}{}  {position}{DIM:#} {ID}{}{ID:#}", time_of_day(*at), line(thread.as_str()));
    let text = match kind {
        ChangeKind::Added(of) | ChangeKind::Edited(of) => {
            let verb = if matches!(kind, ChangeKind::Added(_)) { "added" } else { "edited" };
            match &shown.message {
                Some(message) => {
                    let text = line(&parts(message).join(" "));
                    format!("#{} {verb} {BOLD}{}{BOLD:#}: {text}", of.seq, message.role.as_str())
                }
                None => format!("#{} {verb}", of.seq),
            }
        }
        ChangeKind::Reserved(of) => format!("#{} reserved {}", of.seq, line(of.id.as_str())),
        ChangeKind::Written(of) => format!("#{} writes{}", of.seq, gained(shown)),
        ChangeKind::Finished(of) => format!("#{} finished{}", of.seq, gained(shown)),
        ChangeKind::Abandoned(of) => format!("#{} abandoned{}", of.seq, gained(shown)),
        ChangeKind::Patched(of) => format!("#{} metadata changed", of.seq),
        ChangeKind::Deleted(of) => format!("#{} deleted", of.seq),
        ChangeKind::ThreadCreated => "thread created".to_owned(),
        ChangeKind::ThreadChanged => "thread changed".to_owned(),
        ChangeKind::ThreadPublished => "thread published".to_owned(),
        ChangeKind::ThreadCleared { through, .. } => format!("thread cleared up to #{through}"),
        ChangeKind::ThreadPruned { through } => format!("thread pruned up to #{through}"),
        ChangeKind::ThreadDeleted => "thread deleted".to_owned(),
        ChangeKind::Unreadable { why } => format!("{BAD}unreadable{BAD:#}: {}", line(why)),
        other => {
            format!(
                "{CAUTION}a change that this version does not know{CAUTION:#}: {}",
                line(&format!("{other:?}"))
            )
        }
    };
    output.line(format_args!("{head} {text}"))?;
    if let Some(damaged) = &shown.damaged {
        output.line(format_args!("    {BAD}damaged{BAD:#}: {}", line(damaged)))?;
    }
    Ok(())
}

/// The gained content on one line. Only an opening quote shows that it begins at the start.
fn gained(shown: &Shown<'_>) -> String {
    let Some(grown) = &shown.content else { return String::new() };
    let mut text = String::new();
    for part in &grown.parts {
        match part {
            Delta::Text(part) => text.push_str(part),
            Delta::Blocks(blocks) => text.push_str(blocks.as_json()),
        }
    }
    // White space between two parts of a text is a part of it.
    let begins = if grown.replaced { "" } else { "…" };
    format!(": {begins}{}", line(&text))
}
