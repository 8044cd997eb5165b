//! The laws about search terms and snippets.

use throughline_core::{
    NewMessage, PersistResult, ReadResult,
    backend::search::{Query, Tokenizer},
    messages::{Add, FindMessages},
    search::{SearchHit, SearchHits, SearchMessages},
};

use crate::{
    laws::{bench::Bench, law::laws, operations::t, stream::Text},
    shorthand::id,
};

laws! {
    Transforms "laws.hidden_text_passes_in_no_search" "the hidden text passes the layer in no search" => query;
    Transforms "laws.hidden_text_passes_in_no_find" "the hidden text passes the layer in no find by metadata" => criterion;
    Searched "laws.search_terms_are_marked_in_the_snippet" "the matched terms of a search are marked correctly in the snippet of the caller" => marks;
}

/// A search is one of the reads: the text is not to be found in what the store was asked.
async fn query(bench: Bench) {
    for hidden in bench.profile.hides.clone() {
        for asked in [hidden.clone(), format!("before {hidden}"), format!("{hidden}*")] {
            // An answer, or a refusal of the layer's own: both keep the text from the store.
            drop(bench.call(SearchMessages::new(&asked, 10).into(), None).await);
            for visit in bench.inside.visits() {
                let json = serde_json::to_string(&visit.args).expect("it serializes");
                assert!(!json.contains(&hidden), "a search for {asked:?}: the text passed");
            }
        }
    }
}

/// So does a find by a metadata field.
async fn criterion(bench: Bench) {
    for hidden in bench.profile.hides.clone() {
        let find = FindMessages::new("memo", hidden.as_str(), 10);
        for asked in [find.clone(), find.in_thread(t())] {
            drop(bench.call(asked.into(), None).await);
            for visit in bench.inside.visits() {
                let json = serde_json::to_string(&visit.args).expect("it serializes");
                assert!(!json.contains(&hidden), "a find by {hidden:?}: the text passed");
            }
        }
    }
}

async fn marks(bench: Bench) {
    for (number, text) in bench.texts().await.into_iter().enumerate() {
        let bench = bench.for_tenant(&format!("n{number}"));
        let Text { hidden, shown, .. } = text;
        // Words before and behind the hidden text: their offsets differ by the difference between the hidden and the stored text.
        let given = format!("early é {hidden} late {hidden} 🦀 late");
        let add = Add::new(t(), NewMessage::user(&given).with_id(id("m")));
        bench.call(add.into(), None).await.unwrap_or_else(|error| panic!("an addition: {error}"));
        let due = given.replace(&hidden, &shown);
        for asked in ["early", "late", "LA* early"] {
            let hit = only_hit(&bench, asked).await;
            let (snippet, marks) =
                Query::parse(asked, Tokenizer::default()).expect("a word at least").snippet(&due);
            // The store shortens a snippet at an offset that depends on the stored text.
            if !hit.snippet.contains('…') && !snippet.contains('…') {
                assert_eq!(hit.snippet, snippet, "a search for {asked:?}: the snippet");
                assert_eq!(hit.marks, marks, "a search for {asked:?} marks {:?}", marked(&hit));
            }
            assert!(
                !hit.marks.is_empty() && marked(&hit).iter().all(|word| ["early", "late"].contains(word)),
                "a search for {asked:?} marks {:?} in {:?}",
                marked(&hit),
                hit.snippet
            );
        }
        if bench.profile.restores {
            let hit = only_hit(&bench, &hidden).await;
            let marked = marked(&hit);
            assert!(
                !marked.is_empty() && marked.iter().all(|words| hidden.contains(words)),
                "a search for {hidden:?} marks {marked:?} in {:?}",
                hit.snippet
            );
        }
    }
}

/// The marked words of a snippet; `?` if a mark splits a character or is out of range.
fn marked(hit: &SearchHit) -> Vec<&str> {
    let word = |(from, to): &(u32, u32)| hit.snippet.get(*from as usize..*to as usize).unwrap_or("?");
    hit.marks.iter().map(word).collect()
}

async fn only_hit(bench: &Bench, asked: &str) -> SearchHit {
    match bench.call(SearchMessages::new(asked, 10).into(), None).await {
        Ok(answer) => {
            let PersistResult::Read(ReadResult::Search(SearchHits { mut hits, .. })) = answer.result else {
                unreachable!("an answer to a search")
            };
            assert_eq!(hits.len(), 1, "a search for {asked:?} finds the one message that has it");
            hits.remove(0)
        }
        Err(error) => panic!("a search for {asked:?}: {error}"),
    }
}
