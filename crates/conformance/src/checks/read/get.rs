//! `GetMessage`.

use throughline_core::messages::GetMessage;

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, said},
};

checks! {
    Core "messages.unknown_id_reads_as_none" [Add Read] "a read of an unknown message answers none and no error" => absent;
    Core "messages.read_sees_every_earlier_write" [Add UpdateContent Read] "a read that starts after the answer to a write sees that write" => latest;
}

async fn absent(rig: Rig) {
    let db = rig.db().await;
    assert_eq!(db.thread("t").get(id("m")).await.unwrap(), None);
    db.thread("t").add(said("m", "x")).await.unwrap();
    assert_eq!(db.thread("t").get(id("n")).await.unwrap(), None);
    assert_eq!(db.thread("u").get(id("m")).await.unwrap(), None);
    let other = db.for_tenant("other".parse().unwrap());
    assert_eq!(other.thread("t").get(id("m")).await.unwrap(), None);
    let get = GetMessage { thread: "t".parse().unwrap(), id: id("m") };
    assert_eq!(db.read(get).await.unwrap().map(|message| message.id), Some(id("m")));
}

async fn latest(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "0")).await.unwrap();
    for number in 1..=50_u64 {
        let content = throughline_core::Content::text(&number.to_string());
        thread.edit(id("m"), content.clone()).await.unwrap();
        let read = thread.get(id("m")).await.unwrap().expect("it is there");
        assert_eq!((read.content, read.revision.get()), (content, number + 1));
    }
}
