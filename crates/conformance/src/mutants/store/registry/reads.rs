//! Faults of what is shown.

use throughline_core::{
    PersistArgs, PersistResult, ReadArgs, ReadResult, Seq,
    messages::{ListOpen, PageFrom, ReadPage, Visibility},
};

use crate::mutants::store::{Mutant, change, fabricated, special::Special};

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "reads-stale",
        "shows a message as it was when it was first read",
        &["messages.read_sees_every_earlier_write", "clocks.updated_at_comes_from_the_pipeline_clock"],
    )
    .special(Special::ReadsStale),
    Mutant::new(
        "orders-by-time",
        "orders a page by the time of creation",
        &["clocks.order_is_commit_order_for_any_clock", "messages.given_created_at_is_kept"],
    )
    .after(|asked, response| {
        if let Some((_, page)) = change::page(asked, response) {
            page.messages.sort_by_key(|message| message.created_at);
        }
    }),
    Mutant::new(
        "orders-by-id",
        "orders a page by id",
        &[
            "drafts.reservation_takes_a_seq",
            "clocks.order_is_commit_order_for_any_clock",
            "messages.seqs_are_assigned_in_arrival_order",
            "pages.largest_page_holds_1000_messages",
            "batches.250_items_are_applied_in_order",
            "redirects.reserved_message_stays_with_its_target",
            "redirects.unsupported_batch_is_refused",
        ],
    )
    .after(|asked, response| {
        if let Some((_, page)) = change::page(asked, response) {
            page.messages.sort_by(|a, b| a.id.cmp(&b.id));
        }
    }),
    Mutant::new(
        "includes-the-cursor",
        "shows the message at the cursor again",
        &["pages.cursor_is_exclusive", "pages.forward_pages_show_each_message_once"],
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
        &[
            "pages.backward_pages_show_each_message_once",
            "pages.cursor_may_name_any_seq",
            "pages.recall_shows_the_page_before_a_seq",
        ],
    )
    .after(|asked, response| {
        if let Some((read, page)) = change::page(asked, response)
            && !read.from.is_forward()
        {
            page.messages.reverse();
        }
    }),
    Mutant::new(
        "always-more",
        "says that there is more whenever a page is full",
        &["pages.exact_last_page_has_no_more"],
    )
    .after(|asked, response| {
        if let Some((read, page)) = change::page(asked, response) {
            page.has_more = page.messages.len() == read.limit as usize;
        }
    }),
    Mutant::new(
        "settled-passes-open",
        "shows a consumer what is settled behind an open message",
        &[
            "pages.consumer_page_stops_before_the_first_open_message",
            "pages.backward_consumer_page_hides_later_messages",
            "pages.resumed_consumer_sees_every_settled_message",
        ],
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
        &["pages.final_visibility_shows_final_messages_only", "pages.limit_counts_visible_messages"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Page(page)) = args {
            page.visibility = Visibility::All;
        }
    }),
    Mutant::new(
        "first-open-of-page",
        "says where the first open message of the page is",
        &["pages.every_page_reports_the_first_open_message"],
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
        &[
            "drafts.list_is_ordered_by_thread_and_seq",
            "drafts.list_shows_open_messages_only",
            "drafts.recovery_settles_an_expired_draft_once",
        ],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::OpenReservations(open)) = &mut response.result {
            open.messages.reverse();
        }
    }),
    Mutant::new(
        "lists-the-living",
        "lists live writers as expired",
        &["drafts.expired_list_shows_ended_leases"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::OpenReservations(ListOpen { expired_only, .. })) = args {
            *expired_only = false;
        }
    }),
    Mutant::new(
        "hides-what-is-open",
        "shows finished messages only, whatever was asked for",
        &["pages.default_visibility_shows_every_state"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Page(page)) = args
            && page.visibility == Visibility::All
        {
            page.visibility = Visibility::Final;
        }
    }),
    Mutant::new(
        "lists-every-thread",
        "lists the open messages of every thread for one",
        &["drafts.list_of_a_thread_shows_that_thread"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::OpenReservations(list)) = args {
            list.thread = None;
        }
    }),
    Mutant::new(
        "ignores-the-byte-bound",
        "shows as many as were asked for, however large they are",
        &[
            "pages.page_ends_at_its_byte_bound",
            "pages.open_content_counts_toward_the_byte_bound",
            "pages.metadata_counts_toward_the_byte_bound",
            "pages.open_message_list_ends_at_its_byte_bound",
            "pages.thread_list_ends_at_its_byte_bound",
            "audit.page_ends_at_its_byte_bound",
            "sessions.history_ends_at_its_byte_bound",
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
        &[
            "pages.page_ends_at_its_byte_bound",
            "pages.open_message_list_ends_at_its_byte_bound",
            "pages.thread_list_ends_at_its_byte_bound",
            "sessions.history_ends_at_its_byte_bound",
        ],
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
        &[
            "pages.page_ends_at_its_byte_bound",
            "pages.open_content_counts_toward_the_byte_bound",
            "pages.open_message_list_ends_at_its_byte_bound",
            "pages.thread_list_ends_at_its_byte_bound",
            "sessions.history_ends_at_its_byte_bound",
        ],
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
                threads.next.take_if(|_| threads.threads.len() < list.limit as usize);
            }
            (ReadArgs::Attempts(list), ReadResult::Attempts(runs)) => {
                runs.more &= runs.attempts.len() == list.limit as usize;
            }
            _ => {}
        }
    }),
    Mutant::new(
        "leaves-out-what-is-large",
        "shows no message that is larger than the byte bound",
        &["pages.page_ends_at_its_byte_bound", "pages.open_content_counts_toward_the_byte_bound"],
    )
    .after(|asked, response| {
        if let Some((read, page)) = change::page(asked, response) {
            page.messages.retain(|message| message.content.byte_len() <= read.max_bytes as usize);
        }
    }),
    Mutant::new(
        "shows-what-is-absent",
        "shows an empty message where there is none",
        &[
            "messages.unknown_id_reads_as_none",
            "layers.wrong_forwarded_call_is_a_contract_violation",
            "deadlines.expired_deadline_prevents_the_call",
            "retries.exhausted_budget_is_a_transient_error",
        ],
    )
    .after(|asked, response| {
        if let (PersistArgs::Read(ReadArgs::Get(get)), PersistResult::Read(ReadResult::Get(absent @ None))) =
            (asked, &mut response.result)
        {
            *absent = Some(fabricated::nothing_said(get));
        }
    }),
];
