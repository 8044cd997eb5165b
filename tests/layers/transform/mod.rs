//! The transform toolkit: guarantees beyond the laws for transforms that restore text, alone and nested.

mod in_doubt;
mod long_texts;
mod tails;
mod tenants;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use throughline::{
    Call, Content, Delta, Effect, ErrorKind, IdempotencyKey, MessageState, MetadataPatch, NewMessage,
    NewReservation, Next, Operation, PersistArgs, PersistError, PersistRequest, Persistence, Phase, Plugin,
    Reply, Result, Role, Title,
    layers::{
        encrypt::{EncryptLayer, Key, KeyRing},
        redact::RedactLayer,
        transform::{Edits, HeldTail, Rewrite, TextPart, Transform, TransformLayer},
    },
    memory::MemoryBackend,
    messages::{Add, Batch, ContentChange, Reserve, UpdateContent, UpdateMode},
    pipeline::BufferedBytes,
    plugin::{NextRequest, from_fn},
    replication::{BeginCapture, ImageCursor, ReadImages},
    search::SearchMessages,
};

/// Stores `[p1]` for `Alice`, and `[p2]` for `Bob`.
struct Names;

const NAMES: [(&str, &str); 2] = [("Alice", "[p1]"), ("Bob", "[p2]")];

fn replace(text: &str, start: usize, pairs: [(&str, &'static str); 2]) -> Edits {
    let mut found: Vec<(usize, &str, &'static str)> = Vec::new();
    for (from, to) in pairs {
        found.extend(text[start..].match_indices(from).map(|(at, from)| (start + at, from, to)));
    }
    found.sort_unstable();
    let mut edits = Edits::none();
    found.into_iter().for_each(|(at, from, to)| edits.replace(at..at + from.len(), to));
    edits
}

impl Transform for Names {
    type Stream = HeldTail;

    fn name(&self) -> &str {
        "names"
    }

    fn down(&self, part: TextPart<'_>) -> Rewrite {
        let certain = part.certain_before(part.start(), NAMES.map(|(name, _)| name));
        Rewrite { edits: replace(part.text(), part.start(), NAMES), certain }
    }

    fn up(&self, text: &str) -> Edits {
        replace(text, 0, NAMES.map(|(name, alias)| (alias, name)))
    }
}

/// Buffers all text.
struct BuffersEverything;

impl Transform for BuffersEverything {
    type Stream = HeldTail;
    const RESTORES: bool = false;

    fn name(&self) -> &str {
        "holds"
    }

    fn down(&self, part: TextPart<'_>) -> Rewrite {
        Rewrite { edits: Edits::none(), certain: part.start() }
    }

    fn up(&self, _: &str) -> Edits {
        Edits::none()
    }
}

/// Loses the next answer of a write.
struct Lossy(Arc<AtomicBool>);

impl Plugin for Lossy {
    fn name(&self) -> &str {
        "lossy"
    }

    fn phase(&self) -> Phase {
        Phase::Route
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        let answer = next.run(call).await;
        if O::KIND.is_write() && self.0.swap(false, Ordering::Relaxed) {
            return Err(PersistError::new(ErrorKind::Unavailable, "lost").with_effect(Effect::Unknown));
        }
        answer
    }
}

/// The operations that the store received, as JSON, and a flag that loses the next answer.
#[derive(Clone, Default)]
struct Store {
    asked: Arc<Mutex<Vec<String>>>,
    loses: Arc<AtomicBool>,
}

impl Store {
    fn open(&self, redacts: bool) -> Persistence {
        let asked = Arc::clone(&self.asked);
        let tap = from_fn("tap", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            asked.lock().unwrap().push(serde_json::to_string(&request.args).unwrap());
            next.run(request)
        });
        Persistence::builder()
            .layer_when(redacts.then(RedactLayer::secrets))
            .layer(TransformLayer::new(Names))
            .layer(tap)
            .plugin(Lossy(Arc::clone(&self.loses)))
            .backend(MemoryBackend::new())
            .build()
            .unwrap()
    }

    fn received(&self, text: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|asked| asked.contains(text))
    }
}

fn change(id: &str, change: ContentChange, mode: UpdateMode) -> UpdateContent {
    UpdateContent::new("t".parse().unwrap(), id.parse().unwrap(), change, mode)
}

fn append(id: &str, text: &str, mode: UpdateMode) -> UpdateContent {
    change(id, ContentChange::Append(Delta::text(text)), mode)
}

fn blocks(id: &str, json: &str, mode: UpdateMode) -> UpdateContent {
    change(id, ContentChange::Append(Delta::Blocks(Content::from_json(json).unwrap())), mode)
}

fn new(id: &str) -> Reserve {
    Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant).with_id(id.parse().unwrap()))
}

async fn content(db: &Persistence, id: &str) -> String {
    db.thread("t").get(id.parse().unwrap()).await.unwrap().unwrap().content.as_json().to_owned()
}

fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey::new(key).unwrap()
}

#[tokio::test]
async fn every_field_is_rewritten_for_the_store_and_restored_in_answers() {
    let store = Store::default();
    let db = store.open(false);
    let json = r#"[{"\u0041lice": [1.10, "\ud800 Bob\n"]}]"#;
    let mut facts = throughline::Metadata::new();
    facts.set("of Bob", &["Alice"]).unwrap();
    let message =
        NewMessage::new(Role::User, Content::from_json(json).unwrap()).with_id("m".parse().unwrap());
    let added =
        db.run(Add::new("t".parse().unwrap(), message.with_metadata(facts.clone()))).await.unwrap().message;
    assert!(store.received(r#"{"[p1]": [1.10, "\ud800 [p2]\n"]}"#));
    assert!(store.received(r#"{"of [p2]":["[p1]"]}"#));
    let restored = json.replace(r"\u0041", "A");
    assert_eq!((added.content.as_json(), &added.metadata), (&*restored, &facts));
    assert_eq!(content(&db, "m").await, restored);

    let thread = db.thread("t");
    thread.rename(Title::new("Bob's").unwrap()).await.unwrap();
    let patch = MetadataPatch::new().set("Alice", "Bob").unwrap();
    let entry = thread.annotate(patch).await.unwrap().summary;
    assert_eq!(
        (entry.title.as_str(), entry.metadata.get_as::<String>("Alice").as_deref()),
        ("Bob's", Some("Bob"))
    );
    let cleared = thread.annotate(MetadataPatch::new().clear("Alice")).await.unwrap().summary;
    assert!(cleared.metadata.is_empty());
    assert!(!store.received("Alice\":\"") && !store.received("Bob's"));
}

#[tokio::test]
async fn a_search_rewrites_its_query_and_marks_the_restored_text() {
    let store = Store::default();
    let db = store.open(false);
    db.thread("t").add(NewMessage::user("é Alice and Bob met late")).await.unwrap();
    let found = db.search(SearchMessages::new("Bob late", 10)).await.unwrap();
    let marked: Vec<&str> = found.hits[0]
        .marks
        .iter()
        .map(|(start, end)| &found.hits[0].snippet[*start as usize..*end as usize])
        .collect();
    assert_eq!(marked, ["Bob", "late"]);
    assert!(store.received("[p2] late") && !store.received("Bob"));
}

#[tokio::test]
async fn a_search_query_is_neither_redacted_nor_encrypted() {
    let secret = format!("{}{}", "ghp_", "a1B2c3D4e5F6".repeat(3));
    let store = Store::default();
    let db = store.open(true);
    drop(db.search(SearchMessages::new(&secret, 10)).await);
    assert!(store.received("search") && !store.received(&secret));

    let asked = Arc::<Mutex<String>>::default();
    let writes = Arc::clone(&asked);
    let tap = from_fn("tap", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        writes.lock().unwrap().push_str(&serde_json::to_string(&request.args).unwrap());
        next.run(request)
    });
    let key_ring = KeyRing::new(Key::new("k".parse().unwrap(), &[7; 32]));
    let db = Persistence::builder()
        .layer(EncryptLayer::new(key_ring))
        .layer(tap)
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    assert!(db.search(SearchMessages::new("hunter2", 10)).await.unwrap().hits.is_empty());
    let error = db.search(SearchMessages::new("!", 10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(asked.lock().unwrap().contains("search") && !asked.lock().unwrap().contains("hunter2"));
}

#[tokio::test]
async fn a_read_of_row_images_is_refused_before_the_store() {
    let store = Store::default();
    let plain = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let cursor: ImageCursor = plain.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    let key_ring = KeyRing::new(Key::new("k".parse().unwrap(), &[7; 32]));
    let (redact, encrypt) = (RedactLayer::secrets(), EncryptLayer::new(key_ring));
    for (name, db) in [
        ("names", store.open(false)),
        ("redact", Persistence::builder().layer(redact).backend(MemoryBackend::new()).build().unwrap()),
        ("encrypt", Persistence::builder().layer(encrypt).backend(MemoryBackend::new()).build().unwrap()),
    ] {
        let error = db.read(ReadImages::new(cursor, 10)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotApplied));
        assert_eq!(error.site().unwrap().name(), name);
    }
    assert!(!store.received("images"));
}

#[tokio::test]
async fn an_appended_block_keeps_the_buffered_text_of_an_inner_layer() {
    for redacts in [false, true] {
        let store = Store::default();
        let db = store.open(redacts);
        db.run(new("m")).await.unwrap();
        // `AKIA` may begin a key, and `Ali` a name: the outer layer buffers one of them, the inner layer the other.
        db.run(append("m", "say Ali", UpdateMode::Partial)).await.unwrap();
        db.run(append("m", "", UpdateMode::Partial)).await.unwrap();
        db.run(append("m", "AKIA", UpdateMode::Partial)).await.unwrap();
        db.run(blocks("m", r#"[{"n":1}]"#, UpdateMode::Partial)).await.unwrap();
        db.run(append("m", "Alice", UpdateMode::Final)).await.unwrap();
        let expected = r#"[{"type":"text","text":"say AliAKIA"},{"n":1},{"type":"text","text":"Alice"}]"#;
        assert_eq!(content(&db, "m").await, expected, "redacts: {redacts}");
        assert!(!store.received("Alice"));
    }
}

#[tokio::test]
async fn the_buffered_bytes_of_two_layers_are_added() {
    let db = Store::default().open(true);
    db.run(new("m")).await.unwrap();
    let held = async |text: &str| {
        let answer = db.run(append("m", text, UpdateMode::Partial)).reply().await.unwrap();
        answer.extensions.get::<BufferedBytes>().map_or(0, |held| held.0)
    };
    assert_eq!(held("x Ali").await, 3);
    assert!(held("ce AKIA").await >= 4);
}

#[tokio::test]
async fn an_edit_that_completes_a_name_replaces_the_content() {
    let store = Store::default();
    let db = store.open(false);
    db.run(new("m")).await.unwrap();
    db.run(append("m", "Bob and Al", UpdateMode::Final)).await.unwrap();
    db.run(append("m", "ice, é", UpdateMode::Edit)).await.unwrap();
    assert_eq!(content(&db, "m").await, r#"[{"type":"text","text":"Bob and Alice, é"}]"#);
    assert!(store.received(r#"[p2] and [p1], é"#) && !store.received("\"ice"));
    db.run(append("m", " Bob", UpdateMode::Edit)).await.unwrap();
    assert_eq!(content(&db, "m").await, r#"[{"type":"text","text":"Bob and Alice, é Bob"}]"#);
}

/// Small items of a batch that each rewrite a large content: the layer stops before it has made a copy for each.
#[tokio::test]
async fn a_batch_rewrites_stored_content_up_to_64_mib() {
    let store = Store::default();
    let db = store.open(false);
    let large = "x".repeat(16 << 20);
    db.thread("t").add(NewMessage::user(&large).with_id("final".parse().unwrap())).await.unwrap();
    let edits = |count: usize| {
        (0..count).fold(Batch::new(), |batch, _| batch.with(append("final", "!", UpdateMode::Edit)))
    };
    let error = db.batch(edits(4)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect(), error.batch_index()),
        (ErrorKind::TooLarge, Effect::NotApplied, Some(3))
    );
    assert_eq!(error.site().map(throughline::Site::name), Some("names"), "{error}");
    db.batch(edits(3)).await.unwrap();
    assert_eq!(content(&db, "final").await, format!(r#"[{{"type":"text","text":"{large}!!!"}}]"#));
}

#[tokio::test]
async fn buffered_text_survives_a_lost_answer_a_replay_and_a_refusal() {
    for before in ["", "say "] {
        let store = Store::default();
        let db = store.open(false);
        let begun =
            || Batch::new().with(new("m")).with(append("m", &format!("{before}Al"), UpdateMode::Partial));
        store.loses.store(true, Ordering::Relaxed);
        db.batch(begun()).key(key("a")).await.unwrap_err();
        db.batch(begun()).key(key("a")).await.unwrap();
        let part = || append("m", "ic", UpdateMode::Partial);
        store.loses.store(true, Ordering::Relaxed);
        db.run(part()).key(key("b")).await.unwrap_err();
        db.run(part()).key(key("b")).await.unwrap();
        db.run(part()).key(key("b")).await.unwrap();
        let refused = Batch::new().with(part()).with(append("ghost", "x", UpdateMode::Partial));
        assert_eq!(db.batch(refused).await.unwrap_err().kind(), ErrorKind::NotFound);
        db.run(append("m", "e", UpdateMode::Final)).await.unwrap();
        assert_eq!(content(&db, "m").await, format!(r#"[{{"type":"text","text":"{before}Alice"}}]"#));
        assert!(store.received("[p1]"));
    }
}

/// Every pair of content operations, and every operation that can end a message.
#[tokio::test]
async fn a_text_split_anywhere_is_stored_like_the_whole_text() {
    let text = "é Alice, Bob\n";
    let cuts: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
    let store = Store::default();
    let db = store.open(false);
    let given = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    for cut in &cuts {
        let (front, back) = text.split_at(*cut);
        let partial = || UpdateMode::Partial;
        let first = |id: &str, carrier: usize| match carrier {
            0 => append(id, front, partial()),
            1 => change(id, ContentChange::Replace(Content::text(front)), partial()),
            2 => blocks(id, Content::text(front).as_json(), partial()),
            _ => unreachable!(),
        };
        for carrier in 0..3 {
            for (end, mode) in
                [UpdateMode::Final, UpdateMode::Abandon { reason: None }].into_iter().enumerate()
            {
                for with_rest in [false, true] {
                    for in_batch in [false, true] {
                        let id = format!("m{cut}-{carrier}-{end}-{with_rest}-{in_batch}");
                        let last = |text: &str| append(&id, text, mode.clone());
                        let mut steps: Vec<PersistArgs> = vec![new(&id).into(), first(&id, carrier).into()];
                        if with_rest {
                            steps.push(last(back).into());
                        } else {
                            steps.extend([append(&id, back, partial()).into(), last("").into()]);
                        }
                        for db in [&db, &given] {
                            if in_batch {
                                db.batch(steps.iter().cloned().fold(Batch::new(), Batch::with))
                                    .await
                                    .unwrap();
                            } else {
                                for step in steps.clone() {
                                    db.batch(Batch::new().with(step)).await.unwrap();
                                }
                            }
                        }
                        let read = |db: &Persistence| db.thread("t").get(id.parse().unwrap());
                        let stored = read(&db).await.unwrap().unwrap();
                        assert_eq!(stored.content, read(&given).await.unwrap().unwrap().content, "{id}");
                        assert_eq!(stored.state == MessageState::Final, end == 0);
                    }
                }
            }
        }
    }
    assert!(store.received("é [p1], [p2]"));
    assert!(!store.received("Alice") && !store.received("Bob"), "a name reached the store");
}

#[tokio::test]
async fn text_above_the_buffer_limit_is_refused_and_no_text_is_lost() {
    let layer = TransformLayer::new(BuffersEverything).max_buffered_bytes(8);
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    db.run(new("m")).await.unwrap();
    db.run(append("m", "12345678", UpdateMode::Partial)).await.unwrap();
    let error = db.run(append("m", "9", UpdateMode::Partial)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
    assert_eq!(error.detail(), "`holds` would buffer 9 bytes of the text, and 8 are allowed");
    db.run(append("m", "0", UpdateMode::Final)).await.unwrap();
    assert_eq!(content(&db, "m").await, r#"[{"type":"text","text":"123456780"}]"#);
}
