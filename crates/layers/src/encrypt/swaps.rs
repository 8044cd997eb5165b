//! Tests that a ciphertext decrypts with its own binding only: they swap every pair of ciphertexts and change every
//! byte. Each check must pass for the real layer, and must fail for the defective variant that it is made for.

use super::{
    EncryptLayer, Key, KeyRing, Weakness,
    key_set::KeyProvider,
    open,
    seal::{self, StoreState},
};
use throughline_core::{
    Content, Delta, Message, Metadata, NewMessage, NewThread, PersistArgs, Revision, Role, Seq, TenantId,
    ThreadId, Timestamp, Title,
    messages::{Add, ContentChange, UpdateContent, UpdateMode},
    threads::CreateThread,
};

fn key_provider(weakness: Weakness) -> KeyProvider {
    let key_ring = KeyRing::new(Key::new("k1".parse().unwrap(), &[1; 32]));
    key_ring.rotate(Key::new("k2".parse().unwrap(), &[2; 32])).unwrap();
    EncryptLayer::new(key_ring)
        .changed(|key_provider| key_provider.weakness = weakness)
        .key_provider()
        .clone()
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// Stored rows: two tenants, two threads, two messages, with several chunks and two metadata values. Some ids are equal
/// when they are concatenated without their lengths.
fn rows(key_provider: &KeyProvider) -> Vec<Message> {
    let mut rows = Vec::new();
    for owner in ["x", "xt"].map(tenant) {
        for thread in ["t", "u"] {
            for id in ["m", "n"] {
                rows.push(row(key_provider, &owner, thread, id));
            }
        }
    }
    rows
}

fn row(key_provider: &KeyProvider, owner: &TenantId, thread: &str, id: &str) -> Message {
    let mut metadata = Metadata::new();
    metadata.set("a", "one").unwrap();
    metadata.set("b", "one").unwrap();
    let new = NewMessage::new(Role::User, Content::text("the same")).with_id(id.parse().unwrap());
    let add = Add::new(thread.parse().unwrap(), new.with_metadata(metadata));
    let mut row = add.to_message(owner, Seq::FIRST, Timestamp::from_micros(7));
    let key_set = key_provider.key_set(owner);
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

fn opens(key_provider: &KeyProvider, row: &Message) -> bool {
    let mut opened = row.clone();
    open::open_message(&mut opened, &mut key_provider.key_set(&row.tenant)).is_ok()
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
fn swaps(key_provider: &KeyProvider, fits: impl Fn(&Message, &Message, At, At) -> bool) -> (usize, usize) {
    let rows = rows(key_provider);
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
                    passed += usize::from(opens(key_provider, &changed));
                }
            }
        }
    }
    (tried, passed)
}

type Check = fn(&KeyProvider) -> bool;

fn other_tenant(key_provider: &KeyProvider) -> bool {
    let same = |a: &Message, b: &Message| a.thread == b.thread && a.id == b.id && a.tenant != b.tenant;
    none_passes(swaps(key_provider, |a, b, from, to| same(a, b) && is_same_ciphertext(from, to)))
}

fn other_thread(key_provider: &KeyProvider) -> bool {
    let same = |a: &Message, b: &Message| a.tenant == b.tenant && a.id == b.id && a.thread != b.thread;
    none_passes(swaps(key_provider, |a, b, from, to| same(a, b) && is_same_ciphertext(from, to)))
}

fn other_message(key_provider: &KeyProvider) -> bool {
    let same = |a: &Message, b: &Message| a.tenant == b.tenant && a.thread == b.thread && a.id != b.id;
    none_passes(swaps(key_provider, |a, b, from, to| same(a, b) && is_same_ciphertext(from, to)))
}

fn other_metadata_value(key_provider: &KeyProvider) -> bool {
    none_passes(swaps(key_provider, |a, b, from, to| {
        std::ptr::eq(a, b) && matches!((from, to), (At::Metadata(_), At::Metadata(_)))
    }))
}

fn other_revision(key_provider: &KeyProvider) -> bool {
    // The two appended chunks differ in their revision only.
    none_passes(swaps(key_provider, |a, b, from, to| {
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
fn chunks_in_order(key_provider: &KeyProvider) -> bool {
    let row = &rows(key_provider)[0];
    let all = chunks(&row.content);
    [&[0, 2][..], &[0, 2, 1, 2], &[0, 1, 1, 2]].into_iter().all(|order| {
        let mut changed = row.clone();
        changed.content = together(&order.iter().map(|n| all[*n].clone()).collect::<Vec<_>>());
        !opens(key_provider, &changed)
    })
}

/// Removes chunks from the beginning or the end.
fn chunks_at_the_ends(key_provider: &KeyProvider) -> bool {
    let row = &rows(key_provider)[0];
    let all = chunks(&row.content);
    [&[0, 1][..], &[0], &[1, 2], &[2]].into_iter().all(|kept| {
        let mut changed = row.clone();
        changed.content = together(&kept.iter().map(|n| all[*n].clone()).collect::<Vec<_>>());
        !opens(key_provider, &changed)
    })
}

/// Puts plaintext in place of a ciphertext, or removes all content of a settled message.
fn planted(key_provider: &KeyProvider) -> bool {
    let row = &rows(key_provider)[0];
    let mut content = row.clone();
    content.content = Content::text("planted");
    let mut value = row.clone();
    value.metadata.set("a", "planted").unwrap();
    let mut nothing = row.clone();
    nothing.content = Content::empty();
    [content, value, nothing].iter().all(|row| !opens(key_provider, row))
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

fn failing(weakness: Weakness) -> Vec<&'static str> {
    let key_provider = key_provider(weakness);
    CHECKS.into_iter().filter(|(_, check)| !check(&key_provider)).map(|(name, _)| name).collect()
}

#[test]
fn the_layer_passes_every_check() {
    assert_eq!(failing(Weakness::None), [""; 0]);
}

#[test]
fn each_variant_that_forgets_something_fails_its_check_and_no_other() {
    for (weakness, check) in [
        (Weakness::ForgetsTenant, "other tenant"),
        (Weakness::ForgetsThread, "other thread"),
        (Weakness::ForgetsMessage, "other message"),
        (Weakness::ForgetsField, "other metadata value"),
        (Weakness::ForgetsRevision, "other revision"),
        (Weakness::ForgetsOrder, "chunks in order"),
        (Weakness::ForgetsEnds, "chunks at the ends"),
        (Weakness::AcceptsPlaintext, "planted"),
    ] {
        assert_eq!(failing(weakness), [check], "{weakness:?}");
    }
}

/// REL-30: no two ciphertexts in a store can be swapped.
#[test]
fn rel_30_no_two_ciphertexts_can_be_swapped() {
    let (tried, passed) = swaps(&key_provider(Weakness::None), |_, _, _, _| true);
    assert_eq!((tried, passed), (40 * 39, 0));
}

/// REL-30: flips each bit of each byte of a row.
#[test]
fn rel_30_no_byte_can_be_changed() {
    let key_provider = key_provider(Weakness::None);
    let row = row(&key_provider, &tenant("x"), "t", "m");
    assert!(opens(&key_provider, &row));
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
                assert!(!opens(&key_provider, &changed), "byte {byte}, bit {bit}: {text}");
            }
        }
    }
    assert!(changed_rows > 3000, "{changed_rows}");
}

/// REL-30: changes the fields around the ciphertexts.
#[test]
fn rel_30_a_wrong_owner_revision_or_key_is_refused() {
    let key_provider = key_provider(Weakness::None);
    let row = row(&key_provider, &tenant("x"), "t", "m");
    let changed = |change: fn(&mut Message)| {
        let mut row = row.clone();
        change(&mut row);
        opens(&key_provider, &row)
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
    let key_provider = key_provider(Weakness::None);
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
