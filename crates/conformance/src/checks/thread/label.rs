//! The archive, labels and owners.

use std::time::Duration;

use throughline_core::{
    ErrorKind, Labels, Metadata, MetadataPatch, OwnerId, PersistArgs, PersistRequest, Persistence, Phase,
    plugin::{NextRequest, from_fn},
    threads::{CreateThread, LabelPatch, LabelThread, ListThreads, ThreadArgs, ThreadChanged},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{entry, everything, facts, ids, listed, names, new_thread, refused, said, thread_id},
};

checks! {
    Extended "threads.archived_thread_is_in_archive_lists_only" [Add Thread Read] "an archived thread is in archive lists only, stays writable, and can be restored" => archive;
    Extended "threads.labels_are_set_and_removed_singly" [Add Thread Read] "a patch sets and removes single labels and keeps the others" => labels;
    Extended "threads.list_by_labels_matches_all_of_them" [Add Thread Read] "a list by labels shows the threads that have all given labels with these values" => by_labels;
    Extended "threads.list_by_owner_shows_the_owners_threads" [Add Thread Read] "an owner can be set and removed, and a list by owner shows that owner's threads" => owner;
    Extended "threads.metadata_members_are_set_and_removed_singly" [Add Thread Read] "a patch sets and removes single metadata members and keeps other bytes, labels and owner" => metadata;
    Extended "threads.metadata_above_the_call_limit_is_refused" [Thread Read] "a patch that makes thread metadata longer than the limit of the call is refused" => metadata_limit;
    Extended "threads.more_than_32_labels_are_refused" [Thread Read] "the store refuses more than 32 labels on a thread" => limit;
    Extended "threads.labels_added_by_a_layer_count_toward_32" [Thread Read] "labels that a layer adds count toward the maximum of 32" => limit_behind_a_layer;
}

fn owner_of(name: &str) -> OwnerId {
    name.parse().expect("a valid id")
}

async fn archive(rig: Rig) {
    let db = rig.db().await;
    for name in ["a", "b", "c"] {
        db.thread(name).add(said("m", "x")).await.unwrap();
    }
    let before = entry(&db, "b").await;
    let now = rig.clock.advance(Duration::from_secs(1));
    let answer = db.thread("b").archive(true).await.unwrap().summary;
    let mut due = before.clone();
    (due.archived, due.updated_at) = (true, now);
    assert_eq!(answer, due);
    let list = || ListThreads::new(10);
    assert_eq!(names(&listed(&db, list()).await), ["a", "c"]);
    assert_eq!(names(&listed(&db, list().archived()).await), ["b"]);
    assert_eq!(names(&listed(&db, list().archived_too()).await), ["a", "b", "c"]);
    db.thread("b").add(said("n", "x")).await.expect("an archive is a matter of lists");
    assert_eq!(ids(&everything(&db.thread("b")).await), ["m", "n"]);
    assert!(entry(&db, "b").await.archived);
    assert!(!db.thread("b").archive(false).await.unwrap().summary.archived);
    assert_eq!(names(&listed(&db, list()).await), ["b", "a", "c"]);
    assert_eq!(listed(&db, list().archived()).await, []);
}

fn patch(pairs: &[(&str, Option<&str>)]) -> LabelPatch {
    pairs.iter().fold(LabelPatch::new(), |patch, (name, value)| match value {
        Some(value) => patch.set(name, value).expect("a label"),
        None => patch.clear(name).expect("a label"),
    })
}

fn set(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().fold(Labels::new(), |labels, (name, value)| labels.with(name, value).expect("a label"))
}

async fn labels(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    let before = entry(&db, "t").await;
    let mut now = rig.clock.advance(Duration::from_secs(1));
    let steps: [(&[_], &[_]); 4] = [
        (
            &[("project", Some("atlas")), ("channel", Some("web"))],
            &[("project", "atlas"), ("channel", "web")],
        ),
        (&[("project", Some("orion"))], &[("project", "orion"), ("channel", "web")]),
        (
            &[("channel", None), ("absent", None), ("é %_", Some("é %_"))],
            &[("project", "orion"), ("é %_", "é %_")],
        ),
        (&[], &[("project", "orion"), ("é %_", "é %_")]),
    ];
    for (change, left) in steps {
        let answer = thread.label(patch(change)).await.unwrap().summary;
        let mut due = before.clone();
        (due.labels, due.updated_at) = (set(left), now);
        assert_eq!(answer, due);
        assert_eq!(entry(&db, "t").await, due);
        now = rig.clock.advance(Duration::from_secs(1));
    }
}

async fn metadata(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let created = new_thread("t").with_owner(owner_of("o")).with_labels(set(&[("k", "v")]));
    let created = created.with_metadata(facts(r#"{"keep":1.10,"clear":2,"set":{"deep":1,"also":2}}"#));
    db.create_thread(created).await.unwrap();
    thread.add(said("m", "x")).await.unwrap();
    let before = entry(&db, "t").await;
    let mut now = rig.clock.advance(Duration::from_secs(1));
    let steps = [
        (
            r#"{"clear":null,"set":{"deep":3},"new":18446744073709551615,"absent":null}"#,
            r#"{"keep":1.10,"new":18446744073709551615,"set":{"deep":3}}"#,
        ),
        ("{}", r#"{"keep":1.10,"new":18446744073709551615,"set":{"deep":3}}"#),
        (r#"{"set":"\u0000 \ud800","new":null}"#, r#"{"keep":1.10,"set":"\u0000 \ud800"}"#),
        (r#"{"keep":null,"set":null}"#, "{}"),
    ];
    for (change, left) in steps {
        let change = serde_json::from_str(change).expect("a patch");
        let answer = thread.annotate(change).await.unwrap().summary;
        let mut due = before.clone();
        (due.metadata, due.updated_at) = (facts(left), now);
        assert_eq!(answer, due);
        assert_eq!(entry(&db, "t").await, due);
        assert_eq!(listed(&db, ListThreads::new(10)).await, [due]);
        now = rig.clock.advance(Duration::from_secs(1));
    }
    // Keys of the framework are refused, and nothing is made of the rest.
    let reserved = MetadataPatch::new().set("a", &1).unwrap().set("throughline.x", &1).unwrap();
    refused(thread.annotate(reserved.clone()).await, ErrorKind::Invalid);
    let mut created = Metadata::new();
    created.apply(&reserved);
    refused(db.create_thread(new_thread("u").with_metadata(created)).await, ErrorKind::Invalid);
    assert_eq!(entry(&db, "t").await.metadata, Metadata::new());
    assert_eq!(db.thread("u").summary().await.unwrap(), None);
}

async fn by_labels(rig: Rig) {
    let db = rig.db().await;
    let threads: [(&str, &[(&str, &str)]); 6] = [
        ("a", &[("project", "atlas"), ("channel", "web")]),
        ("b", &[("project", "atlas")]),
        ("c", &[("project", "Atlas"), ("channel", "web")]),
        ("d", &[("project", "atlas2")]),
        ("e", &[("channel", "atlas"), ("atlas", "project")]),
        ("f", &[]),
    ];
    for (name, labels) in threads {
        db.create_thread(new_thread(name).with_labels(set(labels))).await.unwrap();
        db.thread(name).add(said("m", "x")).await.unwrap();
    }
    let wanted: [(&[_], &[&str]); 6] = [
        (&[("project", "atlas")], &["a", "b"]),
        (&[("project", "atlas"), ("channel", "web")], &["a"]),
        (&[("channel", "web")], &["a", "c"]),
        (&[("project", "atla_")], &[]),
        (&[("PROJECT", "atlas")], &[]),
        (&[], &["a", "b", "c", "d", "e", "f"]),
    ];
    for (labels, shown) in wanted {
        let list = ListThreads::new(1).with_labels(set(labels));
        assert_eq!(names(&listed(&db, list).await), shown, "{labels:?}");
    }
    // The list uses the current labels.
    db.thread("b").label(patch(&[("project", None)])).await.unwrap();
    db.thread("f").label(patch(&[("project", Some("atlas"))])).await.unwrap();
    let list = ListThreads::new(10).with_labels(set(&[("project", "atlas")]));
    assert_eq!(names(&listed(&db, list).await), ["a", "f"]);
}

async fn label(db: &Persistence, owner: Option<Option<OwnerId>>) -> ThreadChanged {
    let labels = patch(&[("k", Some("v"))]);
    let label = LabelThread { owner, ..LabelThread::new(thread_id("b")).with_labels(labels) };
    db.on_thread(label).await.expect("a label")
}

async fn owner(rig: Rig) {
    let db = rig.db().await;
    for (name, owner) in [("a", Some("alice")), ("b", Some("bob")), ("c", None), ("d", Some("Alice"))] {
        let new = new_thread(name);
        let new = owner.map_or(new.clone(), |owner| new.with_owner(owner_of(owner)));
        db.create_thread(new).await.unwrap();
        db.thread(name).add(said("m", "x")).await.unwrap();
    }
    let of = |name: &str| listed(&db, ListThreads::new(1).of_owner(owner_of(name)));
    assert_eq!(names(&of("alice").await), ["a"]);
    assert_eq!(names(&of("bob").await), ["b"]);
    // Nothing is said about the owner: it stays.
    assert_eq!(label(&db, None).await.summary.owner, Some(owner_of("bob")));
    assert_eq!(label(&db, Some(Some(owner_of("alice")))).await.summary.owner, Some(owner_of("alice")));
    assert_eq!(names(&of("alice").await), ["a", "b"]);
    assert_eq!(of("bob").await, []);
    assert_eq!(label(&db, Some(None)).await.summary.owner, None);
    assert_eq!(names(&of("alice").await), ["a"]);
    assert_eq!(entry(&db, "b").await.owner, None);
    assert_eq!(names(&listed(&db, ListThreads::new(10)).await), ["a", "b", "c", "d"]);
}

async fn limit_behind_a_layer(rig: Rig) {
    let adds_labels =
        from_fn("kit.labels", Phase::Transform, |request: PersistRequest, next: NextRequest| async move {
            let PersistRequest { mut args, context } = request;
            if let PersistArgs::Thread(ThreadArgs::Create(create)) = &mut args {
                let many = (0..=Labels::MAX).map(|number| format!("l{number}"));
                create.labels = many.fold(Labels::new(), |set, name| set.with(&name, "v").expect("a label"));
            }
            next.run(PersistRequest { args, context }).await
        });
    let db = rig.builder().layer(adds_labels).backend(rig.open().await).build().unwrap();
    refused(db.create_thread(new_thread("t")).await, ErrorKind::TooLarge);
    assert_eq!(db.thread("t").summary().await.unwrap(), None);
}

async fn limit(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let many = |count: usize| (0..count).map(|number| (format!("l{number}"), "v"));
    let labels =
        |count| many(count).fold(Labels::new(), |set, (name, value)| set.with(&name, value).unwrap());
    refused(
        db.on_thread(CreateThread::new(new_thread("t").with_labels(labels(33)))).await,
        ErrorKind::TooLarge,
    );
    db.create_thread(new_thread("t").with_labels(labels(32))).await.unwrap();
    let before = entry(&db, "t").await;
    assert_eq!(before.labels.len(), Labels::MAX);
    refused(thread.label(patch(&[("one more", Some("v"))])).await, ErrorKind::TooLarge);
    assert_eq!(entry(&db, "t").await, before);
    // The number of labels stays the same: one label replaces another, and one gets a new value.
    thread.label(patch(&[("l0", None), ("one more", Some("v"))])).await.unwrap();
    let left = thread.label(patch(&[("l1", Some("other"))])).await.unwrap().summary.labels;
    assert_eq!((left.len(), left.get("one more").is_some(), left.get("l0").is_some()), (32, true, false));
}

async fn metadata_limit(rig: Rig) {
    let db = rig.db().await;
    let whole = r#"{"a":"01234","b":"56789"}"#;
    let max = facts(whole).byte_len() as u64;
    db.create_thread(new_thread("t")).await.unwrap();
    let patch = |patch: &str| {
        let patch: MetadataPatch = serde_json::from_str(patch).expect("a patch");
        LabelThread::new(thread_id("t")).with_metadata(patch)
    };
    let within = |facts: &str| db.on_thread(patch(facts).within(max));
    within(r#"{"a":"01234"}"#).await.unwrap();
    let before = entry(&db, "t").await;
    for beyond in [r#"{"b":"567890"}"#, r#"{"b":"5678","c":0}"#, r#"{"a":"0123456789abcdef"}"#] {
        let label = patch(beyond).with_labels(self::patch(&[("k", Some("v"))])).within(max);
        refused(db.on_thread(label).await, ErrorKind::TooLarge);
    }
    assert_eq!(entry(&db, "t").await, before);
    // To the byte, and no call without a limit is held to that of another.
    assert_eq!(within(r#"{"b":"56789"}"#).await.unwrap().summary.metadata, facts(whole));
    db.on_thread(patch(r#"{"c":"beyond"}"#)).await.unwrap();
    refused(within(r#"{"d":0}"#).await, ErrorKind::TooLarge);
    // A patch that does not make the metadata longer succeeds.
    within("{}").await.unwrap();
    let left = within(r#"{"a":null,"d":0}"#).await.unwrap().summary.metadata;
    assert_eq!(left, facts(r#"{"b":"56789","c":"beyond","d":0}"#));
}
