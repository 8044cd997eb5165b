//! The byte bound of pages and lists.

use throughline_core::{
    Content, ErrorKind, Message, NewReservation, Persistence, Role,
    audit::{AuditEntry, AuditFrom, AuditNumber, ReadAudit},
    backend::EstimatedSize as _,
    changes::ChangeScope,
    messages::{Add, Batch, ListOpen, PageFrom, ReadPage, Reserve, UpdateMode, Visibility},
    threads::{ListThreads, ThreadSummary},
};

use crate::{
    check::checks,
    checks::audit::audited,
    rig::Rig,
    shorthand::{append, facts, id, new_thread, refused, said},
};

checks! {
    Core "pages.page_ends_at_its_byte_bound" [Add Read] "a page ends at its byte bound, and the next pages show every message once" => pages;
    Core "pages.open_content_counts_toward_the_byte_bound" [Reserve UpdateContent Read] "the content of open messages counts toward the byte bound of a page" => open_pages;
    Core "pages.metadata_counts_toward_the_byte_bound" [Add Read] "metadata counts toward the byte bound of a page" => metadata;
    Core "pages.open_message_list_ends_at_its_byte_bound" [Reserve UpdateContent Read] "the list of open messages ends at its byte bound, and the next pages show each once" => open;
    Extended "pages.thread_list_ends_at_its_byte_bound" [Thread Read] "a list of threads ends at its byte bound, and the next pages show each once" => threads;
    Extended "audit.page_ends_at_its_byte_bound" [Batch Read; audit] "a page of the audit log ends at its byte bound, in both directions" => audit;
    Core "pages.byte_bound_is_from_1_to_64_mib" [Read] "a read accepts a byte bound from 1 byte to 64 MiB and refuses others" => limit,
        core alone: "the pipeline refuses it before a store is asked";
}

/// The bound of these checks.
const BOUND: u32 = 32 << 10;

/// Texts of 10 KiB, one that is larger than the bound, and small ones.
fn texts() -> Vec<String> {
    let kib = [10, 10, 10, 10, 1, 50, 1, 10, 20, 20, 10];
    kib.into_iter().map(|kib| "x".repeat(kib << 10)).collect()
}

fn size(messages: &[Message]) -> usize {
    messages.iter().map(Message::estimated_size).sum()
}

/// Asserts that pages end at the bound and not long before it. A store estimates sizes by itself: it may end one a little earlier.
pub(in crate::checks) fn expect_bounded(sizes: &[Vec<usize>], bound: u32) {
    let bound = bound as usize;
    for (at, page) in sizes.iter().enumerate() {
        let sum: usize = page.iter().sum();
        assert!(page.len() == 1 || sum <= bound, "page {at} of {} items has {sum} bytes", page.len());
        if let Some(first) = sizes.get(at + 1).and_then(|next| next.first()) {
            assert!(sum + first > bound - bound / 8, "page {at} has {sum} bytes, and {first} more fit");
        }
    }
}

/// Reads a thread to its end in pages of this bound: each page as its messages, oldest first.
async fn read(db: &Persistence, from: PageFrom, visibility: Visibility, bound: u32) -> Vec<Vec<Message>> {
    let mut pages = Vec::new();
    let mut next = Some(from);
    while let Some(from) = next {
        let read = ReadPage::new("t".parse().unwrap(), from, 100).showing(visibility).with_max_bytes(bound);
        let page = db.read(read).await.expect("a page");
        assert_eq!(page.damaged, []);
        next = page.next(from);
        assert_eq!(page.has_more, next.is_some());
        pages.push(page.messages);
    }
    pages
}

async fn expect_every_message(db: &Persistence, count: usize, bound: u32) {
    let names: Vec<String> = (0..count).map(|number| format!("m{number:02}")).collect();
    for (from, visibility) in [
        (PageFrom::Start, Visibility::All),
        (PageFrom::End, Visibility::All),
        (PageFrom::Start, Visibility::Final),
        (PageFrom::End, Visibility::Final),
        (PageFrom::Start, Visibility::Settled),
    ] {
        let pages = read(db, from, visibility, bound).await;
        let of_direction = |page: &Vec<Message>| -> Vec<usize> {
            let sizes = page.iter().map(Message::estimated_size);
            if from.is_forward() { sizes.collect() } else { sizes.rev().collect() }
        };
        expect_bounded(&pages.iter().map(of_direction).collect::<Vec<_>>(), bound);
        let ordered: Vec<Vec<Message>> =
            if from.is_forward() { pages } else { pages.into_iter().rev().collect() };
        let shown: Vec<&str> = ordered.iter().flatten().map(|message| message.id.as_str()).collect();
        assert_eq!(shown, names, "{from:?} {visibility:?}");
    }
}

async fn pages(rig: Rig) {
    let db = rig.db().await;
    let texts = texts();
    for (number, text) in texts.iter().enumerate() {
        db.thread("t").add(said(&format!("m{number:02}"), text)).await.unwrap();
        db.thread("u").add(said(&format!("n{number:02}"), text)).await.unwrap();
    }
    expect_every_message(&db, texts.len(), BOUND).await;
    // One message at a time, whatever its size.
    assert_eq!(read(&db, PageFrom::Start, Visibility::All, 1).await.len(), texts.len());
    assert_eq!(read(&db, PageFrom::Start, Visibility::All, ReadPage::MAX_BYTES).await.len(), 1);
}

async fn metadata(rig: Rig) {
    let db = rig.db().await;
    let large = facts(&format!(r#"{{"memo":"{}"}}"#, "x".repeat(10 << 10)));
    for number in 0..8 {
        let message = said(&format!("m{number:02}"), "x").with_metadata(large.clone());
        db.thread("t").add(message).await.unwrap();
    }
    expect_every_message(&db, 8, BOUND).await;
}

/// Open messages with these texts, each written in two appends.
async fn begin(db: &Persistence, thread: &str, texts: &[String]) {
    for (number, text) in texts.iter().enumerate() {
        let reservation = NewReservation::new(Role::Assistant).with_id(id(&format!("m{number:02}")));
        db.run(Reserve::new(thread.parse().unwrap(), reservation)).await.unwrap();
        for chunk in [&text[..text.len() / 2], &text[text.len() / 2..]] {
            let message = id(&format!("m{number:02}"));
            db.thread(thread).update_content(message, append(chunk), UpdateMode::Partial).await.unwrap();
        }
    }
}

async fn open_pages(rig: Rig) {
    let db = rig.db().await;
    let texts = texts();
    begin(&db, "t", &texts).await;
    for from in [PageFrom::Start, PageFrom::End] {
        let pages = read(&db, from, Visibility::All, BOUND).await;
        assert!(pages.iter().all(|page| page.len() == 1 || size(page) <= BOUND as usize));
        let mut shown: Vec<usize> =
            pages.iter().flatten().map(|message| message.content.byte_len()).collect();
        shown.sort_unstable();
        let mut due: Vec<usize> = texts.iter().map(|text| Content::text(text).byte_len()).collect();
        due.sort_unstable();
        assert_eq!(shown, due, "{from:?}");
    }
}

async fn open(rig: Rig) {
    let db = rig.db().await;
    let texts = texts();
    for thread in ["a", "b"] {
        begin(&db, thread, &texts).await;
    }
    let (mut shown, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let list = ListOpen { after, ..ListOpen::new(100).with_max_bytes(BOUND) };
        let open = db.read(list).await.unwrap();
        sizes.push(open.messages.iter().map(Message::estimated_size).collect());
        shown.extend(open.messages.iter().map(|message| format!("{}/{}", message.thread, message.id)));
        after = open.next;
        if after.is_none() {
            break;
        }
    }
    let of =
        |thread: &str| (0..texts.len()).map(|number| format!("{thread}/m{number:02}")).collect::<Vec<_>>();
    assert_eq!(shown, [of("a"), of("b")].concat());
    expect_bounded(&sizes, BOUND);
}

async fn threads(rig: Rig) {
    let db = rig.db().await;
    let names: Vec<String> = (0..12).map(|number| format!("t{number:02}")).collect();
    for (number, name) in names.iter().enumerate() {
        let large = facts(&format!(r#"{{"memo":"{}"}}"#, "x".repeat(10 << 10)));
        db.create_thread(new_thread(name).with_metadata(large)).await.unwrap();
        db.thread(name.as_str()).add(said("m", "x")).await.unwrap();
        if number % 2 == 1 {
            db.thread(name.as_str()).archive(true).await.unwrap();
        }
    }
    for list in
        [ListThreads::new(100), ListThreads::new(100).archived(), ListThreads::new(100).archived_too()]
    {
        let due = if list.archived.is_none() { names.len() } else { names.len() / 2 };
        let mut next = list.with_max_bytes(BOUND);
        let (mut shown, mut sizes) = (Vec::new(), Vec::new());
        loop {
            let page = db.threads(next.clone()).await.unwrap();
            sizes.push(page.threads.iter().map(ThreadSummary::estimated_size).collect());
            shown.extend(page.threads.into_iter().map(|entry| entry.thread.to_string()));
            match page.next {
                Some(cursor) => next = next.after(cursor),
                None => break,
            }
        }
        expect_bounded(&sizes, BOUND);
        shown.sort_unstable();
        let count = shown.len();
        shown.dedup();
        assert_eq!((count, shown.len()), (due, due), "{shown:?}");
    }
}

async fn audit(rig: Rig) {
    let db = audited(&rig).await;
    // Each entry names 60 messages with long names.
    for number in 0..8 {
        let add = |item: usize| {
            let name = format!("{number}-{item}-{}", "x".repeat(180));
            Add::new("t".parse().unwrap(), said(&name, "x"))
        };
        db.batch((0..60).map(add).fold(Batch::new(), Batch::with)).await.unwrap();
    }
    for from in [AuditFrom::After(AuditNumber::ZERO), AuditFrom::End] {
        let (mut numbers, mut pages) = (Vec::new(), 0);
        let mut read = Some(ReadAudit::new(ChangeScope::Store, from, 100).with_max_bytes(BOUND));
        while let Some(asked) = read {
            let page = db.read(asked.clone()).await.unwrap();
            let sum: usize = page.entries.iter().map(AuditEntry::estimated_size).sum();
            assert!(page.entries.len() <= 1 || sum <= BOUND as usize, "{sum} bytes");
            read = asked.next(&page);
            pages += 1;
            numbers.extend(page.entries.into_iter().map(|entry| entry.number.get()));
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=8).collect::<Vec<_>>(), "{from:?}");
        assert!((3..=8).contains(&pages), "{pages} pages");
    }
}

async fn limit(rig: Rig) {
    let db = rig.db().await;
    for bound in [0, ReadPage::MAX_BYTES + 1, u32::MAX] {
        let page = ReadPage::new("t".parse().unwrap(), PageFrom::Start, 10).with_max_bytes(bound);
        refused(db.read(page).await, ErrorKind::Invalid);
        refused(db.read(ListOpen::new(10).with_max_bytes(bound)).await, ErrorKind::Invalid);
        refused(db.threads(ListThreads::new(10).with_max_bytes(bound)).await, ErrorKind::Invalid);
    }
    let page = ReadPage::new("t".parse().unwrap(), PageFrom::Start, 10).with_max_bytes(ReadPage::MAX_BYTES);
    assert!(!db.read(page).await.unwrap().has_more);
}
