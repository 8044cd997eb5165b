//! Tests that a ciphertext decrypts with its own binding only: they swap every pair of ciphertexts and change every
//! byte. Each check must pass for the real layer, and must fail for the defective variant that it is made for. The
//! variants consist of the layer's own functions, without the check that they omit.

use super::{
    EncryptLayer, Key, KeyRing, Unreadable,
    binding::Field,
    chunks::{Chunk, MessageInfo, StoredBlocks},
    key_set::{KeyProvider, KeySet},
    open,
    seal::{self, StoreState},
};
use throughline_core::{
    Content, Delta, Message, Metadata, NewMessage, NewThread, PersistArgs, Revision, Role, Seq, TenantId,
    ThreadId, Timestamp, Title,
    messages::{Add, ContentChange, UpdateContent, UpdateMode},
    threads::CreateThread,
};

/// A check that a defective variant of the layer omits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    ForgetsTenant,
    ForgetsThread,
    ForgetsMessage,
    ForgetsField,
    ForgetsRevision,
    ForgetsOrder,
    ForgetsEnds,
    AcceptsPlaintext,
}

/// The layer under test: the real one, or a variant with a defect.
struct Subject {
    key_provider: KeyProvider,
    defect: Option<Defect>,
}

impl Subject {
    fn real() -> Self {
        Self { key_provider: key_provider(), defect: None }
    }

    fn with(defect: Defect) -> Self {
        let accepts_plaintext = defect == Defect::AcceptsPlaintext;
        let key_provider = KeyProvider { accepts_plaintext, ..key_provider() };
        Self { key_provider, defect: Some(defect) }
    }

    /// Returns the row with the ids that the layer binds its ciphertexts to. A layer that forgets an id binds them to
    /// the same id in every row.
    fn bound(&self, row: &Message) -> Message {
        let mut row = row.clone();
        match self.defect {
            Some(Defect::ForgetsTenant) => row.tenant = tenant("any"),
            Some(Defect::ForgetsThread) => row.thread = "any".parse().unwrap(),
            Some(Defect::ForgetsMessage) => row.id = "any".parse().unwrap(),
            _ => {}
        }
        row
    }

    /// Returns the stored row of a message with several chunks and two metadata values.
    fn row(&self, owner: &TenantId, thread: &str, id: &str) -> Message {
        let new = NewMessage::new(Role::User, Content::empty()).with_id(id.parse().unwrap());
        let of =
            Add::new(thread.parse().unwrap(), new).to_message(owner, Seq::FIRST, Timestamp::from_micros(7));
        let bound = self.bound(&of);
        let mut row = sealed_row(&self.key_provider, &bound);
        match self.defect {
            // Every value is encrypted under one name.
            Some(Defect::ForgetsField) => {
                let value = ciphertext(&sealed_row(&self.key_provider, &bound), At::Metadata("a"));
                put(&mut row, At::Metadata("b"), &value);
            }
            // Every append is encrypted for one revision. The number next to the ciphertext is right.
            Some(Defect::ForgetsRevision) => {
                let chunk = ciphertext(&sealed_row(&self.key_provider, &bound), At::Chunk(1));
                let renumbered = chunk.replace(r#""rev":2"#, r#""rev":3"#);
                assert_ne!(chunk, renumbered);
                put(&mut row, At::Chunk(2), &renumbered);
            }
            _ => {}
        }
        Message { tenant: of.tenant, thread: of.thread, id: of.id, ..row }
    }

    /// Returns true if the layer decrypts the row.
    fn opens(&self, row: &Message) -> bool {
        let mut row = self.bound(row);
        let owner = row.tenant.clone();
        let key_set = &mut self.key_provider.key_set(&owner);
        match self.defect {
            None | Some(Defect::ForgetsTenant | Defect::ForgetsThread | Defect::ForgetsMessage) => {
                open::open_message(&mut row, key_set).is_ok()
            }
            Some(Defect::ForgetsField) => {
                let metadata = std::mem::take(&mut row.metadata);
                metadata.iter().all(|(_, value)| {
                    let mut one = Metadata::new();
                    one.set_raw("a", value.to_owned());
                    open::open_metadata(&mut one, &row.thread, Some(&row.id), key_set).is_ok()
                }) && open::open_message(&mut row, key_set).is_ok()
            }
            Some(
                defect @ (Defect::ForgetsRevision
                | Defect::ForgetsOrder
                | Defect::ForgetsEnds
                | Defect::AcceptsPlaintext),
            ) => {
                open::open_metadata(&mut row.metadata.clone(), &row.thread, Some(&row.id), key_set).is_ok()
                    && open_content(&row, defect, key_set).is_ok()
            }
        }
    }
}

/// Decrypts the content as [`assemble`](super::chunks::assemble) does, but without one check.
fn open_content(row: &Message, defect: Defect, key_set: &mut KeySet<'_>) -> Result<Content, Unreadable> {
    let info = MessageInfo { revision: row.revision.get(), state: row.state, accepts_plaintext: false };
    let blocks = StoredBlocks::parse(&row.content, defect == Defect::AcceptsPlaintext)?;
    if defect != Defect::AcceptsPlaintext {
        blocks.check_presence(info)?;
    }
    if defect != Defect::ForgetsEnds {
        blocks.check_ends(info)?;
    }
    if defect != Defect::ForgetsOrder {
        blocks.check_order()?;
    }
    let open = |chunk: &Chunk<'_>| {
        let revision = match defect {
            Defect::ForgetsRevision => chunk.revision.min(2),
            _ => chunk.revision,
        };
        let field = Field::Content { part: chunk.part, revision };
        key_set.open_ciphertext(&row.thread, Some(&row.id), field, &chunk.ciphertext)
    };
    blocks.join(open, || {})
}

fn key_provider() -> KeyProvider {
    let key_ring = KeyRing::new(Key::new("k1".parse().unwrap(), &[1; 32]));
    key_ring.rotate(Key::new("k2".parse().unwrap(), &[2; 32])).unwrap();
    EncryptLayer::new(key_ring).key_provider().clone()
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// Stored rows: two tenants, two threads, two messages, with several chunks and two metadata values. Some ids are equal
/// when they are concatenated without their lengths.
fn rows(layer: &Subject) -> Vec<Message> {
    let mut rows = Vec::new();
    for owner in ["x", "xt"].map(tenant) {
        for thread in ["t", "u"] {
            for id in ["m", "n"] {
                rows.push(layer.row(&owner, thread, id));
            }
        }
    }
    rows
}

/// Encrypts a row with the ids of `of`.
fn sealed_row(key_provider: &KeyProvider, of: &Message) -> Message {
    let mut metadata = Metadata::new();
    metadata.set("a", "one").unwrap();
    metadata.set("b", "one").unwrap();
    let new = NewMessage::new(Role::User, Content::text("the same")).with_id(of.id.clone());
    let add = Add::new(of.thread.clone(), new.with_metadata(metadata));
    let mut row = add.to_message(&of.tenant, Seq::FIRST, Timestamp::from_micros(7));
    let key_set = key_provider.key_set(&of.tenant);
    let mut args: PersistArgs = add.into();
    let mut known = StoreState::default();
    seal::seal(&mut args, &key_set, &mut known).unwrap();
    let PersistArgs::Add(sealed) = args else { unreachable!() };
    let mut blocks = vec![sealed.content.as_json().to_owned()];
    row.metadata = sealed.metadata;
    for _ in 0..2 {
        let change = ContentChange::Append(Delta::text("the same"));
        let update = UpdateContent::new(row.thread.clone(), row.id.clone(), change, UpdateMode::Edit);
        let mut args: PersistArgs = update.into();
        seal::seal(&mut args, &key_set, &mut known).unwrap();
        let PersistArgs::UpdateContent(update) = args else { unreachable!() };
        let ContentChange::Append(Delta::Blocks(chunk)) = update.change else { unreachable!() };
        blocks.push(chunk.as_json().to_owned());
        row.revision = update.expected.unwrap().next();
    }
    row.content = together(&blocks);
    row
}

/// Concatenates arrays of blocks.
fn together(arrays: &[String]) -> Content {
    let inner: Vec<_> = arrays.iter().map(|array| &array[1..array.len() - 1]).collect();
    Content::from_json(format!("[{}]", inner.join(","))).unwrap()
}

fn chunks(content: &Content) -> Vec<String> {
    content.blocks().iter().map(|block| format!("[{}]", block.get())).collect()
}

/// A ciphertext of a row: a chunk by its number, or a metadata value by its name.
#[derive(Clone, Copy)]
enum At {
    Chunk(usize),
    Metadata(&'static str),
}

const CIPHERTEXTS: [At; 5] = [At::Chunk(0), At::Chunk(1), At::Chunk(2), At::Metadata("a"), At::Metadata("b")];

fn ciphertext(row: &Message, at: At) -> String {
    match at {
        At::Chunk(number) => chunks(&row.content)[number].clone(),
        At::Metadata(name) => row.metadata.get(name).unwrap().get().to_owned(),
    }
}

/// Returns the ciphertext of a chunk without the other fields of its block.
fn inner(ciphertext: &str) -> &str {
    let from = ciphertext.find("sealed:").unwrap();
    &ciphertext[from..from + ciphertext[from..].find('"').unwrap()]
}

fn put(row: &mut Message, at: At, ciphertext: &str) {
    match at {
        At::Chunk(number) => {
            let mut all = chunks(&row.content);
            ciphertext.clone_into(&mut all[number]);
            row.content = together(&all);
        }
        At::Metadata(name) => {
            row.metadata
                .set_raw(name, serde_json::value::RawValue::from_string(ciphertext.to_owned()).unwrap());
        }
    }
}

/// Returns the number of swaps and of undetected swaps. Both blocks and the ciphertexts inside are swapped.
fn swaps(layer: &Subject, fits: impl Fn(&Message, &Message, At, At) -> bool) -> (usize, usize) {
    let rows = rows(layer);
    let (mut tried, mut passed) = (0, 0);
    for (n, one) in rows.iter().enumerate() {
        for (m, other) in rows.iter().enumerate() {
            for (i, from) in CIPHERTEXTS.into_iter().enumerate() {
                for (j, to) in CIPHERTEXTS.into_iter().enumerate() {
                    if (n == m && i == j) || !fits(one, other, from, to) {
                        continue;
                    }
                    let (from_ciphertext, to_ciphertext) = (ciphertext(one, from), ciphertext(other, to));
                    let swapped = to_ciphertext.replace(inner(&to_ciphertext), inner(&from_ciphertext));
                    let mut changed = other.clone();
                    put(&mut changed, to, &swapped);
                    tried += 1;
                    passed += usize::from(layer.opens(&changed));
                }
            }
        }
    }
    (tried, passed)
}

type Check = fn(&Subject) -> bool;

fn other_tenant(layer: &Subject) -> bool {
    let same = |a: &Message, b: &Message| a.thread == b.thread && a.id == b.id && a.tenant != b.tenant;
    none_passes(swaps(layer, |a, b, from, to| same(a, b) && is_same_ciphertext(from, to)))
}

fn other_thread(layer: &Subject) -> bool {
    let same = |a: &Message, b: &Message| a.tenant == b.tenant && a.id == b.id && a.thread != b.thread;
    none_passes(swaps(layer, |a, b, from, to| same(a, b) && is_same_ciphertext(from, to)))
}

fn other_message(layer: &Subject) -> bool {
    let same = |a: &Message, b: &Message| a.tenant == b.tenant && a.thread == b.thread && a.id != b.id;
    none_passes(swaps(layer, |a, b, from, to| same(a, b) && is_same_ciphertext(from, to)))
}

fn other_metadata_value(layer: &Subject) -> bool {
    none_passes(swaps(layer, |a, b, from, to| {
        std::ptr::eq(a, b) && matches!((from, to), (At::Metadata(_), At::Metadata(_)))
    }))
}

fn other_revision(layer: &Subject) -> bool {
    // The two appended chunks differ in their revision only.
    none_passes(swaps(layer, |a, b, from, to| {
        std::ptr::eq(a, b)
            && matches!((from, to), (At::Chunk(1), At::Chunk(2)) | (At::Chunk(2), At::Chunk(1)))
    }))
}

const fn is_same_ciphertext(from: At, to: At) -> bool {
    match (from, to) {
        (At::Chunk(a), At::Chunk(b)) => a == b,
        (At::Metadata(a), At::Metadata(b)) => a.as_bytes()[0] == b.as_bytes()[0],
        _ => false,
    }
}

fn none_passes((tried, passed): (usize, usize)) -> bool {
    assert!(tried > 0);
    passed == 0
}

/// Removes chunks from the middle, repeats them or reorders them; each chunk is valid by itself.
fn chunks_in_order(layer: &Subject) -> bool {
    let row = &rows(layer)[0];
    let all = chunks(&row.content);
    [&[0, 2][..], &[0, 2, 1, 2], &[0, 1, 1, 2]].into_iter().all(|order| {
        let mut changed = row.clone();
        changed.content = together(&order.iter().map(|n| all[*n].clone()).collect::<Vec<_>>());
        !layer.opens(&changed)
    })
}

/// Removes chunks from the beginning or the end.
fn chunks_at_the_ends(layer: &Subject) -> bool {
    let row = &rows(layer)[0];
    let all = chunks(&row.content);
    [&[0, 1][..], &[0], &[1, 2], &[2]].into_iter().all(|kept| {
        let mut changed = row.clone();
        changed.content = together(&kept.iter().map(|n| all[*n].clone()).collect::<Vec<_>>());
        !layer.opens(&changed)
    })
}

/// Puts plaintext in place of a ciphertext, or removes all content of a settled message.
fn planted(layer: &Subject) -> bool {
    let row = &rows(layer)[0];
    let mut content = row.clone();
    content.content = Content::text("planted");
    let mut value = row.clone();
    value.metadata.set("a", "planted").unwrap();
    let mut nothing = row.clone();
    nothing.content = Content::empty();
    [content, value, nothing].iter().all(|row| !layer.opens(row))
}

const CHECKS: [(&str, Check); 8] = [
    ("other tenant", other_tenant),
    ("other thread", other_thread),
    ("other message", other_message),
    ("other metadata value", other_metadata_value),
    ("other revision", other_revision),
    ("chunks in order", chunks_in_order),
    ("chunks at the ends", chunks_at_the_ends),
    ("planted", planted),
];

fn failing(layer: &Subject) -> Vec<&'static str> {
    CHECKS.into_iter().filter(|(_, check)| !check(layer)).map(|(name, _)| name).collect()
}

#[test]
fn the_layer_passes_every_check() {
    assert_eq!(failing(&Subject::real()), [""; 0]);
}

#[test]
fn each_variant_that_forgets_something_fails_its_check_and_no_other() {
    for (defect, check) in [
        (Defect::ForgetsTenant, "other tenant"),
        (Defect::ForgetsThread, "other thread"),
        (Defect::ForgetsMessage, "other message"),
        (Defect::ForgetsField, "other metadata value"),
        (Defect::ForgetsRevision, "other revision"),
        (Defect::ForgetsOrder, "chunks in order"),
        (Defect::ForgetsEnds, "chunks at the ends"),
        (Defect::AcceptsPlaintext, "planted"),
    ] {
        let layer = Subject::with(defect);
        assert!(rows(&layer).iter().all(|row| layer.opens(row)), "{defect:?}");
        assert_eq!(failing(&layer), [check], "{defect:?}");
    }
}

/// REL-30: no two ciphertexts in a store can be swapped.
#[test]
fn rel_30_no_two_ciphertexts_can_be_swapped() {
    let (tried, passed) = swaps(&Subject::real(), |_, _, _, _| true);
    assert_eq!((tried, passed), (40 * 39, 0));
}

/// REL-30: flips each bit of each byte of a row.
#[test]
fn rel_30_no_byte_can_be_changed() {
    let layer = Subject::real();
    let row = layer.row(&tenant("x"), "t", "m");
    assert!(layer.opens(&row));
    let mut changed_rows = 0;
    for at in CIPHERTEXTS {
        let ciphertext = ciphertext(&row, at);
        for byte in 0..ciphertext.len() {
            for bit in 0..8 {
                let mut bytes = ciphertext.clone().into_bytes();
                bytes[byte] ^= 1 << bit;
                // The store itself refuses text that is no JSON.
                let Ok(text) = String::from_utf8(bytes) else { continue };
                if serde_json::from_str::<serde_json::Value>(&text).is_err() {
                    continue;
                }
                if matches!(at, At::Chunk(_)) && !text.starts_with('[') {
                    continue;
                }
                let mut changed = row.clone();
                put(&mut changed, at, &text);
                changed_rows += 1;
                assert!(!layer.opens(&changed), "byte {byte}, bit {bit}: {text}");
            }
        }
    }
    assert!(changed_rows > 3000, "{changed_rows}");
}

/// REL-30: changes the fields around the ciphertexts.
#[test]
fn rel_30_a_wrong_owner_revision_or_key_is_refused() {
    let layer = Subject::real();
    let row = layer.row(&tenant("x"), "t", "m");
    let changed = |change: fn(&mut Message)| {
        let mut row = row.clone();
        change(&mut row);
        layer.opens(&row)
    };
    assert!(changed(|_| {}));
    assert!(!changed(|row| row.tenant = tenant("y")));
    assert!(!changed(|row| row.thread = "u".parse().unwrap()));
    assert!(!changed(|row| row.id = "n".parse().unwrap()));
    assert!(!changed(|row| row.revision = Revision::new(2)));
    assert!(!changed(|row| row.revision = Revision::new(4)));
    // The key ring has this key, but another key encrypted the chunk.
    let other_key = |row: &mut Message| {
        let ciphertext = ciphertext(row, At::Chunk(1)).replace(":k2:", ":k1:");
        put(row, At::Chunk(1), &ciphertext);
    };
    assert!(!changed(other_key));
}

#[test]
fn titles_and_facts_of_threads_belong_to_their_thread() {
    let key_provider = key_provider();
    let owner = tenant("x");
    let sealed = |thread: &str| {
        let mut metadata = Metadata::new();
        metadata.set("title", "the same").unwrap();
        let new = NewThread::new().with_id(thread.parse().unwrap()).with_title("the same".parse().unwrap());
        let mut args: PersistArgs = CreateThread::new(new.with_metadata(metadata)).into();
        seal::seal(&mut args, &key_provider.key_set(&owner), &mut StoreState::default()).unwrap();
        match args {
            PersistArgs::Thread(throughline_core::threads::ThreadArgs::Create(create)) => {
                (create.title, create.metadata)
            }
            _ => unreachable!(),
        }
    };
    let (t, u): (ThreadId, ThreadId) = ("t".parse().unwrap(), "u".parse().unwrap());
    let (title, metadata) = sealed("t");
    let mut key_set = key_provider.key_set(&owner);
    assert_eq!(open::open_title(&title, &t, &mut key_set).unwrap().as_str(), "the same");
    assert!(open::open_title(&title, &u, &mut key_set).is_err());
    assert!(open::open_metadata(&mut metadata.clone(), &t, None, &mut key_set).is_ok());
    assert!(open::open_metadata(&mut metadata.clone(), &u, None, &mut key_set).is_err());
    // A title is not interchangeable with a metadata value of that name.
    let value = Title::new(metadata.get_as::<String>("title").unwrap()).unwrap();
    assert!(open::open_title(&value, &t, &mut key_set).is_err());
    assert!(
        open::open_metadata(&mut metadata.clone(), &t, Some(&"m".parse().unwrap()), &mut key_set).is_err()
    );
}
