//! Content as the model sees it: a list of blocks.

use throughline_core::{Content, Delta, messages::ContentChange};

#[derive(Debug, Clone, PartialEq)]
enum Block {
    Text(String),
    Raw(&'static str),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Blocks(Vec<Block>);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    Append(usize),
    Replace(usize),
}

/// How many wholes and deltas there are to choose from.
pub(super) const WHOLES: usize = 4;
pub(super) const DELTAS: usize = 5;

const RAW: &str = r#"{"type":"image","n":1.10}"#;

pub(super) fn whole(number: usize) -> Blocks {
    let text = |text: &str| Block::Text(text.to_owned());
    Blocks(match number {
        0 => vec![],
        1 => vec![text("a\"\\\n")],
        2 => vec![Block::Raw(RAW), text("é")],
        _ => vec![text(""), Block::Raw("null")],
    })
}

fn delta(number: usize) -> Result<&'static str, Blocks> {
    match number {
        0 => Ok(""),
        1 => Ok("x"),
        2 => Ok("\u{0}\u{1F600}"),
        3 => Err(Blocks(vec![Block::Raw(RAW)])),
        _ => Err(Blocks(vec![Block::Text("z".to_owned())])),
    }
}

impl Blocks {
    pub(super) fn json(&self) -> Content {
        let blocks = self.0.iter().map(|block| match block {
            Block::Text(text) => {
                let text = serde_json::to_string(text).expect("a string");
                format!(r#"{{"type":"text","text":{text}}}"#)
            }
            Block::Raw(raw) => (*raw).to_owned(),
        });
        let blocks: Vec<String> = blocks.collect();
        Content::from_json(format!("[{}]", blocks.join(","))).expect("an array")
    }

    /// How the text of it begins.
    pub(super) fn preview(&self) -> Option<String> {
        let texts = self.0.iter().filter_map(|block| match block {
            Block::Text(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        });
        let text: String = texts.collect::<Vec<_>>().join(" ").chars().take(80).collect();
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Replace(number) => *self = whole(number),
            Change::Append(number) => match delta(number) {
                Ok("") => {}
                Ok(more) => match self.0.last_mut() {
                    Some(Block::Text(text)) => text.push_str(more),
                    _ => self.0.push(Block::Text(more.to_owned())),
                },
                Err(Self(more)) => self.0.extend(more),
            },
        }
    }
}

impl Change {
    pub(super) fn is_nothing(self) -> bool {
        matches!(self, Self::Append(0))
    }

    pub(super) fn args(self) -> ContentChange {
        match self {
            Self::Replace(number) => ContentChange::Replace(whole(number).json()),
            Self::Append(number) => ContentChange::Append(match delta(number) {
                Ok(text) => Delta::text(text),
                Err(blocks) => Delta::Blocks(blocks.json()),
            }),
        }
    }
}
