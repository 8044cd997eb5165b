//! Text that is written in parts through a layer that changes text.

use throughline_core::{ContentChange, Delta, Effect, ErrorKind, PersistArgs, PersistError, UpdateMode};

use crate::laws::{
    bench::Bench,
    law::laws,
    stream::{Carrier, End, Text, Written, held_back, holds, is_read, text_of, tool_block},
};

laws! {
    Transforms "law.stream-deltas" "a text in two deltas, cut at every byte, is stored as the whole text would be" => deltas;
    Transforms "law.stream-blocks" "a text that continues a block, and one that a block follows, are stored as given in one piece, cut at every byte" => blocks;
    Transforms "law.stream-snapshots" "a snapshot that a delta or a longer snapshot follows is stored as given in one piece, cut at every byte" => snapshots;
    Transforms "law.stream-batches" "a text whose parts are in one batch or in two is stored as given in one piece, cut at every byte" => batches;
    Transforms "law.stream-end" "the end of a text is stored, whatever carries it and however the message ends" => end;
    Transforms "law.stream-edit" "a text that an edit appends to is stored without what is hidden, cut at every byte" => edit;
    Transforms "law.stream-again" "an update that fails or is replayed changes nothing of what the layer holds back" => again;
    Transforms "law.held-back" "each answer says how many bytes of the text are not in the store yet" => held;
}

/// Every cut of every text, by these carriers, in the ways that a cut text ends.
async fn cut_at_every_byte(bench: &Bench, texts: &[Text], carriers: &[Carrier]) {
    let mut number = 0;
    for text in texts {
        for cut in text.cuts(bench.is_one_layer()) {
            for carrier in carriers {
                for end in [End::Final, End::FinalWithRest, End::AbandonWithRest] {
                    number += 1;
                    bench.for_tenant(&format!("n{number}")).write(*carrier, end, text, cut).await;
                }
            }
        }
    }
}

async fn deltas(bench: Bench) {
    let texts = bench.texts().await;
    cut_at_every_byte(&bench, &texts, &[Carrier::Deltas]).await;
    for (number, text) in texts.iter().enumerate() {
        let whole = text.given.len();
        bench.for_tenant(&format!("letters{number}")).write(Carrier::Letters, End::Final, text, whole).await;
    }
}

async fn blocks(bench: Bench) {
    cut_at_every_byte(&bench, &bench.texts().await, &[Carrier::BlockThenText, Carrier::BlockBetween]).await;
}

async fn snapshots(bench: Bench) {
    cut_at_every_byte(&bench, &bench.texts().await, &[Carrier::SnapshotThenText, Carrier::Snapshots]).await;
}

async fn batches(bench: Bench) {
    cut_at_every_byte(&bench, &bench.texts().await, &[Carrier::OneBatch, Carrier::Batches]).await;
}

/// The text ends in the beginning of what is hidden, which a layer may hold back until it knows.
async fn end(bench: Bench) {
    let carriers = [
        Carrier::Deltas,
        Carrier::BlockThenText,
        Carrier::BlockBetween,
        Carrier::SnapshotThenText,
        Carrier::Snapshots,
        Carrier::OneBatch,
        Carrier::Batches,
    ];
    let mut number = 0;
    for text in bench.texts().await {
        let half: String = text.hidden.chars().take(text.hidden.chars().count() / 2).collect();
        let begun = Text { given: format!("before é \"{half}"), ..text };
        // Before the last character, and behind it: nothing of it is left for the second part.
        let last = begun.given.char_indices().last().map_or(0, |(at, _)| at);
        for carrier in carriers {
            for end in End::ALL {
                for cut in [last, begun.given.len()] {
                    number += 1;
                    bench.for_tenant(&format!("n{number}")).write(carrier, end, &begun, cut).await;
                }
            }
        }
    }
}

/// What was stored before an edit was ordinary text then: a layer that does not restore may leave the beginning of what is hidden.
async fn edit(bench: Bench) {
    let mut number = 0;
    for text in bench.texts().await {
        for cut in text.cuts(bench.is_one_layer()) {
            number += 1;
            let bench = bench.for_tenant(&format!("n{number}"));
            let (front, back) = text.given.split_at(cut);
            let what = || format!("{front:?} with {back:?} appended by an edit");
            let mut written = Written::new(&bench);
            let calls = [
                written.reserve(),
                written.update(ContentChange::Append(Delta::text(front)), UpdateMode::Final),
                written.update(ContentChange::Append(Delta::text(back)), UpdateMode::Edit),
            ];
            for call in calls {
                bench.call(call, None).await.unwrap_or_else(|error| panic!("{}: {error}", what()));
            }
            let seen = written.read().await;
            assert!(!holds(&seen.stored, &text.hidden), "{}: the text is in the store", what());
            if bench.profile.restores {
                let due = written.given.content();
                assert_eq!(seen.shown.as_json(), due.as_json(), "{}: what is read, and what is due", what());
                continue;
            }
            let read = text_of(&seen.shown);
            for (part, at) in around(&text) {
                let is_there = if at == 0 { read.starts_with(part) } else { read.contains(part) };
                assert!(is_there, "{}: {part:?} is lost in {read:?}", what());
            }
        }
    }
}

/// The ordinary text before, between and behind what is hidden, and where it begins.
fn around(text: &Text) -> Vec<(&str, usize)> {
    let mut at = 0;
    let mut parts = Vec::new();
    for part in text.given.split(&text.hidden) {
        // What begins like it at the end of the text is ordinary, and may be taken for it by an edit.
        let part = part.rsplit_once('"').map_or(part, |(before, _)| before);
        parts.push((part, at));
        at += part.len() + text.hidden.len();
    }
    parts
}

async fn again(bench: Bench) {
    let mut number = 0;
    for text in bench.texts().await {
        for cut in text.cuts(bench.is_one_layer()) {
            number += 1;
            let bench = bench.for_tenant(&format!("n{number}"));
            let (front, back) = text.given.split_at(cut);
            let what = || format!("{front:?} and {back:?}, each refused, made and replayed");
            let mut written = Written::new(&bench);
            bench.call(written.reserve(), None).await.unwrap_or_else(|error| panic!("{}: {error}", what()));
            let calls = [
                written.update(ContentChange::Append(Delta::text(front)), UpdateMode::Partial),
                written.update(ContentChange::Append(Delta::text(back)), UpdateMode::Partial),
                written.update(ContentChange::none(), UpdateMode::Final),
            ];
            for (number, call) in calls.into_iter().enumerate() {
                let key = format!("k{number}");
                refuse(&bench, &call, &key).await;
                for replayed in [false, true] {
                    let answer = bench.call(call.clone(), Some(&key)).await;
                    let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", what()));
                    assert_eq!(answer.result.is_deduplicated(), replayed, "{}", what());
                }
            }
            let seen = written.read().await;
            assert!(!holds(&seen.stored, &text.hidden), "{}: the text is in the store", what());
            let due = text.shown_in(&written.given.content());
            assert_eq!(seen.shown.as_json(), due.as_json(), "{}: what is read, and what is due", what());
        }
    }
}

/// Has the store refuse the call, whatever the layer reads before it.
async fn refuse(bench: &Bench, call: &PersistArgs, key: &str) {
    // A refusal that no layer repeats.
    let refusal = || PersistError::new(ErrorKind::Denied, "from inside").with_effect(Effect::NotApplied);
    bench.inside.fail_unless(is_read, refusal());
    let error = bench.call(call.clone(), Some(key)).await.expect_err("the store refuses it");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    bench.inside.behave();
}

async fn held(bench: Bench) {
    for (number, text) in bench.texts().await.into_iter().enumerate() {
        let bench = bench.for_tenant(&format!("n{number}"));
        let mut written = Written::new(&bench);
        bench.call(written.reserve(), None).await.unwrap_or_else(|error| panic!("a reservation: {error}"));
        let mut given = String::new();
        for letter in text.given.chars() {
            given.push(letter);
            let delta = ContentChange::Append(Delta::text(letter));
            let call = written.update(delta, UpdateMode::Partial);
            let answer = bench.call(call, None).await.unwrap_or_else(|error| panic!("{given:?}: {error}"));
            let seen = written.read().await;
            let Some(missing) = missing(&text, &given, &text_of(&seen.shown)) else { continue };
            for (what, said) in [("an append", held_back(&answer)), ("a read", seen.held)] {
                assert!(
                    said >= missing,
                    "{missing} bytes of {given:?} are not in the store, and the answer to {what} says {said}"
                );
            }
        }
        // What a layer holds back is in the way of no block, and is not held any more.
        let call = written.update(ContentChange::Append(Delta::Blocks(tool_block())), UpdateMode::Partial);
        let answer = bench.call(call, None).await.unwrap_or_else(|error| panic!("{given:?}: {error}"));
        assert_eq!((held_back(&answer), written.read().await.held), (0, 0), "behind a block");
    }
}

/// How many bytes of what was given a reader does not see. None where the reader sees a part of what stands in the place of
/// what is hidden: how much of the text that is cannot be known.
fn missing(text: &Text, given: &str, read: &str) -> Option<usize> {
    let mut ends = (0..=given.len()).rev().filter(|end| given.is_char_boundary(*end));
    let seen = |end: &usize| given[..*end].replace(&text.hidden, &text.shown) == read;
    ends.find(seen).map(|end| given.len() - end)
}
