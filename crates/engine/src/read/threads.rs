use throughline_core::{
    MessageId, Position, TenantId, ThreadId,
    backend::AnswerBytes,
    messages::{Alias, AliasCursor, Aliases, ListAliases},
    threads::{
        ListPurgeable, ListTenants, ListThreads, PurgeableThreads, Tenants, ThreadCursor, ThreadList,
        ThreadSummary,
    },
};

use crate::rows::ThreadRow;

/// A list of threads, of the rows of all of them in any order.
pub fn threads<'r>(
    list: &ListThreads,
    tenant: &TenantId,
    rows: impl Iterator<Item = (&'r ThreadId, &'r ThreadRow)>,
    position: Position,
) -> ThreadList {
    let limit = list.limit as usize;
    let mut entries: Vec<ThreadSummary> = rows
        .filter(|(_, row)| row.summary.as_ref().is_some_and(|summary| !summary.hidden))
        .filter_map(|(thread, row)| row.entry(tenant, thread))
        .filter(|entry| list.shows(entry))
        .filter(|entry| list.after.as_ref().is_none_or(|after| after.is_before(entry)))
        .collect();
    entries.sort_by(|a, b| {
        list.order.compare((list.order.time_of(a), &a.thread), (list.order.time_of(b), &b.thread))
    });
    let mut more = entries.len() > limit;
    entries.truncate(limit);
    more |= AnswerBytes::new(list.max_bytes).cut(&mut entries);
    let next = if more { entries.last().map(|last| ThreadCursor::of(list.order, last)) } else { None };
    ThreadList { threads: entries, damaged: Vec::new(), next, position }
}

/// Answers [`ListTenants`]: the page of the tenants with a thread, given in the order of their ids.
pub fn tenants<'t>(list: &ListTenants, tenants: impl Iterator<Item = &'t TenantId>) -> Tenants {
    let after = tenants.skip_while(|&tenant| list.after.as_ref().is_some_and(|after| tenant <= after));
    Tenants { tenants: after.take(list.limit as usize).cloned().collect() }
}

/// The purgeable threads of these, which are in the order of their ids.
pub fn purgeable<'t>(list: &ListPurgeable, threads: impl Iterator<Item = &'t ThreadId>) -> PurgeableThreads {
    let after = threads.filter(|id| list.after.as_ref().is_none_or(|after| *id > after));
    PurgeableThreads { threads: after.take(list.limit as usize).cloned().collect() }
}

/// Aliases of a thread, by message and then by number, of those of its present generation in any order.
pub fn aliases<'a>(list: &ListAliases, aliases: impl Iterator<Item = (u64, &'a Alias)>) -> Aliases {
    const fn order(at: &AliasCursor) -> (&MessageId, u64) {
        (&at.message, at.n)
    }
    let mut found: Vec<(AliasCursor, &Alias)> = aliases
        .map(|(n, alias)| (AliasCursor { message: alias.message.clone(), n }, alias))
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
