//! What is done to a thread as a whole.

mod end;
mod rebuild;
mod resolve;

use throughline_core::{
    Addressed as _, ErrorKind, Happened, PersistError, ThreadArgs, ThreadChanged, ThreadId, ThreadResult,
    backend::{ThreadFacts, rules},
};

use super::{Scope, refusal};
use crate::rows::{Found, ThreadRow};

impl Scope<'_> {
    pub(super) fn on_thread(&mut self, args: &ThreadArgs) -> Found<ThreadResult> {
        match args {
            ThreadArgs::Delete(delete) => self.delete_thread(&delete.thread).map(ThreadResult::Delete),
            ThreadArgs::Prune(prune) => self.prune(prune).map(ThreadResult::Prune),
            ThreadArgs::Purge(purge) => self.purge(purge).map(ThreadResult::Purge),
            ThreadArgs::TakeLast(take) => self.take_last(take).map(ThreadResult::TakeLast),
            ThreadArgs::Resolve(asked) => self.resolve(asked).map(ThreadResult::Resolve),
            args => {
                let unsupported = || PersistError::unsupported(format_args!("`{}`", args.as_str()));
                let thread = args.thread().ok_or_else(unsupported)?.clone();
                if let Some(what) = self.change(&thread, args)? {
                    self.tell(&thread, what);
                }
                let mut state = self.existing(&thread)?;
                Self::facts(&mut state, &thread)?;
                let entry = state.entry(self.tenant, &thread).ok_or_else(unsupported)?;
                let changed = ThreadChanged { entry, deduplicated: false };
                Ok(args.changed(changed).ok_or_else(unsupported)?)
            }
        }
    }

    /// What leaves the thread in its place. Says what happened, if anything did.
    fn change(&mut self, thread: &ThreadId, args: &ThreadArgs) -> Found<Option<Happened>> {
        if let ThreadArgs::Create(create) = args {
            if self.living(thread)?.is_some() {
                let detail = format!("there is a thread `{thread}`");
                return Err(refusal(ErrorKind::AlreadyExists, detail).into());
            }
            self.put_thread(thread, ThreadRow::new(ThreadFacts::created(create, self.now)));
            self.relabel(thread);
            return Ok(Some(Happened::ThreadCreated));
        }
        let mut state = self.existing(thread)?;
        let what = match args {
            ThreadArgs::Rebuild(_) => {
                self.rebuild(thread, state)?;
                return Ok(None);
            }
            ThreadArgs::Clear(clear) => {
                rules::expect_generation(clear.expected, state.generation)?;
                self.clear(&mut state, thread)?
            }
            args => match self.change_facts(&mut state, thread, args)? {
                Some(what) => what,
                None => return Ok(None),
            },
        };
        Self::facts(&mut state, thread)?.changed(self.now);
        self.put_thread(thread, state);
        Ok(Some(what))
    }

    fn change_facts(
        &mut self,
        state: &mut ThreadRow,
        thread: &ThreadId,
        args: &ThreadArgs,
    ) -> Found<Option<Happened>> {
        let facts = Self::facts(state, thread)?;
        Ok(Some(match args {
            ThreadArgs::Rename(rename) => {
                rules::expect_title(rename.expected.as_ref(), &facts.title)?;
                facts.title = rename.title.clone();
                Happened::ThreadChanged
            }
            ThreadArgs::Archive(archive) => {
                facts.archived = archive.archived;
                Happened::ThreadChanged
            }
            ThreadArgs::Label(label) => {
                let mut labels = facts.labels.clone();
                labels.apply(&label.labels);
                rules::check_labels(&labels)?;
                facts.labels = labels;
                facts.metadata.apply(&label.metadata);
                if let Some(owner) = &label.owner {
                    facts.owner.clone_from(owner);
                }
                self.relabel(thread);
                Happened::ThreadChanged
            }
            ThreadArgs::Publish(_) => {
                if !facts.publish() {
                    return Ok(None);
                }
                Happened::ThreadPublished
            }
            other => return Err(PersistError::unsupported(format_args!("`{}`", other.as_str())).into()),
        }))
    }

    /// The labels of a thread are to be found by other ones.
    fn relabel(&mut self, thread: &ThreadId) {
        let key = self.key(thread);
        self.rows.labelled.push(key);
    }
}
