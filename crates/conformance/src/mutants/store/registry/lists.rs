//! Faults of lists by the time of creation, and of lists with unlisted threads.

use throughline_core::{
    Labels, PersistArgs, ReadArgs,
    messages::ReadPage,
    threads::{ListThreads, ThreadOrder},
};

use crate::mutants::store::{Mutant, change};

/// Returns the list of a call, if it is one by the time of creation.
fn by_creation(args: &mut PersistArgs) -> Option<&mut ListThreads> {
    match args {
        PersistArgs::Read(ReadArgs::Threads(list)) if !list.order.is_default() => Some(list),
        _ => None,
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "lists-the-oldest-first",
        "shows the threads of each page by creation from the oldest on, in both directions",
        &[
            "threads.list_by_creation_runs_in_both_directions",
            "threads.list_by_creation_pages_neither_repeat_nor_skip",
        ],
    )
    .after(|asked, response| {
        if let Some((read, list)) = change::list(asked, response)
            && read.order == ThreadOrder::NewestCreated
        {
            list.threads.reverse();
        }
    }),
    Mutant::new(
        "lists-after-a-creation",
        "takes a cursor by creation for a time, and skips what was created then",
        &["threads.list_by_creation_pages_neither_repeat_nor_skip"],
    )
    .after(|asked, response| {
        if let Some((read, list)) = change::list(asked, response)
            && !read.order.is_default()
            && let Some(after) = &read.after
        {
            list.threads.retain(|entry| entry.created_at != after.at);
        }
    }),
    Mutant::new(
        "lists-by-creation-what-rests",
        "skips a thread in the next page by creation if it was written to",
        &["threads.list_by_creation_continues_after_other_writes"],
    )
    .after(|asked, response| {
        if let Some((read, list)) = change::list(asked, response)
            && !read.order.is_default()
            && read.after.is_some()
        {
            list.threads.retain(|entry| entry.messages < 2);
        }
    }),
    Mutant::new(
        "lists-by-creation-without-filters",
        "applies the filters to lists by activity only",
        &["threads.list_by_creation_filters_like_the_default_list"],
    )
    .before(|args, _| {
        if let Some(list) = by_creation(args) {
            (list.owner, list.labels, list.archived) = (None, Labels::new(), None);
        }
    }),
    Mutant::new(
        "lists-by-creation-without-a-byte-bound",
        "ends a list by creation at its number of threads only",
        &["threads.list_by_creation_ends_at_its_byte_bound"],
    )
    .before(|args, _| {
        if let Some(list) = by_creation(args) {
            list.max_bytes = ReadPage::MAX_BYTES;
        }
    }),
    Mutant::new(
        "lists-what-is-listed",
        "lists no thread without a settled message, whatever the list asks for",
        &["threads.unlisted_threads_are_listed_on_request"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Threads(list)) = args {
            list.unlisted = false;
        }
    }),
];
