use std::{fmt, sync::Arc};

use super::{
    check, known,
    marker::{MAX_NAME, Markers},
    redactor::Redactor,
    rule::{After, Class, Rule},
};

/// The rules of a redactor, before they are compiled.
///
/// ```
/// use throughline_layers::redact::Rules;
///
/// let redactor = Rules::secrets()
///     .pattern("acme-key", r"acme_[a-z0-9]{24}")
///     .literal("staging-password", "correct horse battery staple")
///     .field("input.pin")
///     .without("mailchimp-key")
///     .compile()?;
/// let (text, found) = redactor.redact("the pin is in acme_0123456789abcdef01234567").expect("it holds one");
/// assert!(text.starts_with("the pin is in [redacted:acme-key#"));
/// assert_eq!(found.get("acme-key"), 1);
/// # Ok::<(), throughline_layers::redact::InvalidRule>(())
/// ```
#[derive(Clone)]
pub struct Rules {
    rules: Vec<Rule>,
    /// The number of the caller's own rules, which come first.
    own: usize,
    fields: Vec<Field>,
    /// Whether fields with names of secrets are hidden.
    names: bool,
    entropy: Option<f64>,
    markers: Markers,
}

/// A field that is hidden completely.
#[derive(Clone)]
pub(super) struct Field {
    /// The names from the outermost to the innermost; arrays have none.
    pub(super) path: Vec<String>,
}

/// The reason why a rule is invalid. It does not repeat the pattern, which may be the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRule {
    name: String,
    why: &'static str,
}

impl InvalidRule {
    pub(super) fn new(name: &str, why: &'static str) -> Self {
        Self { name: name.to_owned(), why }
    }

    /// Returns the name of the rule.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redaction rule {:?}: {}", self.name, self.why)
    }
}

impl std::error::Error for InvalidRule {}

impl From<InvalidRule> for throughline_core::PersistError {
    fn from(error: InvalidRule) -> Self {
        Self::new(throughline_core::ErrorKind::Invalid, error.to_string())
            .with_effect(throughline_core::Effect::NotApplied)
            .with_source(error)
    }
}

impl Rules {
    /// The rule of [`entropy`](Self::entropy).
    pub const ENTROPY: &'static str = "entropy";
    /// The rule of [`field`](Self::field).
    pub const FIELD: &'static str = "field";
    /// The rule for the rest of a secret whose beginning is unknown, as after a restart.
    pub const RESUMED: &'static str = "resumed";
    /// The longest match of a pattern, in bytes.
    pub const MAX_MATCH: usize = 1024;

    /// Returns an empty set of rules.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            rules: Vec::new(),
            own: 0,
            fields: Vec::new(),
            names: false,
            entropy: None,
            markers: Markers::public(),
        }
    }

    /// Returns the rules for every known format, and for values of fields that are named like passwords and keys, at
    /// any depth. See the [module](super).
    #[must_use]
    pub fn secrets() -> Self {
        Self { rules: known::all(), names: true, ..Self::none() }
    }

    /// Adds a pattern with a name of 1 to 64 lower-case letters, digits and `-`. It hides the match of its first group,
    /// or the whole match without a group. It matches bytes: `\w`, `\d` and `\b` are ASCII only.
    ///
    /// A match must have a maximum length: `{8,64}`, not `+`. So the buffered text of an open message is bounded.
    #[must_use]
    pub fn pattern(mut self, name: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.rules.insert(self.own, Rule::custom(name.into(), pattern.into()));
        self.own += 1;
        self
    }

    /// Adds a known secret, which is hidden wherever it occurs literally. It has at most [`MAX_MATCH`](Self::MAX_MATCH)
    /// bytes.
    #[must_use]
    pub fn literal(self, name: impl Into<String>, secret: &str) -> Self {
        let mut pattern = String::with_capacity(secret.len() * 2);
        for character in secret.chars() {
            if character.is_ascii_punctuation() {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        self.pattern(name, pattern)
    }

    /// Hides the whole value of a field: `pin` in any object with such a member, `input.pin` only if that object is the
    /// member `input`. Case is ignored, arrays in between do not count, and `null` stays. In metadata the path begins
    /// with its key.
    #[must_use]
    pub fn field(mut self, path: &str) -> Self {
        let path = path.split('.').map(str::to_owned).collect();
        self.fields.push(Field { path });
        self
    }

    /// Hides runs of 32 to 256 letters, digits and `+/_-=` with at least this entropy for each character, measured
    /// within the run: random hexadecimal has about 3.7 bits, random Base64 of 40 characters about 4.8.
    ///
    /// Off by default: at 4.5 it also hides Base64 images, and much other text that is no secret.
    #[must_use]
    pub const fn entropy(mut self, bits: f64) -> Self {
        self.entropy = Some(bits);
        self
    }

    /// Removes every rule with this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let own = self.rules[..self.own].iter().filter(|rule| rule.name != name).count();
        self.rules.retain(|rule| rule.name != name);
        self.own = own;
        if name == Self::FIELD {
            self.fields.clear();
            self.names = false;
        }
        if name == Self::ENTROPY {
            self.entropy = None;
        }
        self
    }

    /// Sets the host's key for markers, so that a caller that has not seen a marker cannot forge it. Keep the key: with
    /// another one, stored markers are treated as ordinary text. Without a key, every caller can create markers.
    #[must_use]
    pub const fn marker_key(mut self, key: [u8; 32]) -> Self {
        self.markers = Markers::keyed(key);
        self
    }

    /// Returns the names of the rules, each once, in their order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for rule in &self.rules {
            if !names.contains(&&*rule.name) {
                names.push(&rule.name);
            }
        }
        names
    }

    /// Compiles all rules into one automaton. It takes about 20 ms for [`secrets`](Self::secrets), and some megabytes
    /// of memory: compile once, and clone the [`Redactor`].
    ///
    /// # Errors
    /// [`InvalidRule`] for a name that a marker cannot contain, and for a pattern that is invalid, never matches, or
    /// has no maximum length.
    pub fn compile(self) -> Result<Redactor, InvalidRule> {
        let Self { mut rules, own: _, fields, names, entropy, markers } = self;
        if let Some(bits) = entropy {
            let mut rule = Rule::custom(Self::ENTROPY.to_owned(), r"([A-Za-z0-9+/_=-]{32,256})".to_owned());
            rule.after = After::Class(Class::of("A-Za-z0-9+/_=-"));
            rule.check = Some(Arc::new(move |value| check::entropy(value) >= bits));
            rules.push(rule);
        }
        for rule in &rules {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !(1..=MAX_NAME).contains(&rule.name.len()) || !rule.name.bytes().all(is_plain) {
                let why = "a name is 1 to 64 lower-case letters, digits and hyphens";
                return Err(InvalidRule::new(&rule.name, why));
            }
        }
        Redactor::compile(&rules, fields, names, markers)
    }
}

/// Prints the names only.
impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("names", &self.names()).field("fields", &self.fields.len()).finish()
    }
}
