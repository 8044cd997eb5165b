//! Bringing in what was written elsewhere.

use serde::Deserialize;
use throughline::{
    Content, Labels, MessageId, NewThread, Persistence, Role, ThreadId, Timestamp, Title,
    messages::{Import, ImportRow},
    threads::RenameThread,
};

use crate::Failure;

/// A chat as the file has it.
#[derive(Deserialize)]
struct Chat {
    id: String,
    conversations: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    from: String,
    value: String,
}

/// What was brought in.
#[derive(Default)]
pub(crate) struct Imported {
    pub(crate) chats: usize,
    pub(crate) messages: usize,
}

/// Chats carry no time: they are put a minute apart, and their messages a second.
const BEGAN: i64 = 1_700_000_000_000_000;
const MINUTE: i64 = 60_000_000;
const SECOND: i64 = 1_000_000;

/// Imports every line that is a chat. It can be done again after a failure: what is there already is left alone.
pub(crate) async fn import(db: &Persistence, text: &str) -> Result<Imported, Failure> {
    let mut imported = Imported::default();
    let chats = text.lines().filter_map(|line| serde_json::from_str::<Chat>(line).ok());
    for (number, chat) in (0_i64..).zip(chats) {
        let began = BEGAN + number * MINUTE;
        let thread: ThreadId = chat.id.parse()?;
        // Out of the lists until it is whole.
        let new = NewThread::new()
            .with_id(thread.clone())
            .with_labels(Labels::new().with("source", "sharegpt")?)
            .created_at(Timestamp::from_micros(began))
            .hidden();
        db.create_thread(new).await?;
        let rows = rows(&chat, began)?;
        imported.chats += 1;
        imported.messages += rows.len();
        for rows in rows.chunks(Import::MAX_ROWS / 2) {
            db.run(Import::new(thread.clone(), rows.to_vec())).await?;
        }
        // Named after its first words, unless somebody has named it meanwhile.
        let title = chat.conversations.first().map(|said| said.value.chars().take(40).collect::<String>());
        let rename = RenameThread::new(thread.clone(), Title::new(title.unwrap_or_default())?);
        db.on_thread(rename.expecting(Title::default())).await?;
        db.on_thread(throughline::threads::PublishThread { thread }).await?;
    }
    Ok(imported)
}

fn rows(chat: &Chat, began: i64) -> Result<Vec<ImportRow>, Failure> {
    let row = |(number, said): (i64, &Said)| {
        let role = match said.from.as_str() {
            "human" | "user" => Role::User,
            "system" => Role::System,
            _ => Role::Assistant,
        };
        let id: MessageId = format!("{}:{number}", chat.id).parse()?;
        let at = Timestamp::from_micros(began + number * SECOND);
        Ok(ImportRow::new(id, role, Content::text(&said.value), at))
    };
    (0_i64..).zip(&chat.conversations).map(row).collect()
}
