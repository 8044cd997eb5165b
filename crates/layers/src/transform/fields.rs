//! Every field of an operation or of an answer that holds content, each kind with a method of its own.

use throughline_core::{
    Content, Delta, Effect, ErrorKind, MessageId, Metadata, PersistArgs, PersistError, PersistResult,
    ReadArgs, ReadResult, Result, ThreadId, Title,
    messages::{CarriesContent, ContentFieldMut, FieldValueMut},
    replication::ReplicaArgs,
    search::{SearchHit, SearchHits, SearchMessages},
    threads::ThreadArgs,
};

/// The answer of a layer that changes what is stored or read to a request for row images: a copy through it would differ from
/// the store.
pub(crate) fn refuse_row_images(layer: &str) -> PersistError {
    let detail = format!(
        "row images do not pass through `{layer}`: build a pipeline on the backend alone to copy them"
    );
    PersistError::new(ErrorKind::Unsupported, detail).with_effect(Effect::NotApplied)
}

/// The answer of a layer to an operation, or about an answer, of a version of the core that is newer than the layer: it does
/// not know which content it carries.
pub(crate) fn refuse_unknown(layer: &str, operation: &str) -> PersistError {
    let detail = format!(
        "`{layer}` does not know the operation {operation}: use one version of throughline throughout"
    );
    PersistError::new(ErrorKind::Unsupported, detail)
}

/// Where a field belongs.
#[derive(Debug, Clone, Copy)]
pub struct FieldOwner<'a> {
    /// The thread.
    pub thread: &'a ThreadId,
    /// The message; none where it belongs to the thread as a whole.
    pub message: Option<&'a MessageId>,
}

impl FieldOwner<'_> {
    /// Says in an error where the field belongs.
    #[must_use]
    pub fn name_in(&self, error: PersistError) -> PersistError {
        match self.message {
            Some(message) => error.about(self.thread, message),
            None => error.about_thread(self.thread),
        }
    }
}

/// The text of a search hit, with the marks in it.
pub struct Snippet<'a> {
    /// Some of the text of the message.
    pub text: &'a mut String,
    /// Where in the text the words are that were searched for: from one byte to before another.
    pub marks: &'a mut Vec<(u32, u32)>,
}

/// Shows lengths only: content does not belong into logs.
impl std::fmt::Debug for Snippet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snippet")
            .field("text", &format_args!("{} bytes", self.text.len()))
            .field("marks", &self.marks)
            .finish()
    }
}

/// Changes content in every kind of field that can hold some.
///
/// No method has a default: a new kind of field is a new method, and every transform fails to compile before it has said what becomes
/// of it. A method that a transform has no use for refuses the call.
///
/// ```compile_fail,E0046
/// use throughline_core::{Content, Result};
/// use throughline_layers::{transform::{FieldOwner, RewriteFields}};
///
/// struct Upper;
///
/// // missing: `delta`, `metadata`, `metadata_patch`, `reason`, `title`, `preview`, `snippet`, `query`
/// impl RewriteFields for Upper {
///     fn content(&mut self, _: FieldOwner<'_>, content: &mut Content) -> Result<()> {
///         *content = Content::text(&content.plain_text(usize::MAX).to_uppercase());
///         Ok(())
///     }
/// }
/// ```
///
/// [`rewrite_args`] and [`rewrite_result`] go through all fields. A [`Transform`](super::Transform), which rewrites strings, has
/// nothing to do with this trait.
pub trait RewriteFields {
    /// The whole content of a message.
    ///
    /// # Errors
    /// What refuses the call.
    fn content(&mut self, owner: FieldOwner<'_>, content: &mut Content) -> Result<()>;

    /// Content that is appended.
    ///
    /// # Errors
    /// What refuses the call.
    fn delta(&mut self, owner: FieldOwner<'_>, delta: &mut Delta) -> Result<()>;

    /// The metadata of a message or of a thread.
    ///
    /// # Errors
    /// What refuses the call.
    fn metadata(&mut self, owner: FieldOwner<'_>, metadata: &mut Metadata) -> Result<()>;

    /// A patch of metadata, in which `null` clears.
    ///
    /// # Errors
    /// What refuses the call.
    fn metadata_patch(&mut self, owner: FieldOwner<'_>, patch: &mut Metadata) -> Result<()>;

    /// Why something was ended, in the caller's words.
    ///
    /// # Errors
    /// What refuses the call.
    fn reason(&mut self, owner: FieldOwner<'_>, reason: &mut String) -> Result<()>;

    /// The title of a thread.
    ///
    /// # Errors
    /// What refuses the call.
    fn title(&mut self, owner: FieldOwner<'_>, title: &mut Title) -> Result<()>;

    /// The beginning of a message, in a list of threads.
    ///
    /// # Errors
    /// What refuses the call.
    fn preview(&mut self, owner: FieldOwner<'_>, preview: &mut String) -> Result<()>;

    /// Some of the text of a message that a search has found.
    ///
    /// # Errors
    /// What refuses the call.
    fn snippet(&mut self, owner: FieldOwner<'_>, snippet: Snippet<'_>) -> Result<()>;

    /// The words that are searched for.
    ///
    /// # Errors
    /// What refuses the call.
    fn query(&mut self, query: &mut String) -> Result<()>;
}

/// Rewrites every field of an operation, and of each item of a batch. `layer` is the name of the layer, for errors.
///
/// # Errors
/// What `rewriter` answers, with the index of the item of a batch. [`Unsupported`](throughline_core::ErrorKind::Unsupported) for what only an exact copy
/// does: [`ApplyImages`](throughline_core::replication::ApplyImages) and [`ReadImages`](throughline_core::replication::ReadImages), whose images hold fields in the form of the store.
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

/// Rewrites every field of an answer, and of each answer to an item of a batch. `layer` is the name of the layer, for errors.
///
/// # Errors
/// As [`rewrite_args`]. An error on the way up does not undo the write.
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
/// What `rewriter` answers.
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
