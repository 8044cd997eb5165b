use std::{fmt, str::FromStr};

use throughline_core::ThreadId;
use uuid::Uuid;

/// The name of a chat: a UUID in its canonical form, in lower case.
///
/// All input is parsed here: the name of a folder, an entry of the catalog, a header.
///
/// ```
/// use throughline_transfer::ChatId;
///
/// let id: ChatId = "0C9D1AD2-7D1F-4F0A-9B0E-1C2D3E4F5A6B".parse()?;
/// assert_eq!(id.to_string(), "0c9d1ad2-7d1f-4f0a-9b0e-1c2d3e4f5a6b");
/// assert!("../x".parse::<ChatId>().is_err());
/// # Ok::<(), throughline_transfer::InvalidChatId>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChatId(Uuid);

/// The error for a text that is no UUID of the form 8-4-4-4-12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chat is named by a UUID of the form 8-4-4-4-12")]
pub struct InvalidChatId;

impl ChatId {
    /// Returns the name of a thread's folder: the thread id if it is such a UUID, otherwise a UUID derived from it.
    #[must_use]
    pub fn of(thread: &ThreadId) -> Self {
        if let Ok(id) = thread.as_str().parse::<Self>()
            && id.to_string() == thread.as_str()
        {
            return id;
        }
        let mut hash = blake3::Hasher::new();
        hash.update(b"throughline chat folder\0").update(thread.as_str().as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize().as_bytes()[..16]);
        Self(Uuid::new_v8(bytes))
    }
}

impl FromStr for ChatId {
    type Err = InvalidChatId;

    fn from_str(text: &str) -> Result<Self, InvalidChatId> {
        // Other forms of a UUID are other names.
        if text.len() != 36 {
            return Err(InvalidChatId);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidChatId)
    }
}

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0c9d1ad2-7d1f-4f0a-9b0e-1c2d3e4f5a6b";

    #[test]
    fn only_the_canonical_form_is_a_name_in_either_case() {
        assert_eq!(ID.parse::<ChatId>().unwrap(), ID.to_uppercase().parse().unwrap());
        assert_eq!(ID.to_uppercase().parse::<ChatId>().unwrap().to_string(), ID);
        for text in [
            "",
            "../x",
            "..",
            &format!("{ID}\n"),
            &format!(" {ID}"),
            &format!("{ID}-00"),
            &format!("{{{ID}}}"),
            &format!("urn:uuid:{ID}"),
            &ID.replace('-', ""),
            &ID.replace("0c", "0g"),
            &ID.replacen('-', "_", 1),
            "0c9d1ad27d1f-4f0a-9b0e-1c2d-3e4f5a6b",
            "../../../../../../../../../../../etc",
        ] {
            assert_eq!(text.parse::<ChatId>(), Err(InvalidChatId), "{text:?}");
        }
    }

    #[test]
    fn each_thread_has_a_folder_of_its_own() {
        let of = |id: &str| ChatId::of(&id.parse().unwrap()).to_string();
        assert_eq!(of(ID), ID);
        assert_ne!(of(&ID.to_uppercase()), ID);
        assert_eq!(of("telegram:42"), of("telegram:42"));
        assert_ne!(of("telegram:42"), of("telegram:43"));
        assert_eq!(of("telegram:42").parse::<ChatId>().unwrap().to_string(), of("telegram:42"));
    }
}
