//! A visitor over the content fields of an operation or an answer, with one method for each kind of field.

use throughline_core::{
    Content, Delta, Effect, ErrorKind, MessageId, Metadata, PersistArgs, PersistError, PersistResult,
    ReadArgs, ReadResult, Result, ThreadId, Title,
    messages::{CarriesContent, ContentFieldMut, FieldValueMut, FindMessages},
    replication::ReplicaArgs,
    search::{SearchHit, SearchHits, SearchMessages},
    threads::ThreadArgs,
};

/// Returns the error for a request for row images. A layer that changes content refuses them, because a replica made
/// through it would differ from the store.
pub(crate) fn refuse_row_images(layer: &str) -> PersistError {
    let detail = format!(
        "row images do not pass through `{layer}`: build a pipeline on the backend alone to copy them"
    );
    PersistError::new(ErrorKind::Unsupported, detail).with_effect(Effect::NotApplied)
}

/// Returns the error for an operation or an answer of a newer version of the core, whose content fields the layer does
/// not know.
pub(crate) fn refuse_unknown(layer: &str, operation: &str) -> PersistError {
    let detail = format!(
        "`{layer}` does not know the operation {operation}: use one version of throughline throughout"
    );
    PersistError::new(ErrorKind::Unsupported, detail)
}

/// The thread and the message that a field belongs to.
#[derive(Debug, Clone, Copy)]
pub struct FieldOwner<'a> {
    /// The thread.
    pub thread: &'a ThreadId,
    /// The message; none for a field of the thread itself.
    pub message: Option<&'a MessageId>,
}

impl FieldOwner<'_> {
    /// Adds the owner of the field to an error.
    #[must_use]
    pub fn name_in(&self, error: PersistError) -> PersistError {
        match self.message {
            Some(message) => error.about(self.thread, message),
            None => error.about_thread(self.thread),
        }
    }
}

/// The text of a search hit, and its marks.
pub struct Snippet<'a> {
    /// An excerpt of the message.
    pub text: &'a mut String,
    /// The byte ranges of the matched terms in the text.
    pub marks: &'a mut Vec<(u32, u32)>,
}

/// Prints lengths only: content does not belong in logs.
impl std::fmt::Debug for Snippet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snippet")
            .field("text", &format_args!("{} bytes", self.text.len()))
            .field("marks", &self.marks)
            .finish()
    }
}

/// Rewrites content in every kind of field that can carry it.
///
/// No method has a default. A new kind of field is a new method, so every implementation fails to compile until it
/// handles the field. A method for a field that an implementation does not support refuses the call.
///
/// ```compile_fail,E0046
/// use throughline_core::{Content, Result};
/// use throughline_layers::{transform::{FieldOwner, RewriteFields}};
///
/// struct Upper;
///
/// // missing: `delta`, `metadata`, `metadata_patch`, `reason`, `title`, `preview`, `snippet`, `query`, `criterion`
/// impl RewriteFields for Upper {
///     fn content(&mut self, _: FieldOwner<'_>, content: &mut Content) -> Result<()> {
///         *content = Content::text(&content.plain_text(usize::MAX).to_uppercase());
///         Ok(())
///     }
/// }
/// ```
///
/// [`rewrite_args`] and [`rewrite_result`] visit all fields. A [`Transform`](super::Transform), which rewrites strings,
/// does not need this trait.
pub trait RewriteFields {
    /// Rewrites the whole content of a message.
    ///
    /// # Errors
    /// An error refuses the call.
    fn content(&mut self, owner: FieldOwner<'_>, content: &mut Content) -> Result<()>;

    /// Rewrites appended content.
    ///
    /// # Errors
    /// An error refuses the call.
    fn delta(&mut self, owner: FieldOwner<'_>, delta: &mut Delta) -> Result<()>;

    /// Rewrites the metadata of a message or of a thread.
    ///
    /// # Errors
    /// An error refuses the call.
    fn metadata(&mut self, owner: FieldOwner<'_>, metadata: &mut Metadata) -> Result<()>;

    /// Rewrites a patch of metadata, in which `null` removes a member.
    ///
    /// # Errors
    /// An error refuses the call.
    fn metadata_patch(&mut self, owner: FieldOwner<'_>, patch: &mut Metadata) -> Result<()>;

    /// Rewrites the reason for an end, as the caller gave it.
    ///
    /// # Errors
    /// An error refuses the call.
    fn reason(&mut self, owner: FieldOwner<'_>, reason: &mut String) -> Result<()>;

    /// Rewrites the title of a thread.
    ///
    /// # Errors
    /// An error refuses the call.
    fn title(&mut self, owner: FieldOwner<'_>, title: &mut Title) -> Result<()>;

    /// Rewrites the preview of a thread in a list.
    ///
    /// # Errors
    /// An error refuses the call.
    fn preview(&mut self, owner: FieldOwner<'_>, preview: &mut String) -> Result<()>;

    /// Rewrites the snippet of a search hit.
    ///
    /// # Errors
    /// An error refuses the call.
    fn snippet(&mut self, owner: FieldOwner<'_>, snippet: Snippet<'_>) -> Result<()>;

    /// Rewrites a search query.
    ///
    /// # Errors
    /// An error refuses the call.
    fn query(&mut self, query: &mut String) -> Result<()>;

    /// Rewrites the metadata field and the value by which a find looks for messages, as
    /// [`metadata`](Self::metadata) rewrites the field in a message.
    ///
    /// # Errors
    /// An error refuses the call. A layer that does not store the same value for the same value each time refuses every find.
    fn criterion(&mut self, criterion: &mut Metadata) -> Result<()>;
}

/// Rewrites every field of an operation, and of each item of a batch. `layer` is the name of the layer, for errors.
///
/// # Errors
/// The errors of `rewriter`, with the index of the item of a batch.
/// [`Unsupported`](throughline_core::ErrorKind::Unsupported) for replication:
/// [`ApplyImages`](throughline_core::replication::ApplyImages) and
/// [`ReadImages`](throughline_core::replication::ReadImages) carry fields in the format of the store.
pub fn rewrite_args(layer: &str, args: &mut PersistArgs, rewriter: &mut impl RewriteFields) -> Result<()> {
    match args {
        PersistArgs::Batch(batch) => batch.items.iter_mut().enumerate().try_for_each(|(index, item)| {
            rewrite_args(layer, item, rewriter).map_err(|error| error.with_batch_index(index))
        }),
        PersistArgs::Replica(ReplicaArgs::Apply(_)) | PersistArgs::Read(ReadArgs::Images(_)) => {
            Err(refuse_row_images(layer))
        }
        PersistArgs::Read(ReadArgs::Search(SearchMessages { query, thread: _, limit: _ })) => {
            rewriter.query(query)
        }
        PersistArgs::Read(ReadArgs::Find(FindMessages {
            metadata,
            thread: _,
            order: _,
            visibility: _,
            after: _,
            limit: _,
            max_bytes: _,
        })) => rewriter.criterion(metadata),
        PersistArgs::Update(_) | PersistArgs::Thread(ThreadArgs::Label(_)) => rewrite(args, true, rewriter),
        PersistArgs::Add(_)
        | PersistArgs::Reserve(_)
        | PersistArgs::UpdateContent(_)
        | PersistArgs::Delete(_)
        | PersistArgs::Import(_)
        | PersistArgs::Thread(_)
        | PersistArgs::Read(_)
        | PersistArgs::Consumer(_)
        | PersistArgs::Session(_)
        | PersistArgs::Replica(_) => rewrite(args, false, rewriter),
        unknown => Err(refuse_unknown(layer, unknown.kind().as_str()).with_effect(Effect::NotApplied)),
    }
}

/// Rewrites every field of an answer, and of each answer to an item of a batch. `layer` is the name of the layer, for
/// errors.
///
/// # Errors
/// As for [`rewrite_args`]. An error for an answer does not undo the write.
pub fn rewrite_result(
    layer: &str,
    result: &mut PersistResult,
    rewriter: &mut impl RewriteFields,
) -> Result<()> {
    match result {
        PersistResult::Batch(batched) => {
            batched.outputs.iter_mut().enumerate().try_for_each(|(index, output)| {
                rewrite_result(layer, output, rewriter).map_err(|error| error.with_batch_index(index))
            })
        }
        PersistResult::Read(ReadResult::Images(_)) => Err(refuse_row_images(layer)),
        PersistResult::Read(ReadResult::Search(SearchHits {
            hits,
            damaged: _,
            indexed: _,
            terminated_early: _,
        })) => hits.iter_mut().try_for_each(|hit| {
            let SearchHit { thread, id, seq: _, role: _, created_at: _, snippet, marks } = hit;
            let owner = FieldOwner { thread, message: Some(id) };
            rewriter.snippet(owner, Snippet { text: snippet, marks })
        }),
        PersistResult::Add(_)
        | PersistResult::Reserve(_)
        | PersistResult::UpdateContent(_)
        | PersistResult::Update(_)
        | PersistResult::Delete(_)
        | PersistResult::Import(_)
        | PersistResult::Thread(_)
        | PersistResult::Read(_)
        | PersistResult::Consumer(_)
        | PersistResult::Session(_)
        | PersistResult::Replica(_) => rewrite_fields(result, rewriter),
        unknown => Err(refuse_unknown(layer, unknown.kind().as_str())),
    }
}

/// Rewrites every field of one part of an operation or of an answer, such as a message, in the order of the visitor.
///
/// # Errors
/// The errors of `rewriter`.
pub fn rewrite_fields(carrier: &mut impl CarriesContent, rewriter: &mut impl RewriteFields) -> Result<()> {
    rewrite(carrier, false, rewriter)
}

fn rewrite(
    carrier: &mut impl CarriesContent,
    is_patch: bool,
    rewriter: &mut impl RewriteFields,
) -> Result<()> {
    for ContentFieldMut { thread, message, value } in carrier.content_fields_mut() {
        let owner = FieldOwner { thread, message };
        match value {
            FieldValueMut::Whole(content) => rewriter.content(owner, content)?,
            FieldValueMut::Delta(delta) => rewriter.delta(owner, delta)?,
            FieldValueMut::Metadata(patch) if is_patch => rewriter.metadata_patch(owner, patch)?,
            FieldValueMut::Metadata(metadata) => rewriter.metadata(owner, metadata)?,
            FieldValueMut::Reason(reason) => rewriter.reason(owner, reason)?,
            FieldValueMut::Title(title) => rewriter.title(owner, title)?,
            FieldValueMut::Preview(preview) => rewriter.preview(owner, preview)?,
        }
    }
    Ok(())
}
