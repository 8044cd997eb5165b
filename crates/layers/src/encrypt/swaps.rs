//! What is sealed opens in its own place and nowhere else: every pair of cells is swapped, every byte changed. Each check is
//! run on the layer as it is, which has to pass, and on variants that forget something, of which it has to catch its own.

use super::{
    EncryptLayer, Key, KeyRing, Weakness,
    key_set::Cabinet,
    open,
    seal::{self, Known},
};
use throughline_core::{
    Content, Delta, Message, Metadata, NewMessage, NewThread, PersistArgs, Revision, Role, Seq, TenantId,
    ThreadId, Timestamp, Title,
    messages::{Add, ContentChange, UpdateContent, UpdateMode},
    threads::CreateThread,
};

fn cabinet(weakness: Weakness) -> Cabinet {
    let key_ring = KeyRing::new(Key::new("k1".parse().unwrap(), &[1; 32]));
    key_ring.rotate(Key::new("k2".parse().unwrap(), &[2; 32])).unwrap();
    EncryptLayer::new(key_ring).changed(|cabinet| cabinet.weakness = weakness).cabinet().clone()
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// Rows as the store has them: two tenants, two threads, two messages, with content of several pieces and two facts. Ids that
/// come out alike when they are put together without their lengths are among them.
fn rows(cabinet: &Cabinet) -> Vec<Message> {
    let mut rows = Vec::new();
    for whose in ["x", "xt"].map(tenant) {
        for thread in ["t", "u"] {
            for id in ["m", "n"] {
                rows.push(row(cabinet, &whose, thread, id));
            }
        }
    }
    rows
}

fn row(cabinet: &Cabinet, whose: &TenantId, thread: &str, id: &str) -> Message {
    let mut facts = Metadata::new();
    facts.set("a", "one").unwrap();
    facts.set("b", "one").unwrap();
    let new = NewMessage::new(Role::User, Content::text("the same")).with_id(id.parse().unwrap());
    let add = Add::new(thread.parse().unwrap(), new.with_metadata(facts));
    let mut row = add.to_message(whose, Seq::FIRST, Timestamp::from_micros(7));
    let key_set = cabinet.key_set(whose);
    let mut args: PersistArgs = add.into();
    let mut known = Known::default();
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
        let ContentChange::Append(Delta::Blocks(piece)) = update.change else { unreachable!() };
        blocks.push(piece.as_json().to_owned());
        row.revision = update.expected.unwrap().next();
    }
    row.content = together(&blocks);
    row
}

/// Arrays of blocks as one.
fn together(arrays: &[String]) -> Content {
    let inner: Vec<_> = arrays.iter().map(|array| &array[1..array.len() - 1]).collect();
    Content::from_json(format!("[{}]", inner.join(","))).unwrap()
}

fn pieces(content: &Content) -> Vec<String> {
    content.blocks().iter().map(|block| format!("[{}]", block.get())).collect()
}

fn opens(cabinet: &Cabinet, row: &Message) -> bool {
    let mut opened = row.clone();
    open::open_message(&mut opened, &mut cabinet.key_set(&row.tenant)).is_ok()
}

/// A row with one of its cells exchanged: piece by number, or fact by name.
#[derive(Clone, Copy)]
enum At {
    Piece(usize),
    Fact(&'static str),
}

const CELLS: [At; 5] = [At::Piece(0), At::Piece(1), At::Piece(2), At::Fact("a"), At::Fact("b")];

fn cell(row: &Message, at: At) -> String {
    match at {
        At::Piece(number) => pieces(&row.content)[number].clone(),
        At::Fact(name) => row.metadata.get(name).unwrap().get().to_owned(),
    }
}

/// The cipher of a piece alone, without what its block says of it.
fn inner(cell: &str) -> &str {
    let from = cell.find("sealed:").unwrap();
    &cell[from..from + cell[from..].find('"').unwrap()]
}

fn put(row: &mut Message, at: At, cell: &str) {
    match at {
        At::Piece(number) => {
            let mut all = pieces(&row.content);
            cell.clone_into(&mut all[number]);
            row.content = together(&all);
        }
        At::Fact(name) => {
            row.metadata.set_raw(name, serde_json::value::RawValue::from_string(cell.to_owned()).unwrap());
        }
    }
}

/// How many of the swaps were not seen. Both whole blocks and what is in them are swapped.
fn swaps(cabinet: &Cabinet, fits: impl Fn(&Message, &Message, At, At) -> bool) -> (usize, usize) {
    let rows = rows(cabinet);
    let (mut tried, mut passed) = (0, 0);
    for (n, one) in rows.iter().enumerate() {
        for (m, other) in rows.iter().enumerate() {
            for (i, from) in CELLS.into_iter().enumerate() {
                for (j, to) in CELLS.into_iter().enumerate() {
                    if (n == m && i == j) || !fits(one, other, from, to) {
                        continue;
                    }
                    let (from_cell, to_cell) = (cell(one, from), cell(other, to));
                    let swapped = to_cell.replace(inner(&to_cell), inner(&from_cell));
                    let mut changed = other.clone();
                    put(&mut changed, to, &swapped);
                    tried += 1;
                    passed += usize::from(opens(cabinet, &changed));
                }
            }
        }
    }
    (tried, passed)
}

type Check = fn(&Cabinet) -> bool;

fn other_tenant(cabinet: &Cabinet) -> bool {
    let same = |a: &Message, b: &Message| a.thread == b.thread && a.id == b.id && a.tenant != b.tenant;
    none_passes(swaps(cabinet, |a, b, from, to| same(a, b) && is_same_cell(from, to)))
}

fn other_thread(cabinet: &Cabinet) -> bool {
    let same = |a: &Message, b: &Message| a.tenant == b.tenant && a.id == b.id && a.thread != b.thread;
    none_passes(swaps(cabinet, |a, b, from, to| same(a, b) && is_same_cell(from, to)))
}

fn other_message(cabinet: &Cabinet) -> bool {
    let same = |a: &Message, b: &Message| a.tenant == b.tenant && a.thread == b.thread && a.id != b.id;
    none_passes(swaps(cabinet, |a, b, from, to| same(a, b) && is_same_cell(from, to)))
}

fn other_fact(cabinet: &Cabinet) -> bool {
    none_passes(swaps(cabinet, |a, b, from, to| {
        std::ptr::eq(a, b) && matches!((from, to), (At::Fact(_), At::Fact(_)))
    }))
}

fn other_revision(cabinet: &Cabinet) -> bool {
    // The two appended pieces differ in nothing but their revision.
    none_passes(swaps(cabinet, |a, b, from, to| {
        std::ptr::eq(a, b)
            && matches!((from, to), (At::Piece(1), At::Piece(2)) | (At::Piece(2), At::Piece(1)))
    }))
}

const fn is_same_cell(from: At, to: At) -> bool {
    match (from, to) {
        (At::Piece(a), At::Piece(b)) => a == b,
        (At::Fact(a), At::Fact(b)) => a.as_bytes()[0] == b.as_bytes()[0],
        _ => false,
    }
}

fn none_passes((tried, passed): (usize, usize)) -> bool {
    assert!(tried > 0);
    passed == 0
}

/// Pieces left out of the middle, doubled, or in another order, each of them sound by itself.
fn pieces_in_order(cabinet: &Cabinet) -> bool {
    let row = &rows(cabinet)[0];
    let all = pieces(&row.content);
    [&[0, 2][..], &[0, 2, 1, 2], &[0, 1, 1, 2]].into_iter().all(|order| {
        let mut changed = row.clone();
        changed.content = together(&order.iter().map(|n| all[*n].clone()).collect::<Vec<_>>());
        !opens(cabinet, &changed)
    })
}

/// Pieces left out at the beginning or at the end.
fn pieces_at_the_ends(cabinet: &Cabinet) -> bool {
    let row = &rows(cabinet)[0];
    let all = pieces(&row.content);
    [&[0, 1][..], &[0], &[1, 2], &[2]].into_iter().all(|kept| {
        let mut changed = row.clone();
        changed.content = together(&kept.iter().map(|n| all[*n].clone()).collect::<Vec<_>>());
        !opens(cabinet, &changed)
    })
}

/// Plain text in the place of a cell, or nothing at all in a message that is settled.
fn planted(cabinet: &Cabinet) -> bool {
    let row = &rows(cabinet)[0];
    let mut content = row.clone();
    content.content = Content::text("planted");
    let mut fact = row.clone();
    fact.metadata.set("a", "planted").unwrap();
    let mut nothing = row.clone();
    nothing.content = Content::empty();
    [content, fact, nothing].iter().all(|row| !opens(cabinet, row))
}

const CHECKS: [(&str, Check); 8] = [
    ("other tenant", other_tenant),
    ("other thread", other_thread),
    ("other message", other_message),
    ("other fact", other_fact),
    ("other revision", other_revision),
    ("pieces in order", pieces_in_order),
    ("pieces at the ends", pieces_at_the_ends),
    ("planted", planted),
];

fn failing(weakness: Weakness) -> Vec<&'static str> {
    let cabinet = cabinet(weakness);
    CHECKS.into_iter().filter(|(_, check)| !check(&cabinet)).map(|(name, _)| name).collect()
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
        (Weakness::ForgetsField, "other fact"),
        (Weakness::ForgetsRevision, "other revision"),
        (Weakness::ForgetsOrder, "pieces in order"),
        (Weakness::ForgetsEnds, "pieces at the ends"),
        (Weakness::AcceptsPlaintext, "planted"),
    ] {
        assert_eq!(failing(weakness), [check], "{weakness:?}");
    }
}

/// REL-30: every pair of cells in the store.
#[test]
fn rel_30_no_two_cells_can_be_swapped() {
    let (tried, passed) = swaps(&cabinet(Weakness::None), |_, _, _, _| true);
    assert_eq!((tried, passed), (40 * 39, 0));
}

/// REL-30: each byte of a row, and whatever it may be changed to by a bit.
#[test]
fn rel_30_no_byte_can_be_changed() {
    let cabinet = cabinet(Weakness::None);
    let row = row(&cabinet, &tenant("x"), "t", "m");
    assert!(opens(&cabinet, &row));
    let mut changed_rows = 0;
    for at in CELLS {
        let cell = cell(&row, at);
        for byte in 0..cell.len() {
            for bit in 0..8 {
                let mut bytes = cell.clone().into_bytes();
                bytes[byte] ^= 1 << bit;
                // What is no JSON any more is refused by the store itself.
                let Ok(text) = String::from_utf8(bytes) else { continue };
                if serde_json::from_str::<serde_json::Value>(&text).is_err() {
                    continue;
                }
                if matches!(at, At::Piece(_)) && !text.starts_with('[') {
                    continue;
                }
                let mut changed = row.clone();
                put(&mut changed, at, &text);
                changed_rows += 1;
                assert!(!opens(&cabinet, &changed), "byte {byte}, bit {bit}: {text}");
            }
        }
    }
    assert!(changed_rows > 3000, "{changed_rows}");
}

/// REL-30: what surrounds the cells, as the store says it.
#[test]
fn rel_30_wrong_place_revision_or_key_is_refused() {
    let cabinet = cabinet(Weakness::None);
    let row = row(&cabinet, &tenant("x"), "t", "m");
    let changed = |change: fn(&mut Message)| {
        let mut row = row.clone();
        change(&mut row);
        opens(&cabinet, &row)
    };
    assert!(changed(|_| {}));
    assert!(!changed(|row| row.tenant = tenant("y")));
    assert!(!changed(|row| row.thread = "u".parse().unwrap()));
    assert!(!changed(|row| row.id = "n".parse().unwrap()));
    assert!(!changed(|row| row.revision = Revision::new(2)));
    assert!(!changed(|row| row.revision = Revision::new(4)));
    // A key that the ring has, and another one was used.
    let other_key = |row: &mut Message| {
        let cell = cell(row, At::Piece(1)).replace(":k2:", ":k1:");
        put(row, At::Piece(1), &cell);
    };
    assert!(!changed(other_key));
}

#[test]
fn titles_and_facts_of_threads_belong_to_their_thread() {
    let cabinet = cabinet(Weakness::None);
    let whose = tenant("x");
    let sealed = |thread: &str| {
        let mut facts = Metadata::new();
        facts.set("title", "the same").unwrap();
        let new = NewThread::new().with_id(thread.parse().unwrap()).with_title("the same".parse().unwrap());
        let mut args: PersistArgs = CreateThread::new(new.with_metadata(facts)).into();
        seal::seal(&mut args, &cabinet.key_set(&whose), &mut Known::default()).unwrap();
        match args {
            PersistArgs::Thread(throughline_core::threads::ThreadArgs::Create(create)) => {
                (create.title, create.metadata)
            }
            _ => unreachable!(),
        }
    };
    let (t, u): (ThreadId, ThreadId) = ("t".parse().unwrap(), "u".parse().unwrap());
    let (title, facts) = sealed("t");
    let mut key_set = cabinet.key_set(&whose);
    assert_eq!(open::open_title(&title, &t, &mut key_set).unwrap().as_str(), "the same");
    assert!(open::open_title(&title, &u, &mut key_set).is_err());
    assert!(open::open_facts(&mut facts.clone(), &t, None, &mut key_set).is_ok());
    assert!(open::open_facts(&mut facts.clone(), &u, None, &mut key_set).is_err());
    // A title is no fact of that name, nor a fact of a message.
    let fact = Title::new(facts.get_as::<String>("title").unwrap()).unwrap();
    assert!(open::open_title(&fact, &t, &mut key_set).is_err());
    assert!(open::open_facts(&mut facts.clone(), &t, Some(&"m".parse().unwrap()), &mut key_set).is_err());
}
