//! What is cut short goes on where it was.

use throughline::{
    ApplyImages, BeginCapture, ErrorKind, GetStanding, NewMessage, Persistence, Position, TakeStance,
    mirror::{Mirror, MirrorState, Switch},
    replica::Stance,
};

use super::support::{copy, equal, fill, memory, position, sqlite};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_again_and_again_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (from, path) = (sqlite(&folder.path().join("a.db")).await, folder.path().join("b.db"));
    fill(&from, 4, 500).await;
    let mut carried = 0;
    for round in 0_u64.. {
        // The store is opened anew each time; nothing of the mirror is left.
        let to = sqlite(&path).await;
        let mirror = Mirror::start(from.clone(), to.clone()).await.unwrap();
        let is_equal = || matches!(mirror.status().state, MirrorState::Following);
        while mirror.status().images < 500 && !is_equal() {
            tokio::task::yield_now().await;
        }
        let is_done = is_equal();
        carried += mirror.status().images;
        drop(mirror);
        to.close().await.unwrap();
        if is_done {
            assert!(round > 1, "it was done in {round} rounds");
            break;
        }
    }
    let to = sqlite(&path).await;
    drop(copy(&from, &to).await);
    let comparison = equal(&from, &to).await;
    assert_eq!(comparison.messages, 4 * 500);
    // Keys, messages, changes and a little more: what was carried before a kill was not carried again, but for what was under way.
    assert!(carried < 3 * 4 * 502 + 20 * 500, "{carried} images");
}

/// The stores as a change of who leads leaves them that ends after so many of its steps.
pub(super) async fn cut_short(old: &Persistence, new: &Persistence, steps: usize) {
    drop(copy(old, new).await.stop().await);
    let stance = async |db: &Persistence| db.read(GetStanding {}).await.unwrap().stance;
    let led = stance(old).await;
    if steps > 0 {
        old.on_replica(TakeStance::new(led, led.following())).await.unwrap();
    }
    if steps > 1 {
        let next = new.on_replica(BeginCapture::FROM_NOW).await.unwrap().cursor;
        let equal = ApplyImages {
            epoch: led.epoch,
            from: None,
            to: next,
            images: Vec::new(),
            position: Position::ZERO,
            kept_after: Position::ZERO,
        };
        old.on_replica(equal).await.unwrap();
    }
    if steps > 2 {
        let followed = stance(new).await;
        let epoch = led.epoch.max(followed.epoch).next();
        new.on_replica(TakeStance::new(followed, Stance { epoch, ..followed.leading_next() })).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_killed_after_any_step_leaves_one_store_that_leads() {
    for (steps, leader) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
        let (old, new) = (sqlite(&paths[0]).await, sqlite(&paths[1]).await);
        fill(&old, 2, 20).await;
        cut_short(&old, &new, steps).await;
        let asked = new.read(GetStanding {}).await.unwrap().stance;
        old.close().await.unwrap();
        new.close().await.unwrap();
        let (old, new) = (sqlite(&paths[0]).await, sqlite(&paths[1]).await);
        let switch = Switch::open(old.clone(), new.clone()).await.unwrap();
        assert_eq!(switch.leader(), leader, "after {steps} steps");
        let db = Persistence::builder().backend(switch.backend()).build().unwrap();
        switch.follow().await.unwrap();
        db.thread("t0").add(NewMessage::user("after the crash")).await.unwrap();
        let (first, second) = if leader == 0 { (&old, &new) } else { (&new, &old) };
        let error = second.thread("t0").add(NewMessage::user("beside")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Following);
        if leader == 0 && steps > 0 {
            // Whoever still wanted to end the change is late.
            let late = TakeStance::new(asked, asked.leading_next());
            assert_eq!(new.on_replica(late).await.unwrap_err().kind(), ErrorKind::Stale);
        }
        let patience = std::time::Duration::from_secs(30);
        let changed =
            if leader == 0 { switch.cut_over(patience).await } else { switch.cut_back(patience).await };
        changed.unwrap();
        db.thread("t0").add(NewMessage::user("after the change")).await.unwrap();
        let target = position(second).await;
        while switch.status().await.is_none_or(|status| status.position < target || status.lag().changes > 0)
        {
            tokio::task::yield_now().await;
        }
        switch.stop().await;
        equal(first, second).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_that_both_have_something_are_not_taken_for_a_pair() {
    let (first, second) = (memory("a"), memory("b"));
    for db in [&first, &second] {
        db.thread("t").add(NewMessage::user("mine")).await.unwrap();
    }
    assert_eq!(Switch::open(first, second).await.unwrap_err().kind(), ErrorKind::Conflict);
}
