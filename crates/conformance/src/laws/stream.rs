//! Messages that are written in parts: every form of the parts, and every end of the message.

use throughline_core::{
    Content, Delta, MessageId, NewReservation, OpKind, PersistArgs, PersistResponse, PersistResult,
    ReadResult, Revision, Role, ThreadId,
    messages::{
        Batch, ContentBuffer, ContentChange, ContentCursor, GetMessage, ReadContent, Reserve, UpdateContent,
        UpdateMode,
    },
    pipeline::BufferedBytes,
};

use super::{bench::Bench, operations::t, probe::Visit};
use crate::shorthand::id;

/// The form in which the two parts of a text reach the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Each part is a text delta.
    Deltas,
    /// Each character is a text delta.
    Letters,
    /// Each part is a text delta, and an update without text is between both.
    RenewalBetween,
    /// The first part is a text block, and a text delta continues it.
    BlockThenText,
    /// A block without text is between both.
    BlockBetween,
    /// The first part is a snapshot, and a text delta continues it.
    SnapshotThenText,
    /// Each part makes the snapshot longer.
    Snapshots,
    /// One batch reserves, appends both parts and ends the message.
    OneBatch,
    /// Each part is a batch of its own.
    Batches,
}

/// The end of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Both parts are partial updates; an empty final update follows.
    Final,
    /// The second part is the final update.
    FinalWithRest,
    /// Both parts are partial updates; the message is abandoned without further content.
    Abandon,
    /// The update that abandons the message carries the second part.
    AbandonWithRest,
    /// The final update appends a block.
    FinalWithBlocks,
    /// The final update replaces the content with a longer text.
    FinalWithSnapshot,
}

impl End {
    pub(super) const ALL: [Self; 6] = [
        Self::Final,
        Self::FinalWithRest,
        Self::Abandon,
        Self::AbandonWithRest,
        Self::FinalWithBlocks,
        Self::FinalWithSnapshot,
    ];

    fn brings_the_rest(self) -> bool {
        matches!(self, Self::FinalWithRest | Self::AbandonWithRest)
    }

    fn mode(self) -> UpdateMode {
        match self {
            Self::Abandon | Self::AbandonWithRest => {
                UpdateMode::Abandon { reason: Some("stopped".to_owned()) }
            }
            Self::Final | Self::FinalWithRest | Self::FinalWithBlocks | Self::FinalWithSnapshot => {
                UpdateMode::Final
            }
        }
    }
}

/// A text that contains a hidden text.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) given: String,
    /// The text that the layer hides.
    pub(super) hidden: String,
    /// The text that a reader sees instead.
    pub(super) shown: String,
}

impl Text {
    /// The offsets at which the text can be split: every character boundary. `every` is false for a stack of
    /// several layers that were each checked alone before: then there are eight offsets.
    pub(super) fn cuts(&self, every: bool) -> Vec<usize> {
        let all: Vec<usize> = (0..=self.given.len()).filter(|at| self.given.is_char_boundary(*at)).collect();
        if every {
            return all;
        }
        let (first, len) = (self.given.find(&self.hidden).unwrap_or(0), self.hidden.len());
        // Most offsets are inside of the hidden text.
        let within = [0, 1, len / 4, len / 2, len * 3 / 4, len.saturating_sub(1), len].map(|at| first + at);
        all.into_iter().filter(|at| within.contains(at) || *at == self.given.len()).collect()
    }

    /// The same text after another one.
    pub(super) fn behind(&self, before: &str) -> Self {
        Self { given: format!("{before}{}", self.given), ..self.clone() }
    }

    /// The parts between the splits: each character by itself, or eight parts for a stack of several layers.
    pub(super) fn parts(&self, every: bool) -> Vec<&str> {
        let mut begins = 0;
        let mut parts = Vec::new();
        for cut in self.cuts(every) {
            parts.extend(Some(&self.given[begins..cut]).filter(|part| !part.is_empty()));
            begins = cut;
        }
        parts
    }

    /// The whole text as a reader sees it.
    pub(super) fn shown_whole(&self) -> String {
        self.given.replace(&self.hidden, &self.shown)
    }

    /// `content` as a reader sees it.
    pub(super) fn shown_in(&self, content: &Content) -> Content {
        let json = content.as_json().replace(&escaped(&self.hidden), &escaped(&self.shown));
        Content::from_json(json).expect("a replacement in a text leaves an array")
    }
}

/// A text as a JSON string literal without its quotes.
fn escaped(text: &str) -> String {
    let json = serde_json::to_string(text).expect("a string serializes");
    json[1..json.len() - 1].to_owned()
}

/// A block without a text that a delta could continue.
pub(super) fn tool_block() -> Content {
    Content::from_json(r#"[{"type":"image","source":"x"}]"#).expect("an array")
}

/// One update of the message, or a batch of several.
type Step = Vec<(ContentChange, UpdateMode)>;

fn text_delta(text: &str) -> ContentChange {
    ContentChange::Append(Delta::text(text))
}

fn blocks(content: Content) -> ContentChange {
    ContentChange::Append(Delta::Blocks(content))
}

fn snapshot(text: &str) -> ContentChange {
    ContentChange::Replace(Content::text(text))
}

/// The updates that write `front` and `back`, and end the message.
fn script(carrier: Carrier, end: End, front: &str, back: &str) -> Vec<Step> {
    let whole = || format!("{front}{back}");
    let first: Vec<ContentChange> = match carrier {
        Carrier::Deltas | Carrier::OneBatch | Carrier::Batches => vec![text_delta(front)],
        Carrier::RenewalBetween => vec![text_delta(front), ContentChange::none()],
        Carrier::Letters => front.chars().map(|letter| text_delta(letter.encode_utf8(&mut [0; 4]))).collect(),
        Carrier::BlockThenText => vec![blocks(Content::text(front))],
        Carrier::BlockBetween => vec![text_delta(front), blocks(tool_block())],
        Carrier::SnapshotThenText | Carrier::Snapshots => vec![snapshot(front)],
    };
    let second: Vec<ContentChange> = match carrier {
        Carrier::Snapshots => vec![snapshot(&whole())],
        Carrier::Letters if !end.brings_the_rest() => {
            back.chars().map(|letter| text_delta(letter.encode_utf8(&mut [0; 4]))).collect()
        }
        _ => vec![text_delta(back)],
    };
    let last = match end {
        End::Final | End::Abandon => Some(ContentChange::none()),
        End::FinalWithRest | End::AbandonWithRest => None,
        End::FinalWithBlocks => Some(blocks(tool_block())),
        End::FinalWithSnapshot => Some(snapshot(&format!("{} and more", whole()))),
    };
    let mut updates: Vec<(ContentChange, UpdateMode)> =
        first.into_iter().chain(second).chain(last).map(|change| (change, UpdateMode::Partial)).collect();
    updates.last_mut().expect("there is one").1 = end.mode();
    match carrier {
        Carrier::OneBatch => vec![updates],
        _ => updates.into_iter().map(|update| vec![update]).collect(),
    }
}

/// A message that a law writes through the layer.
pub(super) struct Written<'a> {
    bench: &'a Bench,
    thread: ThreadId,
    id: MessageId,
    /// The given content, before the layer changes it.
    pub(super) given: ContentBuffer,
    updates: u64,
    /// The number of updates that raise the revision if each is forwarded unchanged.
    raises: u64,
}

impl<'a> Written<'a> {
    /// The message `m` of the thread `t`.
    pub(super) fn new(bench: &'a Bench) -> Self {
        Self::at(bench, t(), "m")
    }

    pub(super) fn at(bench: &'a Bench, thread: ThreadId, name: &str) -> Self {
        Self { bench, thread, id: id(name), given: ContentBuffer::default(), updates: 0, raises: 0 }
    }

    pub(super) fn reserve(&self) -> PersistArgs {
        let reservation = NewReservation::new(Role::Assistant).with_id(self.id.clone());
        Reserve::new(self.thread.clone(), reservation).into()
    }

    /// Builds an update of the message, and adds its content to the given content.
    pub(super) fn update(&mut self, change: ContentChange, mode: UpdateMode) -> UpdateContent {
        match &change {
            ContentChange::Append(delta) => self.given.push(delta),
            ContentChange::Replace(content) => self.given = ContentBuffer::new(content),
        }
        self.updates += 1;
        self.raises += u64::from(!change.is_none() || mode != UpdateMode::Partial);
        UpdateContent::new(self.thread.clone(), self.id.clone(), change, mode)
    }

    /// Makes a call that changes the message, and asserts that one write is forwarded, without `hidden`.
    pub(super) async fn make(&self, call: impl Into<PersistArgs>, hidden: &str) -> PersistResponse {
        let _before = self.bench.inside.visits();
        let call = call.into();
        let kind = call.kind();
        let answer = self.bench.call(call, None).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", self.so_far()));
        let visits = self.bench.inside.visits();
        self.assert_not_passed_on(hidden, &visits);
        let writes: Vec<OpKind> =
            visits.iter().filter(|visit| !is_read(&visit.args)).map(|visit| visit.args.kind()).collect();
        assert_eq!(writes, [kind], "{}: the writes that one write is passed on as", self.so_far());
        answer
    }

    /// Asserts that no forwarded call contains `hidden`, neither as content of the message nor anywhere else.
    pub(super) fn assert_not_passed_on(&self, hidden: &str, visits: &[Visit]) {
        for Visit { args, .. } in visits {
            let json = serde_json::to_value(args).expect("a call serializes");
            let kind = args.kind();
            assert!(!is_in(&json, hidden), "{}: the text is in `{kind}`, which is passed on", self.so_far());
        }
    }

    fn so_far(&self) -> String {
        format!("`{}` of `{}`, given {:?} so far", self.id, self.thread, text_of(&self.given.content()))
    }

    /// Reads the shown and the stored content, and the number of buffered bytes that the answer reports.
    pub(super) async fn read(&self) -> Seen {
        let _before = self.bench.inside.visits();
        let get = GetMessage { thread: self.thread.clone(), id: self.id.clone() };
        let answer =
            self.bench.call(get.into(), None).await.unwrap_or_else(|error| panic!("a read: {error}"));
        let held = buffered(&answer);
        let PersistResult::Read(ReadResult::Get(Some(message))) = answer.result else {
            panic!("the message is not there")
        };
        // Several reads if the layer repeats a read; the last one shows the store.
        let stored = self.bench.inside.visits().into_iter().filter_map(|visit| match visit.answer {
            Some(Ok((PersistResult::Read(ReadResult::Get(Some(stored))), _))) => Some(stored.content),
            _ => None,
        });
        let stored = stored.last().expect("the read was passed on");
        Seen { shown: message.content, revision: message.revision, stored, held }
    }

    /// Asserts that the message has the revision that its updates lead to. A layer that buffers text can forward text as an update without text,
    /// which raises no revision, and an update without text as one with the buffered text.
    pub(super) fn assert_revision(&self, revision: Revision) {
        let after = |updates| Revision::new(Revision::FIRST.get() + updates);
        if self.bench.profile.buffers {
            let most = after(self.updates);
            assert!(
                revision <= most,
                "{}: it is at revision {revision}, and at most {most} is due",
                self.so_far()
            );
        } else {
            let due = after(self.raises);
            assert_eq!(revision, due, "{}: the revision, and the one that is due", self.so_far());
        }
    }
}

/// A reader that assembles a message from tail reads.
#[derive(Debug, Default)]
struct TailReader {
    content: ContentBuffer,
    cursor: Option<ContentCursor>,
}

impl TailReader {
    /// Reads the content after its cursor.
    async fn read(&mut self, written: &Written<'_>) {
        let read = ReadContent::new(written.thread.clone(), written.id.clone(), self.cursor);
        let answer = written.bench.call(read.into(), None).await;
        let _visits = written.bench.inside.visits();
        let answer = answer.unwrap_or_else(|error| panic!("{}: a tail read: {error}", written.so_far()));
        let PersistResult::Read(ReadResult::Content(Some(tail))) = answer.result else {
            panic!("{}: a tail read shows nothing", written.so_far())
        };
        assert!(!tail.has_more, "{}: a tail read ends before its limit", written.so_far());
        if tail.replaced {
            self.content = ContentBuffer::default();
        }
        tail.parts.iter().for_each(|part| self.content.push(part));
        self.cursor = Some(tail.next);
    }

    fn expect(&self, shown: &Content, case: &str) {
        let assembled = self.content.content();
        assert_eq!(assembled.as_json(), shown.as_json(), "{case}: the tail reads and the shown content");
    }
}

/// Whether a string in the value contains `text`.
fn is_in(json: &serde_json::Value, text: &str) -> bool {
    match json {
        serde_json::Value::String(string) => string.contains(text),
        serde_json::Value::Array(values) => values.iter().any(|value| is_in(value, text)),
        serde_json::Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains(text) || is_in(value, text))
        }
        _ => false,
    }
}

/// A message as the reader sees it, and as the store has it.
pub(super) struct Seen {
    pub(super) shown: Content,
    pub(super) stored: Content,
    pub(super) revision: Revision,
    pub(super) held: usize,
}

/// The number of buffered bytes that an answer reports.
pub(super) fn buffered(answer: &PersistResponse) -> usize {
    answer.extensions.get::<BufferedBytes>().map_or(0, |held| held.0)
}

impl Bench {
    /// The texts that the laws write, each with the text that the layer shows: the layer shows it for a whole message.
    pub(super) async fn texts(&self) -> Vec<Text> {
        let mut texts = Vec::new();
        for (number, hidden) in self.profile.hides.iter().enumerate() {
            let shown = self.for_tenant(&format!("whole{number}")).shown_for(hidden).await;
            let half = hidden.chars().take(hidden.chars().count() / 2).collect::<String>();
            // The hidden text is within a text, at both ends of one, and as a beginning without an end.
            for given in [format!("before é {hidden} after 🦀 \"{half}"), format!("{hidden}\n{hidden}")] {
                texts.push(Text { given, hidden: hidden.clone(), shown: shown.clone() });
            }
        }
        texts
    }

    /// The text that a reader sees instead of a hidden text.
    async fn shown_for(&self, hidden: &str) -> String {
        let whole = throughline_core::NewMessage::user(&format!("before {hidden} after")).with_id(id("m"));
        let add = throughline_core::messages::Add::new(t(), whole);
        self.call(add.into(), None).await.unwrap_or_else(|error| panic!("a whole text: {error}"));
        let seen = Written::new(self).read().await;
        assert!(!holds(&seen.stored, hidden), "a whole text: it is stored as it was given");
        let read = text_of(&seen.shown);
        let shown = read.strip_prefix("before ").and_then(|rest| rest.strip_suffix(" after"));
        let shown = shown.unwrap_or_else(|| panic!("the text around what is hidden is lost: {read:?}"));
        let due = self.profile.shows.iter().find(|(text, _)| text == hidden).map(|(_, shown)| shown.as_str());
        if let Some(due) = due.or(self.profile.restores.then_some(hidden)) {
            assert_eq!(shown, due, "the text shown for {hidden:?}");
        }
        shown.to_owned()
    }

    /// Writes a text in two parts and ends the message. Asserts that no call forwards the hidden text, and that the message is complete.
    pub(super) async fn write(&self, carrier: Carrier, end: End, text: &Text, cut: usize) {
        let (front, back) = text.given.split_at(cut);
        let case = || format!("{carrier:?} of {front:?} and {back:?}, {end:?}");
        let mut written = Written::new(self);
        let mut steps = script(carrier, end, front, back);
        let mut calls: Vec<PersistArgs> = Vec::new();
        if carrier == Carrier::OneBatch {
            let mut batch = Batch::new().with(written.reserve());
            for (change, mode) in steps.remove(0) {
                batch = batch.with(written.update(change, mode));
            }
            calls.push(batch.into());
        } else {
            calls.push(written.reserve());
            for step in steps {
                let mut updates = step.into_iter().map(|(change, mode)| written.update(change, mode));
                calls.push(match carrier {
                    Carrier::Batches => updates.fold(Batch::new(), Batch::with).into(),
                    _ => updates.next().expect("one update for each call").into(),
                });
            }
        }
        let mut held = 0;
        let mut reader = TailReader::default();
        for call in calls {
            held = buffered(&written.make(call, &text.hidden).await);
            let seen = written.read().await;
            reader.read(&written).await;
            reader.expect(&seen.shown, &case());
            assert!(!holds(&seen.stored, &text.hidden), "{}: the text is in the store", case());
        }
        let seen = written.read().await;
        let due = text.shown_in(&written.given.content());
        assert_eq!(seen.shown.as_json(), due.as_json(), "{}: the shown and the expected content", case());
        assert_eq!((held, seen.held), (0, 0), "{}: an ended message has no buffered bytes", case());
        written.assert_revision(seen.revision);
    }
}

/// The texts of the blocks of a content.
fn texts_of(content: &Content) -> Vec<String> {
    let blocks: Vec<serde_json::Value> = serde_json::from_str(content.as_json()).expect("an array");
    blocks.iter().filter_map(|block| block["text"].as_str()).map(str::to_owned).collect()
}

/// The text of a content: that of its blocks, one after the other.
pub(super) fn text_of(content: &Content) -> String {
    texts_of(content).concat()
}

/// Whether the JSON contains `text`, in any escaping. A text that a block divides is two texts.
pub(super) fn holds(content: &Content, text: &str) -> bool {
    content.as_json().contains(&escaped(text)) || texts_of(content).iter().any(|block| block.contains(text))
}

/// Whether a call is a read: a layer can issue reads before it forwards a write.
pub(super) fn is_read(args: &PersistArgs) -> bool {
    args.kind() == OpKind::Read
}
