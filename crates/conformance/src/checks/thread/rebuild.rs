//! `RebuildThread`.

use std::time::Duration;

use throughline_core::{
    Content, NewReservation, Persistence, Role, Seq,
    messages::{Import, ImportRow, Reserve, UpdateMode},
    threads::PruneThread,
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, entry, everything, facts, id, new_thread, said, thread_id, title},
};

checks! {
    Extended "threads.rebuilt_summary_is_identical" [Add Reserve UpdateContent Update Delete Import Thread Read] "a rebuilt thread summary equals the maintained one byte for byte, after any history" => rebuild;
}

/// Numbers that look random, the same ones for a seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        // The step of SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % sides
    }
}

async fn rebuild(rig: Rig) {
    let db = rig.db().await;
    let mut dice = Dice(rig.seed);
    for name in ["a", "b"] {
        let created = new_thread(name).with_title(title("kept")).with_owner("o".parse().unwrap());
        let created = created.with_metadata(facts(r#"{"n":1.10}"#));
        db.create_thread(created).await.unwrap();
        for step in 0..40 {
            if dice.throw(4) == 0 {
                rig.clock.go_back(Duration::from_secs(60));
            } else {
                rig.clock.advance(Duration::from_secs(dice.throw(100)));
            }
            something(&db, name, step, &mut dice).await;
            if step % 4 == 3 {
                same(&db, name, rig.seed).await;
            }
        }
        same(&db, name, rig.seed).await;
    }
}

async fn same(db: &Persistence, name: &str, seed: u64) {
    let before = serde_json::to_string(&entry(db, name).await).expect("an entry serializes");
    let answer = db.thread(name).rebuild_summary().await.unwrap();
    let after = serde_json::to_string(&entry(db, name).await).expect("an entry serializes");
    assert_eq!(after, before, "seed {seed}");
    assert_eq!(serde_json::to_string(&answer.summary).expect("an entry serializes"), before, "seed {seed}");
}

/// One write or another. Some of them are refused, which changes nothing.
async fn something(db: &Persistence, name: &str, step: u64, dice: &mut Dice) {
    let thread = db.thread(name);
    let new = format!("m{step}");
    let old = format!("m{}", dice.throw(step + 1));
    let role = [Role::User, Role::Assistant][usize::from(dice.throw(2) == 0)];
    match dice.throw(12) {
        0..=2 => drop(thread.add(said(&new, &"é".repeat(usize::try_from(dice.throw(120)).unwrap()))).await),
        3..=4 => {
            let row = NewReservation::new(role).with_id(id(&new));
            drop(db.run(Reserve::new(thread_id(name), row)).await);
        }
        5 => drop(thread.update_content(id(&old), append("x"), UpdateMode::Partial).await),
        6 => drop(thread.update_content(id(&old), append("y"), UpdateMode::Final).await),
        7 => drop(thread.update_content(id(&old), append("z"), UpdateMode::Abandon { reason: None }).await),
        8 => drop(thread.edit(id(&old), Content::text(&new)).await),
        9 => drop(thread.delete(id(&old)).await),
        10 => {
            let row = ImportRow::new(id(&new), role, Content::text(&new), db.now());
            drop(db.run(Import::new(thread_id(name), vec![row])).await);
            drop(thread.update(id(&old), Default::default()).await);
        }
        _ if dice.throw(3) == 0 => drop(thread.clear().await),
        _ => {
            let entry = entry(db, name).await;
            let through = everything(&thread).await.get(1).map_or(Seq::ZERO, |message| message.seq);
            let prune =
                PruneThread { thread: thread_id(name), through, generation: entry.generation, limit: 9 };
            drop(db.on_thread(prune).await);
        }
    }
}
