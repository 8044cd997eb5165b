//! A redaction and a cipher, which forget something.

use throughline_core::{
    Call, CarriesContent, Content, Delta, ErrorKind, Metadata, Next, OpKind, Operation, PersistArgs,
    PersistError, Persistence, Phase, Plugin, ReadArgs, Reply, Result, SlotMut, Title, UpdateMode,
};

use crate::laws::Around;

/// What must not pass.
pub(super) const SECRET: &str = "hunter2";

/// What the cipher makes of it, and the redaction leaves.
const CIPHER: &str = "uhagre2";
const STARS: &str = "*******";

/// Where it is not looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgets {
    Nothing,
    Batches,
    Deltas,
    Edits,
    Imports,
    Metadata,
    Annotations,
    Reasons,
    Reservations,
    Nesting,
    Plain,
    Pages,
    Previews,
    Titles,
    Answers,
}

pub(super) fn redacting(name: &'static str, forgets: Forgets, around: &Around) -> Result<Persistence> {
    let layer = Swap { name, forgets, into: STARS, back: false };
    around.outside().plugin(layer).layer(around.inside()).backend(around.backend()).build()
}

pub(super) fn enciphering(name: &'static str, forgets: Forgets, around: &Around) -> Result<Persistence> {
    let layer = Swap { name, forgets, into: CIPHER, back: true };
    around.outside().plugin(layer).layer(around.inside()).backend(around.backend()).build()
}

/// What the cipher does on the way down, forgetting nothing.
pub(super) fn encipher(carrier: &mut impl CarriesContent) {
    SOUND.swap(carrier, SECRET, CIPHER);
}

/// What it does on the way up.
pub(super) fn decipher(carrier: &mut impl CarriesContent) {
    SOUND.swap(carrier, CIPHER, SECRET);
}

const SOUND: Swap = Swap { name: "sound", forgets: Forgets::Nothing, into: CIPHER, back: true };

/// Puts one text in the place of another, and back where it is a cipher.
struct Swap {
    name: &'static str,
    forgets: Forgets,
    into: &'static str,
    back: bool,
}

impl Plugin for Swap {
    fn name(&self) -> &str {
        self.name
    }

    fn phase(&self) -> Phase {
        Phase::Transform
    }

    async fn around<O: Operation>(&self, mut call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        let args: PersistArgs = call.op.clone().into();
        if self.forgets == Forgets::Plain && O::KIND.is_write() && !holds(&args) {
            return Err(PersistError::new(ErrorKind::Denied, "nothing to redact"));
        }
        if !self.forgotten(&args) {
            self.swap(&mut call.op, SECRET, self.into);
        }
        let mut reply = next.run(call).await?;
        let is_page = matches!(args, PersistArgs::Read(ReadArgs::Page(_)));
        let forgotten = match self.forgets {
            Forgets::Pages => is_page,
            Forgets::Answers => O::KIND != OpKind::Read,
            _ => false,
        };
        if self.back && !forgotten {
            self.swap(&mut reply.output, self.into, SECRET);
        }
        Ok(reply)
    }
}

fn holds(args: &PersistArgs) -> bool {
    serde_json::to_string(args).is_ok_and(|json| json.contains(SECRET))
}

impl Swap {
    /// Whether the whole operation is forgotten.
    fn forgotten(&self, args: &PersistArgs) -> bool {
        match (self.forgets, args) {
            (Forgets::Batches, PersistArgs::Batch(_))
            | (Forgets::Imports, PersistArgs::Import(_))
            | (Forgets::Reservations, PersistArgs::Reserve(_)) => true,
            (Forgets::Edits, PersistArgs::UpdateContent(update)) => update.mode == UpdateMode::Edit,
            _ => false,
        }
    }

    fn swap(&self, carrier: &mut impl CarriesContent, from: &str, into: &str) {
        for place in carrier.places_mut() {
            let is_of_a_thread = place.message.is_none();
            match place.slot {
                SlotMut::Whole(content) => *content = self.content(content, from, into),
                SlotMut::Delta(_) if self.forgets == Forgets::Deltas => {}
                SlotMut::Delta(Delta::Text(text)) => *text = text.replace(from, into),
                SlotMut::Delta(Delta::Blocks(blocks)) => *blocks = self.content(blocks, from, into),
                SlotMut::Metadata(_) if self.forgets == Forgets::Metadata => {}
                SlotMut::Metadata(_) if is_of_a_thread && self.forgets == Forgets::Annotations => {}
                SlotMut::Metadata(metadata) => {
                    let json = serde_json::to_string(metadata).expect("metadata serialises");
                    *metadata =
                        serde_json::from_str::<Metadata>(&json.replace(from, into)).expect("metadata");
                }
                SlotMut::Reason(_) if self.forgets == Forgets::Reasons => {}
                SlotMut::Reason(reason) => *reason = reason.replace(from, into),
                SlotMut::Title(_) if self.forgets == Forgets::Titles => {}
                SlotMut::Title(title) => {
                    *title = Title::new(title.as_str().replace(from, into)).expect("a title");
                }
                SlotMut::Preview(_) if self.forgets == Forgets::Previews => {}
                SlotMut::Preview(preview) => *preview = preview.replace(from, into),
                _ => {}
            }
        }
    }

    fn content(&self, content: &Content, from: &str, into: &str) -> Content {
        if self.forgets == Forgets::Nesting && !content.as_json().starts_with(r#"[{"type":"text""#) {
            return content.clone();
        }
        Content::from_json(content.as_json().replace(from, into)).expect("an array")
    }
}
