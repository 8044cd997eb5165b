//! The key that a store keys its fingerprints with.

use throughline_core::{Backend as _, Persistence, operations::FingerprintKey};

use crate::{
    check::checks,
    child::{Process, Role, shown_key},
    rig::Rig,
    shorthand::said,
};

checks! {
    Extended "keys.store_key_survives_reopening" [Add; keys durable] "a store has one key, also after it is reopened and in another process" => one;
    Extended "keys.new_stores_have_different_keys" [Add; keys] "two new stores have two different keys" => own;
}

/// Opens the store; what its key is.
async fn opened(rig: &Rig) -> (Persistence, Option<FingerprintKey>) {
    let backend = rig.open().await;
    let key = backend.fingerprint_key();
    (rig.builder().backend(backend).build().expect("an empty stack builds"), key)
}

async fn one(rig: Rig) {
    let (db, key) = opened(&rig).await;
    db.thread("t").add(said("m", "x")).key("k").await.unwrap();
    db.close().await.expect("the store closes");
    drop(db);
    let mut process = Process::start(&rig, Role::StoreKey);
    assert_eq!(process.ack().await, shown_key(key), "the key in another process");
    process.end().await;
    let (db, again) = opened(&rig).await;
    assert!(again == key, "the store has another key after it was opened again");
    assert!(db.thread("t").add(said("m", "x")).key("k").await.unwrap().deduplicated);
}

async fn own(rig: Rig) {
    let (_db, key) = opened(&rig).await;
    let (_other_db, other) = opened(&rig.sibling("other")).await;
    // A store that keeps no key answers none: then the pipeline has one that is known to everybody.
    assert!(key.is_none() || key != other, "two stores have one key");
}
