use std::{fmt, sync::Arc};

use super::{
    check, known,
    marker::{MAX_NAME, Markers},
    redactor::Redactor,
    rule::{After, Class, Rule},
};

/// What is hidden, before it is compiled.
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
    /// How many of them are the caller's own, at the front.
    own: usize,
    fields: Vec<Field>,
    /// Whether fields are hidden that are called as secrets are.
    names: bool,
    entropy: Option<f64>,
    markers: Markers,
}

/// A field that is hidden whole.
#[derive(Clone)]
pub(super) struct Field {
    /// The names from the outside in; arrays have none.
    pub(super) path: Vec<String>,
}

/// Why a rule cannot be used. The pattern itself is not repeated: it may be the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRule {
    name: String,
    why: &'static str,
}

impl InvalidRule {
    pub(super) fn new(name: &str, why: &'static str) -> Self {
        Self { name: name.to_owned(), why }
    }

    /// The name of the rule.
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
    /// The rule of the rest of a secret whose beginning the layer no longer knows, as after a restart.
    pub const RESUMED: &'static str = "resumed";
    /// The longest text that a pattern may match, in bytes.
    pub const MAX_MATCH: usize = 1024;

    /// No rule.
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

    /// Every known format, and the values of fields that are called as passwords and keys are, at any depth. See the
    /// [module](super).
    #[must_use]
    pub fn secrets() -> Self {
        Self { rules: known::all(), names: true, ..Self::none() }
    }

    /// Adds a pattern under a name: 1 to 64 lower-case letters, digits and `-`. What its first group matches is hidden, or all
    /// of it where it has none. It is matched byte by byte: `\w`, `\d` and `\b` know ASCII alone.
    ///
    /// A match has an end: `{8,64}`, not `+`. So what has to be held back of a text that is still being written is bounded.
    #[must_use]
    pub fn pattern(mut self, name: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.rules.insert(self.own, Rule::custom(name.into(), pattern.into()));
        self.own += 1;
        self
    }

    /// Adds one secret that is known, to be hidden wherever it stands, as it is written. At most
    /// [`MAX_MATCH`](Self::MAX_MATCH) bytes long.
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

    /// Hides the value of a field whole, whatever it is: `pin` where any object has a member of that name, `input.pin` where
    /// that object is itself the member `input`. Upper and lower case are alike, arrays in between do not count, and `null`
    /// stays. In metadata the path begins with its key.
    #[must_use]
    pub fn field(mut self, path: &str) -> Self {
        let path = path.split('.').map(str::to_owned).collect();
        self.fields.push(Field { path });
        self
    }

    /// Hides runs of 32 to 256 letters, digits and `+/_-=` in which a character carries at least so many bits of information,
    /// by how often each occurs in the run: random hexadecimal has about 3.7, random Base64 of 40 characters about 4.8.
    ///
    /// Off unless asked for: at 4.5 it also hides pictures in Base64, and much that is no secret.
    #[must_use]
    pub const fn entropy(mut self, bits: f64) -> Self {
        self.entropy = Some(bits);
        self
    }

    /// Takes every rule of this name away.
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

    /// Makes markers under a key of the host's, so that a caller who has not seen one cannot write one. Keep it: under another
    /// key, the markers that are stored already are taken for a text like any other. Without a key, every caller can make markers.
    #[must_use]
    pub const fn marker_key(mut self, key: [u8; 32]) -> Self {
        self.markers = Markers::keyed(key);
        self
    }

    /// The names of the rules, each once, in their order.
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

    /// Puts all of them into one automaton. Takes about 20 ms for [`secrets`](Self::secrets), and some megabytes of memory: compile
    /// once, and clone the [`Redactor`].
    ///
    /// # Errors
    /// [`InvalidRule`] when a name is not of the form that a marker can carry, a pattern is none, matches nothing, or has no
    /// end.
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

/// Shows the names alone.
impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("names", &self.names()).field("fields", &self.fields.len()).finish()
    }
}
