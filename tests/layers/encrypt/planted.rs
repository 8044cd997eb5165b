//! What somebody puts into the store who can write to it and has no key.

use throughline::{
    Content, ErrorKind, Message, Metadata, NewMessage, PersistError, PersistResult, Persistence, ReadResult,
    Title,
    layers::encrypt::{EncryptLayer, Unreadable},
    messages::PageFrom,
    threads::ListThreads,
};

use super::support::{Tap, layer};

/// Whether a read that met plain text was refused, and said where.
fn is_refused(answer: Result<impl Sized, PersistError>) -> bool {
    match answer {
        Ok(_) => false,
        Err(error) => {
            let source = std::error::Error::source(&error).and_then(|why| why.downcast_ref::<Unreadable>());
            assert_eq!((error.kind(), source), (ErrorKind::Corrupt, Some(&Unreadable::Plaintext)), "{error}");
            assert_eq!(error.thread().map(throughline::ThreadId::as_str), Some("t"), "{error}");
            assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
            true
        }
    }
}

fn messages(result: &mut PersistResult, change: impl FnMut(&mut Message)) {
    match result {
        PersistResult::Read(ReadResult::Get(message)) => message.iter_mut().for_each(change),
        PersistResult::Read(ReadResult::Page(page)) => page.messages.iter_mut().for_each(change),
        _ => {}
    }
}

async fn scene(layer: &EncryptLayer) -> (Tap, Persistence) {
    let tap = Tap::default();
    let db = tap.over_memory(layer);
    let message = NewMessage::user("kept").with_id("m".parse().unwrap());
    db.thread("t").add(message).await.unwrap();
    db.thread("t").rename("kept".parse().unwrap()).await.unwrap();
    (tap, db)
}

async fn content_is_refused(layer: &EncryptLayer) -> bool {
    let (tap, db) = scene(layer).await;
    tap.hand(|result| messages(result, |message| message.content = Content::text("planted")));
    let thread = db.thread("t");
    is_refused(thread.get("m".parse().unwrap()).await) & is_refused(thread.page(PageFrom::End, 5).await)
}

async fn metadata_is_refused(layer: &EncryptLayer) -> bool {
    let (tap, db) = scene(layer).await;
    tap.hand(|result| {
        messages(result, |message| {
            message.metadata = Metadata::new();
            message.metadata.set("a", "planted").unwrap();
        });
    });
    is_refused(db.thread("t").get("m".parse().unwrap()).await)
}

async fn a_title_is_refused(layer: &EncryptLayer) -> bool {
    let (tap, db) = scene(layer).await;
    tap.hand(|result| {
        if let PersistResult::Read(ReadResult::Thread(Some(entry))) = result {
            entry.title = Title::new("planted").unwrap();
        }
    });
    is_refused(db.thread("t").entry().await)
}

async fn a_preview_is_refused(layer: &EncryptLayer) -> bool {
    let (tap, db) = scene(layer).await;
    tap.hand(|result| {
        if let PersistResult::Read(ReadResult::Thread(Some(entry))) = result {
            entry.preview = Some("planted".to_owned());
        }
    });
    is_refused(db.thread("t").entry().await)
}

async fn passed(layer: &EncryptLayer) -> [bool; 4] {
    [
        content_is_refused(layer).await,
        metadata_is_refused(layer).await,
        a_title_is_refused(layer).await,
        a_preview_is_refused(layer).await,
    ]
}

#[tokio::test]
async fn plain_text_in_any_place_is_refused_and_the_variant_that_accepts_it_is_caught() {
    assert_eq!(passed(&layer()).await, [true; 4]);
    assert_eq!(passed(&layer().accept_plaintext()).await, [false; 4]);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_hides_no_other() {
    let (tap, db) = scene(&layer()).await;
    db.thread("u").add(NewMessage::user("kept")).await.unwrap();
    db.thread("u").rename("kept".parse().unwrap()).await.unwrap();
    // The titles of two threads change places.
    tap.hand(|result| {
        if let PersistResult::Read(ReadResult::Threads(list)) = result {
            list.entries[0].title = list.entries[1].title.clone();
        }
    });
    let list = db.threads(ListThreads::new(10)).await.unwrap();
    assert_eq!((list.entries.len(), list.damaged.len()), (1, 1));
    tap.no_hand();
    assert_eq!(db.threads(ListThreads::new(10)).await.unwrap().entries.len(), 2);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named_and_can_be_deleted() {
    let (tap, db) = scene(&layer()).await;
    let other = NewMessage::user("other").with_id("n".parse().unwrap());
    db.thread("t").add(other).await.unwrap();
    tap.hand(|result| {
        messages(result, |message| {
            if message.id.as_str() == "m" {
                message.content = Content::text("planted");
            }
        });
    });
    let error = db.thread("t").page(PageFrom::Start, 10).await.unwrap_err();
    assert_eq!(error.message().map(throughline::MessageId::as_str), Some("m"));
    db.thread("t").get("n".parse().unwrap()).await.unwrap().unwrap();
    db.thread("t").delete("m".parse().unwrap()).await.unwrap();
    assert_eq!(db.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
}
