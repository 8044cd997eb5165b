//! Text survives: what is stored is what was given, byte for byte.

use throughline_core::{
    Content, ErrorKind, MetadataPatch, NewMessage, NewReservation, Role,
    messages::{ContentChange, Reserve, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, facts, id, json, refused, said, shown, the},
};

checks! {
    Core "messages.content_is_kept_exactly" [Add UpdateContent Read] "content keeps NUL, lone surrogates, any Unicode, 64-bit integers and the spelling of numbers" => survives;
    Core "messages.metadata_is_kept_exactly" [Add Update Read] "metadata names and values keep every text and number that content keeps" => metadata;
    Core "messages.unicode_ids_are_kept" [Add Read] "ids and attachment names keep any Unicode text" => names;
    Core "messages.megabyte_message_is_kept" [Add Reserve UpdateContent Read] "a message of one megabyte, or of the claimed maximum, is kept" => large;
    Core "messages.deeply_nested_json_is_kept" [Add Read] "JSON with a thousand nested levels is kept" => deep;
    Extended "durability.text_survives_reopening" [Add UpdateContent Read; durable] "text is unchanged after the store is reopened" => reopened;
    Extended "messages.content_above_the_claimed_limit_is_refused" [Add UpdateContent Read; content_limit] "the store accepts content of the claimed maximum length and refuses one more byte" => limit;
    Extended "messages.appends_above_the_claimed_limit_are_refused" [Reserve UpdateContent Read; content_limit] "the claimed maximum length also limits content that grows by appends, to the byte" => limit_by_appends;
}

/// JSON arrays that a detour over a tree, a float, a C string or a Unicode normalization would change.
pub(crate) const ODD: [&str; 12] = [
    r#"["\u0000 and \u0001"]"#,
    r#"["\ud800", "\udfff\ud800"]"#,
    r#"["\u00e9", "é", "é", "\u2028"]"#,
    r#"[18446744073709551615, -9223372036854775808, 9007199254740993]"#,
    r"[1.10, 1e2, 1E+2, 0.1e-7, -0, -0.0, 1.0]",
    r"[123456789012345678901234567890, 3.141592653589793238462643]",
    r#"[{"a":1,"a":2},{"b":1,"a":2}]"#,
    "[ 1 ,\t2 ,\n 3 ]",
    r#"["\/", "/", "\u002f", "\b\f"]"#,
    r#"["𝔘𝔫𝔦𝔠𝔬𝔡𝔢 😀 👩‍👩‍👧", "العربية", "\u202e"]"#,
    r#"["'; DROP TABLE messages; --", "%s %n \\", "${x}", "<b>&amp;</b>"]"#,
    "[null,true,false,\"\",[],{}]",
];

async fn survives(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for (number, odd) in ODD.into_iter().enumerate() {
        let name = format!("m{number}");
        let message = NewMessage::new(Role::Tool, json(odd)).with_id(id(&name));
        let added = thread.add(message).await.unwrap().message;
        assert_eq!(added.content.as_json(), odd, "as it was answered");
        assert_eq!(the(&thread, &name).await.content.as_json(), odd);
    }
    let read = everything(&thread).await;
    assert_eq!(read.iter().map(|message| message.content.as_json()).collect::<Vec<_>>(), ODD);
    // The same by way of an edit.
    for odd in ODD {
        thread.edit(id("m0"), json(odd)).await.unwrap();
        assert_eq!(the(&thread, "m0").await.content.as_json(), odd);
    }
}

async fn metadata(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let odd: Vec<String> =
        ODD.iter().enumerate().map(|(number, odd)| format!(r#""{number:02}é":{odd}"#)).collect();
    let odd = format!("{{{}}}", odd.join(","));
    thread.add(said("m", "x").with_metadata(facts(&odd))).await.unwrap();
    assert_eq!(shown(&the(&thread, "m").await.metadata), odd);
    thread.add(said("n", "x")).await.unwrap();
    let patch: MetadataPatch = serde_json::from_str(&odd).unwrap();
    assert_eq!(shown(&thread.update(id("n"), patch).await.unwrap().metadata), odd);
    assert_eq!(shown(&the(&thread, "n").await.metadata), odd);
    // Names are any text, the empty one included; they are kept in order of their bytes.
    let names = "{\"\":1,\" \":2,\"$.a[0]\":3,\"a\\\"b\":4,\"a.b\":5,\"É\":6,\"\u{1F600}\":7}";
    thread.add(said("o", "x").with_metadata(facts(names))).await.unwrap();
    assert_eq!(shown(&the(&thread, "o").await.metadata), names);
}

async fn names(rig: Rig) {
    let db = rig.db().await;
    for name in
        ["telegram:42", "ünï✓", "日本", "👩‍👩‍👧", "a b", "\u{202e}x", "../../etc/passwd", "a/b\\c", "\u{fffd}"]
    {
        let thread = db.thread(name);
        let message = said(name, "x").with_attachments([name.parse().unwrap()]);
        let added = thread.add(message).await.unwrap().message;
        let read = everything(&thread).await;
        assert_eq!(read, [added]);
        assert_eq!((read[0].thread.as_str(), read[0].id.as_str()), (name, name));
        assert_eq!(read[0].attachments[0].as_str(), name);
    }
}

/// A megabyte, or the most that the backend claims to take.
fn most(rig: &Rig) -> usize {
    let claimed = rig.capabilities.max_content_bytes.unwrap_or(u64::MAX);
    usize::try_from(claimed.min(1 << 20)).expect("at most a megabyte")
}

/// Content of one text block that is so many bytes of JSON.
fn of_length(bytes: usize) -> Content {
    let content = Content::text(&"x".repeat(bytes - Content::text("").byte_len()));
    assert_eq!(content.byte_len(), bytes);
    content
}

async fn large(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let most = most(&rig);
    let content = of_length(most);
    thread.add(NewMessage::new(Role::User, content.clone()).with_id(id("added"))).await.unwrap();
    assert!(the(&thread, "added").await.content == content, "an added megabyte is not what it was");
    let reservation = NewReservation::new(Role::Assistant).with_id(id("streamed"));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    let chunk = "x".repeat(most / 8 - 32);
    for _ in 0..8 {
        thread.update_content(id("streamed"), append(&chunk), UpdateMode::Partial).await.unwrap();
    }
    let whole = Content::text(&chunk.repeat(8));
    assert!(the(&thread, "streamed").await.content == whole, "a streamed megabyte is not what it was");
    thread.update_content(id("streamed"), ContentChange::none(), UpdateMode::Final).await.unwrap();
    assert!(the(&thread, "streamed").await.content == whole, "a finished megabyte is not what it was");
}

async fn deep(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    thread.add(NewMessage::new(Role::User, json(&deep)).with_id(id("m"))).await.unwrap();
    assert_eq!(the(&thread, "m").await.content.as_json(), deep);
}

async fn reopened(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for (number, odd) in ODD.into_iter().enumerate() {
        let message = NewMessage::new(Role::Tool, json(odd)).with_id(id(&format!("m{number}")));
        thread.add(message.with_metadata(facts(&format!(r#"{{"k":{odd}}}"#)))).await.unwrap();
    }
    let before = everything(&thread).await;
    let db = rig.reopen(db).await;
    let after = everything(&db.thread("t")).await;
    assert_eq!(after, before);
    assert_eq!(after.iter().map(|message| message.content.as_json()).collect::<Vec<_>>(), ODD);
}

/// The most bytes that the backend claims to take.
fn claimed(rig: &Rig) -> usize {
    let claimed = rig.capabilities.max_content_bytes.and_then(|limit| usize::try_from(limit).ok());
    claimed.expect("the check applies only with a claimed limit")
}

async fn limit(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let claimed = claimed(&rig);
    let add = |name: &str, bytes| thread.add(NewMessage::new(Role::User, of_length(bytes)).with_id(id(name)));
    add("m", claimed).await.expect("as much as is claimed");
    refused(add("n", claimed + 1).await.map(drop), ErrorKind::TooLarge);
    refused(thread.edit(id("m"), of_length(claimed + 1)).await, ErrorKind::TooLarge);
    assert_eq!(thread.get(id("n")).await.unwrap(), None);
    assert!(the(&thread, "m").await.content == of_length(claimed), "a refused edit changes nothing");
}

async fn limit_by_appends(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let claimed = claimed(&rig);
    let reservation = NewReservation::new(Role::Assistant).with_id(id("r"));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    let append =
        |bytes: usize| thread.update_content(id("r"), append(&"x".repeat(bytes)), UpdateMode::Partial);
    append(claimed - Content::text("").byte_len()).await.expect("as much as is claimed");
    let before = the(&thread, "r").await;
    assert_eq!(before.content.byte_len(), claimed);
    refused(append(1).await, ErrorKind::TooLarge);
    assert!(the(&thread, "r").await == before, "a refused append changes nothing");
    // And what has been taken can be finished.
    thread
        .update_content(id("r"), ContentChange::none(), UpdateMode::Final)
        .await
        .expect("it is not too large");
}
