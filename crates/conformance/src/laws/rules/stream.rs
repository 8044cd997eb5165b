//! Text that is written in parts through a layer that changes text.

use throughline_core::{
    Delta, Effect, ErrorKind, PersistArgs, PersistError,
    messages::{ContentChange, UpdateContent, UpdateMode},
};

use crate::laws::{
    bench::Bench,
    law::laws,
    operations::t,
    probe::Reach,
    stream::{Carrier, End, Text, Written, buffered, holds, is_read, text_of, tool_block},
};

laws! {
    Transforms "laws.text_split_over_deltas_is_stored_as_one" "a text split at any byte over two deltas is stored like the whole text" => deltas;
    Transforms "laws.text_split_over_blocks_is_stored_as_one" "a text split at any byte across block boundaries is stored like the whole text" => blocks;
    Transforms "laws.text_split_over_snapshots_is_stored_as_one" "a text split at any byte over a snapshot and a delta or longer snapshot is stored like the whole" => snapshots;
    Transforms "laws.text_split_over_batches_is_stored_as_one" "a text split at any byte over one or two batches is stored like the whole text" => batches;
    Transforms "laws.end_of_a_text_is_stored" "the end of a text is stored, for every carrier and every end of the message" => end;
    Transforms "laws.edited_text_hides_the_hidden_text" "a text that an edit appends to at any byte is stored without the hidden text" => edit;
    Transforms "laws.refused_or_repeated_update_is_stored_once" "an update that is refused, replayed or repeated after a lost answer is stored once" => again;
    Transforms "laws.update_with_several_lost_answers_is_stored_once" "an update that is repeated with its key after several lost answers is stored once" => lost_again;
    Transforms "laws.applied_update_with_an_error_is_continued" "the next update continues the text of an update that failed with `Effect::Applied`" => applied;
    Transforms "laws.concurrent_messages_share_no_state" "messages that are written concurrently share no state across messages, threads and tenants" => apart;
    Transforms "laws.buffered_bytes_are_reported_and_bounded" "each answer reports the buffered bytes, and a layer buffers at most 64 KiB of ordinary words" => held;
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
    cut_at_every_byte(&bench, &texts, &[Carrier::Deltas, Carrier::RenewalBetween]).await;
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

/// The text ends with the beginning of the hidden text, which a layer can buffer until it knows the rest.
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

/// Text that was stored before an edit was ordinary: a layer that does not restore can leave the beginning of the hidden text.
async fn edit(bench: Bench) {
    let mut number = 0;
    for text in bench.texts().await {
        for cut in text.cuts(bench.is_one_layer()) {
            number += 1;
            let bench = bench.for_tenant(&format!("n{number}"));
            let (front, back) = text.given.split_at(cut);
            let case = || format!("{front:?} with {back:?} appended by an edit");
            let mut written = Written::new(&bench);
            let calls: [PersistArgs; 3] = [
                written.reserve(),
                written.update(ContentChange::Append(Delta::text(front)), UpdateMode::Final).into(),
                written.update(ContentChange::Append(Delta::text(back)), UpdateMode::Edit).into(),
            ];
            for call in calls {
                written.make(call, &text.hidden).await;
            }
            let seen = written.read().await;
            written.assert_revision(seen.revision);
            assert!(!holds(&seen.stored, &text.hidden), "{}: the text is in the store", case());
            if bench.profile.restores {
                let due = written.given.content();
                assert_eq!(
                    seen.shown.as_json(),
                    due.as_json(),
                    "{}: the shown and the expected content",
                    case()
                );
                continue;
            }
            let read = text_of(&seen.shown);
            for (part, at) in around(&text) {
                let is_there = if at == 0 { read.starts_with(part) } else { read.contains(part) };
                assert!(is_there, "{}: {part:?} is lost in {read:?}", case());
            }
        }
    }
}

/// The ordinary text before, between and behind what is hidden, and where it begins.
fn around(text: &Text) -> Vec<(&str, usize)> {
    let mut at = 0;
    let mut parts = Vec::new();
    for part in text.given.split(&text.hidden) {
        // A beginning of the hidden text at the end is ordinary text, but an edit can mistake it.
        let part = part.rsplit_once('"').map_or(part, |(before, _)| before);
        parts.push((part, at));
        at += part.len() + text.hidden.len();
    }
    parts
}

/// The fate of an update before it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The store refuses it, and says so.
    Refused,
    /// The caller does not learn whether the store has made it.
    Lost(Reach),
    /// The store makes it, and the error says so.
    Applied,
}

impl Failure {
    const LOST: [Self; 3] = [Self::Lost(Reach::Never), Self::Lost(Reach::AtOnce), Self::Lost(Reach::Late)];

    /// The error, which no layer repeats the call after.
    fn error(self, bench: &Bench) -> PersistError {
        let (kind, effect) = match self {
            Self::Refused => (ErrorKind::Denied, Effect::NotApplied),
            Self::Applied => (ErrorKind::Internal, Effect::Applied),
            Self::Lost(_) if bench.profile.repeats => (ErrorKind::Internal, Effect::Unknown),
            Self::Lost(_) => (ErrorKind::Unavailable, Effect::Unknown),
        };
        PersistError::new(kind, "from inside").with_effect(effect)
    }

    fn reach(self) -> Reach {
        match self {
            Self::Refused => Reach::Never,
            Self::Applied => Reach::AtOnce,
            Self::Lost(reach) => reach,
        }
    }

    /// Makes the call fail so, whatever the layer reads before it.
    async fn happen(self, bench: &Bench, call: &UpdateContent, key: Option<&str>) {
        let failure = self.error(bench);
        bench.inside.fail_unless(is_read, failure.clone(), self.reach());
        let error = bench.call(call.clone().into(), key).await.expect_err("it fails inside");
        assert_eq!((error.kind(), error.effect()), (failure.kind(), failure.effect()), "{error}");
        bench.inside.behave();
    }
}

async fn again(bench: Bench) {
    let mut number = 0;
    for text in bench.texts().await {
        for cut in text.cuts(bench.is_one_layer()) {
            number += 1;
            repeated(&bench.for_tenant(&format!("n{number}")), &text, cut, Failure::Refused).await;
        }
        for cut in text.cuts(false) {
            for failure in Failure::LOST {
                number += 1;
                repeated(&bench.for_tenant(&format!("n{number}")), &text, cut, failure).await;
                on_a_revision(&bench.for_tenant(&format!("r{number}")), &text, cut, failure).await;
            }
        }
    }
}

/// The updates that write a text in two parts and end the message.
fn in_two(written: &mut Written<'_>, text: &Text, cut: usize) -> [UpdateContent; 3] {
    let (front, back) = text.given.split_at(cut);
    [
        written.update(ContentChange::Append(Delta::text(front)), UpdateMode::Partial),
        written.update(ContentChange::Append(Delta::text(back)), UpdateMode::Partial),
        written.update(ContentChange::none(), UpdateMode::Final),
    ]
}

/// Each update fails, is repeated with its key, and is repeated again.
async fn repeated(bench: &Bench, text: &Text, cut: usize, failure: Failure) {
    let case = || format!("{:?} cut at {cut}, each part {failure:?}, repeated with its key", text.given);
    let mut written = Written::new(bench);
    let calls = in_two(&mut written, text, cut);
    bench.call(written.reserve(), None).await.unwrap_or_else(|error| panic!("{}: {error}", case()));
    for (number, call) in calls.into_iter().enumerate() {
        let key = format!("k{number}");
        failure.happen(bench, &call, Some(&key)).await;
        // A late write may be refused, where the layer has named a revision: then the repeated one is made.
        let was_made = match failure {
            Failure::Refused | Failure::Lost(Reach::Never) => Some(false),
            Failure::Lost(Reach::AtOnce) | Failure::Applied => Some(true),
            Failure::Lost(Reach::Late) => None,
        };
        for replayed in [was_made, Some(true)] {
            let answer = bench.call(call.clone().into(), Some(&key)).await;
            let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", case()));
            let is_replay = answer.result.is_deduplicated();
            assert!(replayed.is_none_or(|due| due == is_replay), "{}: a replay is {is_replay}", case());
        }
        written.assert_not_passed_on(&text.hidden, &bench.inside.visits());
    }
    assert_stored_once(&written, text, &case()).await;
}

/// The fates of an update and of its repetitions before one is answered.
const LOST_AGAIN: [&[Failure]; 9] = {
    const NEVER: Failure = Failure::Lost(Reach::Never);
    const AT_ONCE: Failure = Failure::Lost(Reach::AtOnce);
    const LATE: Failure = Failure::Lost(Reach::Late);
    [
        &[AT_ONCE, AT_ONCE],
        &[AT_ONCE, NEVER],
        &[NEVER, AT_ONCE],
        &[NEVER, NEVER],
        &[LATE, AT_ONCE],
        &[AT_ONCE, AT_ONCE, AT_ONCE],
        &[AT_ONCE, Failure::Refused, AT_ONCE],
        &[AT_ONCE, AT_ONCE, Failure::Refused],
        &[Failure::Refused, AT_ONCE, NEVER],
    ]
};

async fn lost_again(bench: Bench) {
    let mut number = 0;
    for text in bench.texts().await {
        for failures in LOST_AGAIN {
            for lost in one_or_each(&bench, &text) {
                number += 1;
                let bench = bench.for_tenant(&format!("n{number}"));
                let case = || format!("{:?} in parts, of which {lost:?} is lost: {failures:?}", text.given);
                let mut written = Written::new(&bench);
                written.make(written.reserve(), &text.hidden).await;
                for (part, call) in in_parts(&mut written, &text).into_iter().enumerate() {
                    let key = format!("k{part}");
                    if lost.is_none_or(|lost| lost == part) {
                        for failure in failures {
                            failure.happen(&bench, &call, Some(&key)).await;
                        }
                    }
                    let answer = bench.call(call.into(), Some(&key)).await;
                    answer.unwrap_or_else(|error| panic!("{}: {error}", case()));
                    written.assert_not_passed_on(&text.hidden, &bench.inside.visits());
                }
                assert_stored_once(&written, &text, &case()).await;
            }
        }
    }
}

/// The updates that write a text in parts, most of them cut inside of what is hidden, and end the message.
fn in_parts(written: &mut Written<'_>, text: &Text) -> Vec<UpdateContent> {
    let parts = text.parts(false).into_iter();
    let mut calls: Vec<UpdateContent> = parts
        .map(|part| written.update(ContentChange::Append(Delta::text(part)), UpdateMode::Partial))
        .collect();
    calls.push(written.update(ContentChange::none(), UpdateMode::Final));
    calls
}

/// Which of the updates of [`in_parts`] fails: one alone, or, where there is no number, each. For a stack of several layers it is each.
fn one_or_each(bench: &Bench, text: &Text) -> impl Iterator<Item = Option<usize>> {
    let updates = if bench.is_one_layer() { text.parts(false).len() + 1 } else { 0 };
    (0..updates).map(Some).chain([None])
}

async fn applied(bench: Bench) {
    let mut number = 0;
    for text in bench.texts().await {
        for keyed in [false, true] {
            for failed in one_or_each(&bench, &text) {
                number += 1;
                let bench = bench.for_tenant(&format!("n{number}"));
                let case = || format!("{:?} in parts, of which {failed:?} is made and fails", text.given);
                let mut written = Written::new(&bench);
                written.make(written.reserve(), &text.hidden).await;
                for (part, call) in in_parts(&mut written, &text).into_iter().enumerate() {
                    let key = keyed.then(|| format!("k{part}"));
                    if failed.is_none_or(|failed| failed == part) {
                        Failure::Applied.happen(&bench, &call, key.as_deref()).await;
                    } else {
                        let answer = bench.call(call.into(), key.as_deref()).await;
                        answer.unwrap_or_else(|error| panic!("{}: {error}", case()));
                    }
                    written.assert_not_passed_on(&text.hidden, &bench.inside.visits());
                }
                assert_stored_once(&written, &text, &case()).await;
            }
        }
    }
}

/// Each update names the revision that it is made on, is lost, and is repeated without a key: if it was made, the repeated one is
/// stale, or has nothing to add.
async fn on_a_revision(bench: &Bench, text: &Text, cut: usize, failure: Failure) {
    let case = || format!("{:?} cut at {cut}, each part {failure:?}, repeated on its revision", text.given);
    let mut written = Written::new(bench);
    let calls = in_two(&mut written, text, cut);
    bench.call(written.reserve(), None).await.unwrap_or_else(|error| panic!("{}: {error}", case()));
    for call in calls {
        let call = call.expecting(written.read().await.revision);
        failure.happen(bench, &call, None).await;
        match bench.call(call.into(), None).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Stale, "{}: {error}", case()),
        }
        written.assert_not_passed_on(&text.hidden, &bench.inside.visits());
    }
    assert_stored_once(&written, text, &case()).await;
}

/// An ended message holds its text, once.
async fn assert_stored_once(written: &Written<'_>, text: &Text, case: &str) {
    let seen = written.read().await;
    assert!(!holds(&seen.stored, &text.hidden), "{case}: the text is in the store");
    let due = text.shown_in(&written.given.content());
    assert_eq!(seen.shown.as_json(), due.as_json(), "{case}: the shown and the expected content");
}

/// A part of each message in turn.
async fn apart(bench: Bench) {
    for (number, text) in bench.texts().await.into_iter().enumerate() {
        let here = bench.for_tenant(&format!("here{number}"));
        let there = bench.for_tenant(&format!("there{number}"));
        let in_u = "u".parse().expect("a valid id");
        let mut streams = [
            (Written::at(&here, t(), "m"), text.behind("one ")),
            (Written::at(&here, t(), "n"), text.behind("the next ")),
            (Written::at(&here, in_u, "m"), text.behind("in another thread ")),
            (Written::at(&there, t(), "m"), text.behind("of another tenant ")),
        ];
        for (written, text) in &streams {
            written.make(written.reserve(), &text.hidden).await;
        }
        let every = bench.is_one_layer();
        let turns = streams.iter().map(|(_, text)| text.parts(every).len()).max().unwrap_or_default();
        for turn in 0..turns {
            for (written, text) in &mut streams {
                let Some(part) = text.parts(every).get(turn).copied() else { continue };
                let call = written.update(ContentChange::Append(Delta::text(part)), UpdateMode::Partial);
                written.make(call, &text.hidden).await;
                let seen = written.read().await;
                assert!(!holds(&seen.stored, &text.hidden), "{part:?}: the text is in the store");
                let (read, due) = (text_of(&seen.shown), text.shown_whole());
                assert!(due.starts_with(&read), "{read:?} is read, and {due:?} is being written");
            }
        }
        for (written, text) in &mut streams {
            let call = written.update(ContentChange::none(), UpdateMode::Final);
            written.make(call, &text.hidden).await;
        }
        for (written, text) in &streams {
            assert_stored_once(written, text, "written with others").await;
            written.assert_revision(written.read().await.revision);
        }
    }
}

/// The most bytes of ordinary words that a layer can buffer.
const MOST_BUFFERED: usize = 64 << 10;

async fn held(bench: Bench) {
    for (number, text) in bench.texts().await.into_iter().enumerate() {
        let bench = bench.for_tenant(&format!("n{number}"));
        let mut written = Written::new(&bench);
        written.make(written.reserve(), &text.hidden).await;
        let mut given = String::new();
        for letter in text.given.chars() {
            given.push(letter);
            let call = written.update(ContentChange::Append(Delta::text(letter)), UpdateMode::Partial);
            let answer = written.make(call, &text.hidden).await;
            let seen = written.read().await;
            let read = text_of(&seen.shown);
            let Some(missing) = missing(&text, &given, &read) else {
                let due = text.shown_whole();
                assert!(due.starts_with(&read), "{read:?} is read, and {due:?} is being written");
                continue;
            };
            for (case, said) in [("an append", buffered(&answer)), ("a read", seen.held)] {
                assert!(
                    said >= missing,
                    "{missing} bytes of {given:?} are not in the store, and the answer to {case} says {said}"
                );
            }
        }
        // Buffered text does not delay a block, and the block flushes the buffer.
        let call = written.update(ContentChange::Append(Delta::Blocks(tool_block())), UpdateMode::Partial);
        let answer = written.make(call, &text.hidden).await;
        assert_eq!((buffered(&answer), written.read().await.held), (0, 0), "{given:?} behind a block");
    }
    if bench.is_one_layer() {
        long(bench.for_tenant("long")).await;
    }
}

/// A layer can buffer only a possible beginning of the hidden text: a text without it is stored as it is written.
async fn long(bench: Bench) {
    let mut written = Written::new(&bench);
    let reserve = written.reserve();
    bench.call(reserve, None).await.unwrap_or_else(|error| panic!("a reservation: {error}"));
    let words = "ordinary words, line after line\n".repeat(128);
    let mut given = 0;
    while given < 2 * MOST_BUFFERED {
        given += words.len();
        let call = written.update(ContentChange::Append(Delta::text(&*words)), UpdateMode::Partial);
        let answer = bench.call(call.into(), None).await;
        let said = buffered(&answer.unwrap_or_else(|error| panic!("{given} bytes: {error}")));
        assert!(said <= MOST_BUFFERED, "{said} of {given} bytes of words are buffered");
    }
    let read = text_of(&written.read().await.shown);
    assert!(read.len() + MOST_BUFFERED >= given, "{} of {given} bytes of words are read", read.len());
}

/// The number of bytes of the given text that a reader does not see. `None` if the reader sees a part of the replacement of
/// the hidden text: the length of the text that it stands for is unknown.
fn missing(text: &Text, given: &str, read: &str) -> Option<usize> {
    let mut ends = (0..=given.len()).rev().filter(|end| given.is_char_boundary(*end));
    let seen = |end: &usize| given[..*end].replace(&text.hidden, &text.shown) == read;
    ends.find(seen).map(|end| given.len() - end)
}
