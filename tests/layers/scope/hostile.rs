//! REL-13: two tenants with the same ids, and a hostile layer.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use throughline::{
    Call, Context, Delta, ErrorKind, MetadataPatch, NewMessage, NewReservation, Next, Operation, PersistArgs,
    PersistError, Persistence, Phase, Plugin, Position, Reply, Result, Role, ThreadId,
    changes::{ChangeScope, ReadChanges},
    layers::scope::ScopeLayer,
    memory::MemoryBackend,
    messages::{Batch, ContentChange, PageFrom, Reserve, Update, UpdateContent, UpdateMode},
    threads::ListThreads,
};

/// Sometimes repeats a call with the context of an earlier call.
struct Hostile {
    before: Mutex<Option<Context>>,
    count: AtomicU64,
    swapped: Arc<AtomicU64>,
}

impl Plugin for Hostile {
    fn name(&self) -> &str {
        "hostile"
    }

    fn phase(&self) -> Phase {
        Phase::Route
    }

    async fn around<O: Operation>(&self, mut call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        let mine = call.context.clone();
        let before = self.before.lock().unwrap().replace(mine.clone());
        if self.count.fetch_add(1, Ordering::Relaxed).is_multiple_of(5)
            && let Some(before) = before
            && before.tenant() != mine.tenant()
        {
            self.swapped.fetch_add(1, Ordering::Relaxed);
            call.context = before;
        }
        next.run(call).await
    }
}

fn thread(random: &mut fastrand::Rng) -> ThreadId {
    format!("t{}", random.u8(0..4)).parse().unwrap()
}

/// Returns a random operation that contains the marker of its tenant wherever possible.
fn random_operation(random: &mut fastrand::Rng, marker: &str) -> PersistArgs {
    let (t, number) = (thread(random), random.u8(0..20));
    let m = || format!("m{number}").parse().unwrap();
    let change = || ContentChange::Append(Delta::text(marker));
    let add = || throughline::messages::Add::new(t.clone(), NewMessage::user(marker).with_id(m()));
    match random.u8(0..12) {
        0 | 1 => add().into(),
        2 => Reserve::new(t.clone(), NewReservation::new(Role::Assistant).with_id(m())).into(),
        3 => UpdateContent::new(t.clone(), m(), change(), UpdateMode::Partial).into(),
        4 => UpdateContent::new(t.clone(), m(), change(), UpdateMode::Final).into(),
        5 => Update::new(t.clone(), m(), MetadataPatch::new().set("status", marker).unwrap()).into(),
        6 => Batch::new().with(add()).into(),
        7 => throughline::messages::GetMessage { thread: t.clone(), id: m() }.into(),
        8 => throughline::messages::ReadPage::new(t.clone(), PageFrom::End, 10).into(),
        9 => ListThreads::new(10).into(),
        10 => throughline::messages::ListOpen::new(10).into(),
        _ => ReadChanges::new(ChangeScope::Tenant, Position::new(0), 5).into(),
    }
}

/// The number of calls.
const CALLS: usize = 100_000;

#[tokio::test]
async fn rel_13_a_hostile_layer_leaks_no_byte_of_another_tenant() {
    let scope = ScopeLayer::new();
    let authority = scope.authority();
    let swapped = Arc::<AtomicU64>::default();
    let hostile =
        Hostile { before: Mutex::default(), count: AtomicU64::new(0), swapped: Arc::clone(&swapped) };
    let db =
        Persistence::builder().layer(scope).plugin(hostile).backend(MemoryBackend::new()).build().unwrap();
    let tenants = ["mark-of-a", "mark-of-b"].map(|marker| {
        let tenant = || marker.parse().unwrap();
        (marker, db.for_tenant(tenant()).with_credential(authority.everything().of_tenant(tenant())))
    });
    let seed = 13;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut answered, mut refused, mut foreign) = (0, 0, 0);
    for _ in 0..CALLS {
        let me = random.usize(0..2);
        let ((marker, db), (other, _)) = (&tenants[me], &tenants[1 - me]);
        let args = random_operation(&mut random, marker);
        let reaches_over = random.u8(0..4) == 0;
        let db = if reaches_over { db.for_tenant(other.parse().unwrap()) } else { db.clone() };
        let shown_text = match tower::ServiceExt::oneshot(db, args).await {
            Ok(response) => {
                assert!(!reaches_over, "seed {seed}: answered in the name of another tenant");
                answered += 1;
                serde_json::to_string(&response.result).unwrap()
            }
            Err(error) => {
                foreign += usize::from(error.kind() == ErrorKind::ContractViolation);
                refused += 1;
                shown_text(&error, reaches_over)
            }
        };
        assert!(!shown_text.contains(other), "seed {seed}: {marker} received {shown_text}");
    }
    // The hostile layer has changed nothing in the other tenant: each tenant has only its own data.
    for (index, (_, db)) in tenants.iter().enumerate() {
        let other = tenants[1 - index].0;
        for entry in db.threads(ListThreads::new(100)).await.unwrap().threads {
            let mut walk =
                db.thread(entry.thread).walk(PageFrom::Start, throughline::messages::Visibility::All);
            while let Some(message) = walk.next().await.unwrap() {
                assert!(!serde_json::to_string(&message).unwrap().contains(other), "seed {seed}");
            }
        }
    }
    let swapped = swapped.load(Ordering::Relaxed);
    eprintln!(
        "seed {seed}: {answered} answered, {refused} refused, {swapped} contexts swapped, {foreign} of them noticed"
    );
    assert!(answered > CALLS / 4 && swapped > 0);
    assert_eq!(foreign as u64, swapped, "each swap is a violation of the contract");
}

fn shown_text(error: &PersistError, reaches_over: bool) -> String {
    if reaches_over {
        assert_eq!(
            (error.kind(), error.detail()),
            (ErrorKind::Denied, "the capability is for another tenant")
        );
    }
    format!("{error} {error:?}")
}
