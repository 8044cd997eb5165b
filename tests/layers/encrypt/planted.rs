//! Plaintext that an attacker with write access, but without a key, puts into the store.

use throughline::{
    Content, ErrorKind, Message, Metadata, NewMessage, PersistError, PersistResult, Persistence, ReadResult,
    Title,
    layers::encrypt::{EncryptLayer, Unreadable},
    messages::PageFrom,
    threads::ListThreads,
};

use super::support::{StoreProxy, layer};

/// Returns whether a read refused the plaintext, and checks the error.
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

async fn proxied_store(layer: &EncryptLayer) -> (StoreProxy, Persistence) {
    let proxy = StoreProxy::default();
    let db = proxy.over_memory(layer);
    let message = NewMessage::user("kept").with_id("m".parse().unwrap());
    db.thread("t").add(message).await.unwrap();
    db.thread("t").rename("kept".parse().unwrap()).await.unwrap();
    (proxy, db)
}

async fn content_is_refused(layer: &EncryptLayer) -> bool {
    let (proxy, db) = proxied_store(layer).await;
    proxy.tamper(|result| messages(result, |message| message.content = Content::text("planted")));
    let thread = db.thread("t");
    is_refused(thread.get("m".parse().unwrap()).await) & is_refused(thread.page(PageFrom::End, 5).await)
}

async fn metadata_is_refused(layer: &EncryptLayer) -> bool {
    let (proxy, db) = proxied_store(layer).await;
    proxy.tamper(|result| {
        messages(result, |message| {
            message.metadata = Metadata::new();
            message.metadata.set("a", "planted").unwrap();
        });
    });
    is_refused(db.thread("t").get("m".parse().unwrap()).await)
}

async fn a_title_is_refused(layer: &EncryptLayer) -> bool {
    let (proxy, db) = proxied_store(layer).await;
    proxy.tamper(|result| {
        if let PersistResult::Read(ReadResult::Thread(Some(entry))) = result {
            entry.title = Title::new("planted").unwrap();
        }
    });
    is_refused(db.thread("t").summary().await)
}

async fn a_preview_is_refused(layer: &EncryptLayer) -> bool {
    let (proxy, db) = proxied_store(layer).await;
    proxy.tamper(|result| {
        if let PersistResult::Read(ReadResult::Thread(Some(entry))) = result {
            entry.preview = Some("planted".to_owned());
        }
    });
    is_refused(db.thread("t").summary().await)
}

async fn all_are_refused(layer: &EncryptLayer) -> [bool; 4] {
    [
        content_is_refused(layer).await,
        metadata_is_refused(layer).await,
        a_title_is_refused(layer).await,
        a_preview_is_refused(layer).await,
    ]
}

#[tokio::test]
async fn plaintext_in_any_field_is_refused_unless_the_layer_accepts_plaintext() {
    assert_eq!(all_are_refused(&layer()).await, [true; 4]);
    assert_eq!(all_are_refused(&layer().accept_plaintext()).await, [false; 4]);
}

#[tokio::test]
async fn an_unreadable_thread_summary_hides_no_other() {
    let (proxy, db) = proxied_store(&layer()).await;
    db.thread("u").add(NewMessage::user("kept")).await.unwrap();
    db.thread("u").rename("kept".parse().unwrap()).await.unwrap();
    // Swap the titles of two threads.
    proxy.tamper(|result| {
        if let PersistResult::Read(ReadResult::Threads(list)) = result {
            list.threads[0].title = list.threads[1].title.clone();
        }
    });
    let list = db.threads(ListThreads::new(10)).await.unwrap();
    assert_eq!((list.threads.len(), list.damaged.len()), (1, 1));
    proxy.stop_tampering();
    assert_eq!(db.threads(ListThreads::new(10)).await.unwrap().threads.len(), 2);
}

#[tokio::test]
async fn an_unreadable_message_is_named_and_can_be_deleted() {
    let (proxy, db) = proxied_store(&layer()).await;
    let other = NewMessage::user("other").with_id("n".parse().unwrap());
    db.thread("t").add(other).await.unwrap();
    proxy.tamper(|result| {
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
