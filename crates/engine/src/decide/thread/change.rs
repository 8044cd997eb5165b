//! Changes of the values that the host sets on a thread.

use throughline_core::{PersistError, ThreadId, backend::rules, changes::ChangeKind, threads::ThreadArgs};

use crate::{
    RowSource,
    decide::{Decided, WriteScope, load::summary_mut, update::expect_metadata},
    rows::ThreadRow,
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Changes the summary of a thread. Returns the change event if anything changed.
    pub(super) fn change_summary(
        &mut self,
        state: &mut ThreadRow,
        thread: &ThreadId,
        args: &ThreadArgs,
    ) -> Decided<Option<ChangeKind>, S> {
        let summary = summary_mut(state, thread)?;
        Ok(Some(match args {
            ThreadArgs::Rename(rename) => {
                rules::expect_title(rename.expected.as_ref(), &summary.title)?;
                summary.title = rename.title.clone();
                ChangeKind::ThreadChanged
            }
            ThreadArgs::Archive(archive) => {
                summary.archived = archive.archived;
                ChangeKind::ThreadChanged
            }
            ThreadArgs::Label(label) => {
                let mut labels = summary.labels.clone();
                labels.apply(&label.labels);
                rules::check_labels(&labels)?;
                summary.labels = labels;
                let before = summary.metadata.byte_len();
                summary.metadata.apply(&label.metadata);
                expect_metadata(before, summary.metadata.byte_len(), label.max_metadata_bytes)?;
                if let Some(owner) = &label.owner {
                    summary.owner.clone_from(owner);
                }
                self.relabel(thread);
                ChangeKind::ThreadChanged
            }
            ThreadArgs::Publish(_) => {
                if !summary.publish() {
                    return Ok(None);
                }
                ChangeKind::ThreadPublished
            }
            other => return Err(PersistError::unsupported(format_args!("`{}`", other.as_str())).into()),
        }))
    }
}
