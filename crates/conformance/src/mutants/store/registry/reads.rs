//! Faults of what is shown.

use throughline_core::{
    PersistArgs, PersistResult, ReadArgs, ReadResult, Seq,
    messages::{ListOpen, PageFrom, ReadPage, Visibility},
};

use crate::mutants::store::{Mutant, change, made_up, special::Special};

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "reads-stale",
        "shows a message as it was when it was first read",
        &["get.latest", "time.updated-at"],
    )
    .special(Special::ReadsStale),
    Mutant::new("orders-by-time", "orders a page by the time of creation", &["VL-S23", "add.created-at"])
        .after(|asked, response| {
            if let Some((_, page)) = change::page(asked, response) {
                page.messages.sort_by_key(|message| message.created_at);
            }
        }),
    Mutant::new(
        "orders-by-id",
        "orders a page by id",
        &["VL-S2.place", "VL-S23", "order.seq", "page.thousand", "batch.many", "VL-S5", "VL-S5.batch"],
    )
    .after(|asked, response| {
        if let Some((_, page)) = change::page(asked, response) {
            page.messages.sort_by(|a, b| a.id.cmp(&b.id));
        }
    }),
    Mutant::new(
        "includes-the-cursor",
        "shows the message at the cursor again",
        &["page.exclusive", "page.forwards"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Page(page)) = args
            && let PageFrom::After(seq) = page.from
        {
            page.from = PageFrom::After(Seq::new(seq.get().saturating_sub(1)));
        }
    }),
    Mutant::new(
        "pages-newest-first",
        "shows a page that was read backwards newest first",
        &["page.backwards", "page.cursor-anywhere", "RR-S10"],
    )
    .after(|asked, response| {
        if let Some((read, page)) = change::page(asked, response)
            && !read.from.is_forward()
        {
            page.messages.reverse();
        }
    }),
    Mutant::new("always-more", "says that there is more whenever a page is full", &["page.has-more"]).after(
        |asked, response| {
            if let Some((read, page)) = change::page(asked, response) {
                page.has_more = page.messages.len() == read.limit as usize;
            }
        },
    ),
    Mutant::new(
        "settled-passes-open",
        "shows a consumer what is settled behind an open message",
        &["VL-S18", "VL-S18.backwards", "VL-S21.by-pages"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Page(page)) = args
            && page.visibility == Visibility::Settled
        {
            page.visibility = Visibility::All;
        }
    })
    .after(|asked, response| {
        if let Some((read, page)) = change::page(asked, response)
            && read.visibility == Visibility::Settled
        {
            page.messages.retain(|message| !message.state.is_open());
        }
    }),
    Mutant::new(
        "history-shows-open",
        "shows open messages in the history for a model",
        &["page.final", "page.final-limit"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Page(page)) = args {
            page.visibility = Visibility::All;
        }
    }),
    Mutant::new(
        "first-open-of-page",
        "says where the first open message of the page is",
        &["page.first-open"],
    )
    .after(|asked, response| {
        if let Some((_, page)) = change::page(asked, response) {
            page.first_open =
                page.messages.iter().find(|message| message.state.is_open()).map(|message| message.seq);
        }
    }),
    Mutant::new(
        "lists-in-any-order",
        "lists open messages newest first",
        &["open.order", "open.listed", "VL-S14.sweep"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::OpenReservations(open)) = &mut response.result {
            open.messages.reverse();
        }
    }),
    Mutant::new("lists-the-living", "lists live writers as expired", &["open.expired"]).before(|args, _| {
        if let PersistArgs::Read(ReadArgs::OpenReservations(ListOpen { expired_only, .. })) = args {
            *expired_only = false;
        }
    }),
    Mutant::new("hides-what-is-open", "shows finished messages only, whatever was asked for", &["page.all"])
        .before(|args, _| {
            if let PersistArgs::Read(ReadArgs::Page(page)) = args
                && page.visibility == Visibility::All
            {
                page.visibility = Visibility::Final;
            }
        }),
    Mutant::new("lists-every-thread", "lists the open messages of every thread for one", &["open.thread"])
        .before(|args, _| {
            if let PersistArgs::Read(ReadArgs::OpenReservations(list)) = args {
                list.thread = None;
            }
        }),
    Mutant::new(
        "ignores-the-byte-bound",
        "shows as many as were asked for, however large they are",
        &[
            "page.bytes",
            "page.bytes-open",
            "page.bytes-metadata",
            "open.bytes",
            "threads.bytes",
            "audit.bytes",
        ],
    )
    .before(|args, _| {
        if let Some(max_bytes) = change::max_bytes(args) {
            *max_bytes = ReadPage::MAX_BYTES;
        }
    }),
    Mutant::new(
        "shows-one-at-a-time",
        "ends every page with a byte bound at the first item",
        &["page.bytes", "open.bytes", "threads.bytes"],
    )
    .before(|args, _| {
        if let Some(max_bytes) = change::max_bytes(args)
            && *max_bytes != ReadPage::DEFAULT_BYTES
        {
            *max_bytes = 1;
        }
    }),
    Mutant::new(
        "takes-a-short-page-for-the-end",
        "says that there is no more where a page ended at its bytes",
        &["page.bytes", "page.bytes-open", "open.bytes", "threads.bytes"],
    )
    .after(|asked, response| {
        let (PersistArgs::Read(asked), PersistResult::Read(result)) = (asked, &mut response.result) else {
            return;
        };
        match (asked, result) {
            (ReadArgs::Page(read), ReadResult::Page(page)) => {
                page.has_more &= page.messages.len() == read.limit as usize;
            }
            (ReadArgs::OpenReservations(list), ReadResult::OpenReservations(open)) => {
                open.next.take_if(|_| open.messages.len() < list.limit as usize);
            }
            (ReadArgs::Threads(list), ReadResult::Threads(threads)) => {
                threads.next.take_if(|_| threads.entries.len() < list.limit as usize);
            }
            _ => {}
        }
    }),
    Mutant::new(
        "leaves-out-what-is-large",
        "shows no message that is larger than the byte bound",
        &["page.bytes", "page.bytes-open"],
    )
    .after(|asked, response| {
        if let Some((read, page)) = change::page(asked, response) {
            page.messages.retain(|message| message.content.byte_len() <= read.max_bytes as usize);
        }
    }),
    Mutant::new(
        "shows-what-is-absent",
        "shows an empty message where there is none",
        &["get.absent", "VL-S7.passes-on", "VL-S10.passed", "VL-S16.beyond"],
    )
    .after(|asked, response| {
        if let (PersistArgs::Read(ReadArgs::Get(get)), PersistResult::Read(ReadResult::Get(absent @ None))) =
            (asked, &mut response.result)
        {
            *absent = Some(made_up::nothing_said(get));
        }
    }),
];
