//! The operations on a whole thread.

mod change;
mod clear;
mod delete;
mod prune;
mod purge;
mod rebuild;
mod resolve;
mod take_last;

use throughline_core::{
    ErrorKind, MessageId, PersistError, Seq, ThreadId,
    backend::{AnswerBytes, ThreadStats, rules},
    changes::ChangeKind,
    messages::ReadPage,
    operations::Addressed as _,
    threads::{ThreadArgs, ThreadChanged, ThreadResult},
};

use super::{Decided, WriteScope, load::summary_mut, refusal};
use crate::{
    RowSource,
    rows::{MessageRow, ThreadRow},
};

impl<S: RowSource> WriteScope<'_, S> {
    pub(super) fn on_thread(&mut self, args: &ThreadArgs) -> Decided<ThreadResult, S> {
        match args {
            ThreadArgs::Delete(delete) => self.delete_thread(&delete.thread).map(ThreadResult::Delete),
            ThreadArgs::Prune(prune) => self.prune(prune).map(ThreadResult::Prune),
            ThreadArgs::Purge(purge) => self.purge(purge).map(ThreadResult::Purge),
            ThreadArgs::TakeLast(take) => self.take_last(take).map(ThreadResult::TakeLast),
            ThreadArgs::Resolve(asked) => self.resolve(asked).map(ThreadResult::Resolve),
            args => {
                let unsupported = || PersistError::unsupported(format_args!("`{}`", args.as_str()));
                let thread = args.thread().ok_or_else(unsupported)?;
                if let Some(event) = self.change(thread, args)? {
                    self.emit(thread, event);
                }
                let mut state = self.existing(thread)?;
                summary_mut(&mut state, thread)?;
                let entry = state.entry(self.tenant, thread).ok_or_else(unsupported)?;
                let changed = ThreadChanged { summary: entry, deduplicated: false };
                Ok(args.changed(changed).ok_or_else(unsupported)?)
            }
        }
    }

    /// Applies an operation that does not delete the thread. Returns the change event, if there is one.
    fn change(&mut self, thread: &ThreadId, args: &ThreadArgs) -> Decided<Option<ChangeKind>, S> {
        if let ThreadArgs::Create(create) = args {
            if self.living(thread)?.is_some() {
                let detail = format!("the thread `{thread}` exists already");
                return Err(refusal(ErrorKind::AlreadyExists, detail).into());
            }
            rules::check_labels(&create.labels)?;
            self.put_thread(thread, ThreadRow::new(ThreadStats::created(create, self.now)));
            self.relabel(thread);
            return Ok(Some(ChangeKind::ThreadCreated));
        }
        if matches!(args, ThreadArgs::Rebuild(_)) {
            self.rebuild(thread)?;
            return Ok(None);
        }
        let mut state = self.existing(thread)?;
        let event = match args {
            ThreadArgs::Clear(clear) => {
                rules::expect_generation(clear.expected, state.generation)?;
                self.clear(&mut state, thread)?
            }
            args => match self.change_summary(&mut state, thread, args)? {
                Some(event) => event,
                None => return Ok(None),
            },
        };
        summary_mut(&mut state, thread)?.changed(self.now);
        self.put_thread(thread, state);
        Ok(Some(event))
    }

    /// Stages a rewrite of the labels of a thread.
    fn relabel(&mut self, thread: &ThreadId) {
        let key = self.thread_key(thread);
        self.rows.relabeled.push(key);
    }
}

/// Truncates a list of messages to remove when their attachment keys reach the byte limit of an answer. Returns whether it was
/// truncated. The first message always remains.
fn end_at_bytes(removed: &mut Vec<(MessageId, Seq, MessageRow)>) -> bool {
    let mut bytes = AnswerBytes::new(ReadPage::DEFAULT_BYTES);
    let names = |row: &MessageRow| row.attachments.iter().map(|key| key.as_str().len()).sum();
    let fits = removed.iter().take_while(|(.., row)| bytes.take(names(row))).count();
    let is_cut = fits < removed.len();
    removed.truncate(fits);
    is_cut
}
