//! The list of the provider aliases of a thread.

use throughline_core::{Alias, AliasCursor, Aliases, ListAliases, MessageId};

use crate::thread::Thread;

/// Lists the aliases of the present generation, by message and then by number.
pub(crate) fn aliases(thread: Option<&Thread>, list: &ListAliases) -> Aliases {
    let living = thread.filter(|thread| !thread.row.deleted).into_iter();
    let present = living.flat_map(|thread| {
        thread.aliases.iter().filter(|(_, (generation, _))| *generation == thread.row.generation)
    });
    let mut found: Vec<(AliasCursor, &Alias)> = present
        .map(|(n, (_, known))| (AliasCursor { message: known.alias.message.clone(), n: *n }, &known.alias))
        .filter(|(at, _)| list.message.as_ref().is_none_or(|id| at.message == *id))
        .filter(|(at, _)| list.after.as_ref().is_none_or(|after| order(at) > order(after)))
        .collect();
    found.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
    let more = found.len() > list.limit as usize;
    found.truncate(list.limit as usize);
    let next = if more { found.last().map(|(at, _)| at.clone()) } else { None };
    let aliases = found.into_iter().map(|(_, alias)| alias.clone()).collect();
    Aliases { thread: list.thread.clone(), aliases, next }
}

const fn order(at: &AliasCursor) -> (&MessageId, u64) {
    (&at.message, at.n)
}
