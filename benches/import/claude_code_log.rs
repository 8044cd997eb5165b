//! Session logs with the fields that Claude Code writes.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use uuid::Uuid;

use crate::{Failure, Load, contender::text_of};

/// Writes a log for each thread into a folder.
pub(crate) fn write(folder: &Path, load: Load) -> Result<(), Failure> {
    for thread in 0..load.threads {
        let session = Uuid::new_v4();
        let mut log = BufWriter::new(File::create(folder.join(format!("{session}.jsonl")))?);
        let mut parent = "null".to_owned();
        for number in load.messages_of(thread) {
            let id = Uuid::new_v4();
            writeln!(log, "{}", line(number, &session, &parent, &id))?;
            parent = format!("\"{id}\"");
        }
        log.into_inner()?.sync_all()?;
    }
    Ok(())
}

/// Returns the line of a message: of the user or, every second one, of the assistant.
fn line(number: usize, session: &Uuid, parent: &str, id: &Uuid) -> String {
    let text = serde_json::Value::from(text_of(number));
    let (kind, message) = if number.is_multiple_of(2) {
        ("user", format!(r#"{{"role":"user","content":{text}}}"#))
    } else {
        let message = format!(
            r#"{{"id":"msg_{number:024}","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{{"type":"text","text":{text}}}],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":4,"cache_creation_input_tokens":1182,"cache_read_input_tokens":{number},"cache_creation":{{"ephemeral_5m_input_tokens":1182,"ephemeral_1h_input_tokens":0}},"output_tokens":187,"service_tier":"standard"}}}},"requestId":"req_{number:024}""#
        );
        ("assistant", message)
    };
    let seconds = number / 1000;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!(
        r#"{{"parentUuid":{parent},"isSidechain":false,"userType":"external","cwd":"/srv/project","sessionId":"{session}","version":"2.0.14","gitBranch":"main","type":"{kind}","message":{message},"uuid":"{id}","timestamp":"2025-10-07T{hour:02}:{minute:02}:{second:02}.{:03}Z"}}"#,
        number % 1000
    )
}
