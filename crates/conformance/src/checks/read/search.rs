//! `SearchMessages`.

use std::time::Duration;

use throughline_core::{
    Content, ErrorKind, NewMessage, NewReservation, Persistence, Position, Role,
    messages::{Reserve, UpdateMode},
    search::{SearchHits, SearchMessages},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, id, new_thread, position, refused, said, thread_id},
};

checks! {
    Extended "search.terms_match_by_prefix_and_in_any_case" [Add Read; search] "a search finds a message by each of its words, in any case, and by prefixes" => words;
    Extended "search.hit_names_the_message_and_marks_the_terms" [Add Read; search] "a hit names its message and marks the matched terms in its snippet" => snippet;
    Extended "search.hit_shows_role_and_time" [Add Read; search] "a hit shows the role and the time of its message" => hit;
    Extended "search.indexed_position_is_not_ahead" [Add Read; search] "a search reports no indexed position that is later than the store's last change" => indexed;
    Extended "search.returns_as_many_hits_as_the_limit" [Add Read; search] "a search returns as many hits as its limit allows" => many;
    Extended "search.scope_excludes_other_threads_and_tenants" [Add Read; search] "a search finds no message of another thread or tenant outside of its scope" => scope;
    Extended "search.other_tenants_do_not_affect_hits" [Add Read; search] "messages of other tenants change neither the hits of a tenant nor their count or order" => tenants;
    Extended "search.hits_are_ranked_by_term_count" [Add Read; search] "hits are ranked by term count, at most four per term, and equal hits latest first" => order;
    Extended "search.cjk_is_found_inside_a_run" [Add Read; cjk_search] "a search finds Chinese, Japanese and Korean text inside a run of characters" => cjk;
    Extended "search.only_final_messages_are_found" [Reserve UpdateContent Add Read; search] "a search finds final messages and neither open nor abandoned ones" => settled;
    Extended "search.removed_text_is_not_found" [Add UpdateContent Delete Thread Read; search] "a search does not find text that was edited out, deleted, cleared or removed with its thread" => gone;
    Extended "search.reused_id_is_found_by_its_next_message_only" [Add Delete Thread Read; search] "a search finds the next message of a reused id by its own text, not by the deleted one's" => reused;
    Extended "search.bad_limits_and_empty_queries_are_refused" [Add Read; search] "a search respects its limit, and refuses a limit out of range or a query without terms" => limit;
}

/// Searches once the index holds everything up to a position.
async fn search(db: &Persistence, search: SearchMessages, committed: Position) -> SearchHits {
    loop {
        let found = db.search(search.clone()).await.expect("a search");
        assert_eq!(found.damaged, []);
        if found.indexed >= committed {
            return found;
        }
        // An index follows the writes in its own time; nothing says when.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn found(db: &Persistence, query: &str, committed: Position) -> Vec<String> {
    let found = search(db, SearchMessages::new(query, 100), committed).await;
    let mut ids: Vec<String> = found.hits.iter().map(|hit| hit.id.to_string()).collect();
    ids.sort_unstable();
    ids
}

async fn add(db: &Persistence, thread: &str, name: &str, text: &str) -> Position {
    position(&db.thread(thread).add(said(name, text)).reply().await.expect("an addition"))
}

async fn reused(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    db.create_thread(new_thread("t").reusing_ids()).await.unwrap();
    let last = add(&db, "t", "m", "the walrus").await;
    assert_eq!(found(&db, "walrus", last).await, ["m"]);
    thread.delete(id("m")).await.unwrap();
    let next = thread.add(said("m", "the carpenter")).reply().await.unwrap();
    let last = position(&next);
    assert_eq!(found(&db, "walrus", last).await, Vec::<String>::new());
    let hits = search(&db, SearchMessages::new("carpenter", 10), last).await.hits;
    assert_eq!(hits.iter().map(|hit| hit.seq).collect::<Vec<_>>(), [next.output.message.seq]);
}

async fn words(rig: Rig) {
    let db = rig.db().await;
    add(&db, "t", "a", "The train to Lisbon leaves at nine.").await;
    add(&db, "t", "b", "Lisbon has seven hills").await;
    let last = add(&db, "u", "c", "A train of thought, e\u{301}tude, naïve").await;
    for (query, due) in [
        ("lisbon", vec!["a", "b"]),
        ("TRAIN", vec!["a", "c"]),
        ("train lisbon", vec!["a"]),
        ("lisbon, train!", vec!["a"]),
        ("lis*", vec!["a", "b"]),
        ("lis", vec![]),
        ("thought NAÏVE", vec!["c"]),
        ("\"lisbon\" OR train", vec![]),
    ] {
        assert_eq!(found(&db, query, last).await, due, "{query}");
    }
    // However often a word is given, it is one.
    assert_eq!(found(&db, &"lis* ".repeat(100), last).await, ["a", "b"]);
}

async fn snippet(rig: Rig) {
    let db = rig.db().await;
    add(&db, "t", "before", "x").await;
    let text = format!("{}a needle in a haystack{}", "straw ".repeat(50), " straw".repeat(50));
    let last = add(&db, "t", "a", &text).await;
    let found = search(&db, SearchMessages::new("NEEDLE haystack", 10), last).await;
    let [hit] = &found.hits[..] else { panic!("{found:?}") };
    assert_eq!((hit.thread.as_str(), hit.id.as_str(), hit.seq.get(), hit.role), ("t", "a", 2, Role::User));
    let marked: Vec<&str> =
        hit.marks.iter().map(|(begin, end)| &hit.snippet[*begin as usize..*end as usize]).collect();
    assert_eq!(marked, ["needle", "haystack"]);
    assert!(hit.snippet.starts_with('…') && hit.snippet.ends_with('…') && hit.snippet.len() < text.len());
}

async fn hit(rig: Rig) {
    let db = rig.db().await;
    let message = NewMessage::new(Role::Assistant, Content::text("a needle")).with_id(id("m"));
    let now = rig.clock.advance(Duration::from_secs(5));
    let last = position(&db.thread("t").add(message).reply().await.unwrap());
    let hits = search(&db, SearchMessages::new("needle", 10), last).await.hits;
    let due = (Role::Assistant, now);
    assert_eq!(hits.iter().map(|hit| (hit.role, hit.created_at)).collect::<Vec<_>>(), [due]);
}

async fn indexed(rig: Rig) {
    let db = rig.db().await;
    let last = add(&db, "t", "a", "a needle").await;
    let found = search(&db, SearchMessages::new("needle", 10), last).await;
    let next = add(&db, "t", "b", "a needle").await;
    assert!(found.indexed < next, "{} was indexed before {next} was written", found.indexed);
}

async fn many(rig: Rig) {
    let db = rig.db().await;
    let mut last = Position::ZERO;
    for number in 0..101 {
        last = add(&db, "t", &format!("m{number}"), "a needle").await;
    }
    for limit in [99, 100, 101] {
        let found = search(&db, SearchMessages::new("needle", limit), last).await;
        assert_eq!(found.hits.len(), limit as usize);
    }
}

async fn scope(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    add(&db, "t", "a", "a needle").await;
    add(&other, "t", "theirs", "a needle").await;
    let last = add(&db, "u", "b", "a needle").await;
    assert_eq!(found(&db, "needle", last).await, ["a", "b"]);
    assert_eq!(found(&other, "needle", last).await, ["theirs"]);
    let in_thread = |name| SearchMessages::new("needle", 10).in_thread(thread_id(name));
    let hits = search(&db, in_thread("u"), last).await.hits;
    assert_eq!(hits.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(search(&db, in_thread("nothing"), Position::ZERO).await.hits.is_empty());
}

/// One tenant searches the store before and after other tenants write the same words, more often and later. Their names are
/// similar. One of them collides in an index that separates tenants by a prefix of 20 bits.
async fn tenants(rig: Rig) {
    let store = rig.db().await;
    let db = store.for_tenant("tenant-409".parse().unwrap());
    for (name, text) in [("a", "a pin, a needle, a needle"), ("b", "a needle"), ("c", "a needle and a pin")] {
        add(&db, "t", name, text).await;
    }
    let last = add(&db, "u", "d", "needle needle needle").await;
    let mut asked = Vec::new();
    for query in ["needle", "need*", "pin needle", "n* p*", "zebra"] {
        for limit in [1, 2, 10] {
            asked.push(SearchMessages::new(query, limit));
        }
        asked.push(SearchMessages::new(query, 10).in_thread(thread_id("t")));
    }
    let mut before = Vec::new();
    for read in &asked {
        before.push(search(&db, read.clone(), last).await.hits);
    }
    assert_eq!(
        before.iter().map(Vec::len).collect::<Vec<_>>(),
        [1, 2, 4, 3, 1, 2, 4, 3, 1, 2, 2, 2, 1, 2, 2, 2, 0, 0, 0, 0]
    );
    let mut last = last;
    for (tenant, messages) in
        [("tenant-1484", 50), ("tenant-40", 5), ("tenant-4090", 5), ("TENANT-409", 5), ("409", 5)]
    {
        let other = store.for_tenant(tenant.parse().unwrap());
        for n in 0..messages {
            let text = "needle needle needle needle pin pin zebra";
            last = last.max(add(&other, ["t", "u"][n % 2], &format!("m{n}"), text).await);
        }
    }
    for (read, due) in asked.into_iter().zip(before) {
        let of = format!("{} of {}", read.query, read.limit);
        let found = search(&db, read, last).await;
        assert_eq!((found.hits, found.terminated_early), (due, false), "{of}");
    }
}

async fn order(rig: Rig) {
    let db = rig.db().await;
    for (name, text) in [
        ("one", "needle"),
        ("nine", &*"needle ".repeat(9)),
        ("four", &*"needle ".repeat(4)),
        ("three", "needle needle needle"),
        ("pair", "needle pin"),
    ] {
        add(&db, "t", name, text).await;
    }
    let last = add(&db, "t", "other", "nothing").await;
    for (query, due) in [
        ("needle", vec!["four", "nine", "three", "pair", "one"]),
        ("ne* needle", vec!["four", "nine", "three", "pair", "one"]),
        ("needle pin", vec!["pair"]),
        ("n*", vec!["four", "nine", "three", "other", "pair", "one"]),
    ] {
        let found = search(&db, SearchMessages::new(query, 10), last).await;
        assert_eq!(found.hits.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), due, "{query}");
    }
}

async fn cjk(rig: Rig) {
    let db = rig.db().await;
    for (name, text) in [
        ("zh", "我们明天坐火车去里斯本，好吗？"),
        ("ja", "明日は東京タワーへ行きます。ABC株式会社"),
        ("ko", "내일 서울에서 만나요"),
    ] {
        add(&db, "t", name, text).await;
    }
    let last = add(&db, "t", "en", "We take the train to Tokyo tomorrow").await;
    for (query, due) in [
        ("火车", vec!["zh"]),
        ("里斯本", vec!["zh"]),
        ("明", vec!["ja", "zh"]),
        ("東京", vec!["ja"]),
        ("京タワ", vec!["ja"]),
        ("東京 abc", vec!["ja"]),
        ("株式会社", vec!["ja"]),
        ("서울", vec!["ko"]),
        ("요", vec!["ko"]),
        // Each pair of characters is there, and not the word.
        ("明天火车", vec![]),
        ("東タ", vec![]),
        ("train", vec!["en"]),
        ("rain", vec![]),
    ] {
        assert_eq!(found(&db, query, last).await, due, "{query}");
    }
    let hits = search(&db, SearchMessages::new("東京", 1), last).await.hits;
    let marked: Vec<&str> =
        hits[0].marks.iter().map(|(begin, end)| &hits[0].snippet[*begin as usize..*end as usize]).collect();
    assert_eq!(marked, ["東京"]);
}

async fn settled(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["open", "left", "done"] {
        let row = NewReservation::new(Role::Assistant).with_id(id(name));
        db.run(Reserve::new(thread_id("t"), row)).await.unwrap();
        thread.update_content(id(name), append("a needle"), UpdateMode::Partial).await.unwrap();
    }
    thread.update_content(id("left"), append("."), UpdateMode::Abandon { reason: None }).await.unwrap();
    thread.update_content(id("done"), append("."), UpdateMode::Final).await.unwrap();
    let last = add(&db, "t", "after", "x").await;
    assert_eq!(found(&db, "needle", last).await, ["done"]);
}

async fn gone(rig: Rig) {
    let db = rig.db().await;
    for (thread, name) in [("t", "edited"), ("t", "deleted"), ("t", "stays"), ("u", "cleared"), ("v", "dead")]
    {
        add(&db, thread, name, "a needle").await;
    }
    let last = add(&db, "t", "x", "x").await;
    assert_eq!(found(&db, "needle", last).await, ["cleared", "dead", "deleted", "edited", "stays"]);
    db.thread("t").edit(id("edited"), Content::text("a pin")).await.unwrap();
    db.thread("t").delete(id("deleted")).await.unwrap();
    db.thread("u").clear().await.unwrap();
    db.thread("v").delete_thread().await.unwrap();
    let last = add(&db, "u", "again", "another needle").await;
    assert_eq!(found(&db, "needle", last).await, ["again", "stays"]);
    assert_eq!(found(&db, "pin", last).await, ["edited"]);
}

async fn limit(rig: Rig) {
    let db = rig.db().await;
    for n in 0..5 {
        add(&db, "t", &format!("m{n}"), "a needle").await;
    }
    let last = add(&db, "t", "end", "a needle").await;
    for limit in [1, 5, 6, 1000] {
        let found = search(&db, SearchMessages::new("needle", limit), last).await;
        assert_eq!(found.hits.len(), (limit as usize).min(6));
    }
    for (query, limit) in [("needle", 0), ("needle", 1001), ("", 1), (" -* ", 1)] {
        refused(db.search(SearchMessages::new(query, limit)).await, ErrorKind::Invalid);
    }
}
