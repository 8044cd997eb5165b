//! JSON of the store as Python values.
//!
//! The values are those of `json.loads`: integers of any size, the last of doubled keys, the order of keys. It makes no text of Python
//! for `json.loads` to read, and takes a third of the time.

use pyo3::{
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString},
};

use crate::json::loads;

/// The nesting from which a value is left to `json.loads`, which has the limit of the interpreter.
const DEPTH: usize = 64;

/// The number of names that are kept. Values of a store repeat a few.
const NAMES: usize = 32;

/// The digits of an integer that always fits 64 bits.
const SHORT: usize = 18;

/// Decodes values one after the other. They share the strings of their names.
pub(crate) struct Decoder<'py, 'a> {
    py: Python<'py>,
    names: Vec<(&'a str, Bound<'py, PyString>)>,
}

/// Why a value is not decoded here.
enum Stop {
    /// A text that is no UTF-8, such as a lone surrogate, or a deep nesting.
    LeftToPython,
    Raised(PyErr),
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

type Decoded<'py> = Result<Bound<'py, PyAny>, Stop>;

impl<'py, 'a> Decoder<'py, 'a> {
    pub(crate) const fn new(py: Python<'py>) -> Self {
        Self { py, names: Vec::new() }
    }

    /// Returns the value of a checked JSON text.
    pub(crate) fn decode(&mut self, json: &'a str) -> PyResult<Bound<'py, PyAny>> {
        let mut text = Text { json, at: 0 };
        match self.value(&mut text, 0) {
            Ok(value) => Ok(value),
            Err(Stop::LeftToPython) => Ok(loads(self.py, json)?.into_bound(self.py)),
            Err(Stop::Raised(error)) => Err(error),
        }
    }

    /// Returns the string of an array that has one string and nothing else.
    pub(crate) fn decode_only_string(&self, json: &'a str) -> Option<Bound<'py, PyString>> {
        let mut text = Text { json, at: 0 };
        text.expect(b'[').ok()?;
        if text.next_byte().ok()? != b'"' {
            return None;
        }
        let token = text.string().ok()?;
        text.expect(b']').ok()?;
        token.decode(self.py).ok()
    }

    fn value(&mut self, text: &mut Text<'a>, depth: usize) -> Decoded<'py> {
        let py = self.py;
        match text.next_byte()? {
            b'"' => self.string(text),
            b'{' if depth < DEPTH => self.object(text, depth),
            b'[' if depth < DEPTH => self.array(text, depth),
            b't' => text.literal("true").map(|()| PyBool::new(py, true).to_owned().into_any()),
            b'f' => text.literal("false").map(|()| PyBool::new(py, false).to_owned().into_any()),
            b'n' => text.literal("null").map(|()| py.None().into_bound(py)),
            b'-' | b'0'..=b'9' => self.number(text),
            _ => Err(Stop::LeftToPython),
        }
    }

    fn object(&mut self, text: &mut Text<'a>, depth: usize) -> Decoded<'py> {
        let object = PyDict::new(self.py);
        text.at += 1;
        if text.next_byte()? != b'}' {
            loop {
                if text.next_byte()? != b'"' {
                    return Err(Stop::LeftToPython);
                }
                let name = self.name(text)?;
                text.expect(b':')?;
                object.set_item(name, self.value(text, depth + 1)?)?;
                if !text.has_more(b'}')? {
                    break;
                }
            }
        }
        text.at += 1;
        Ok(object.into_any())
    }

    fn array(&mut self, text: &mut Text<'a>, depth: usize) -> Decoded<'py> {
        let mut items = Vec::new();
        text.at += 1;
        if text.next_byte()? != b']' {
            loop {
                items.push(self.value(text, depth + 1)?);
                if !text.has_more(b']')? {
                    break;
                }
            }
        }
        text.at += 1;
        Ok(PyList::new(self.py, items)?.into_any())
    }

    fn name(&mut self, text: &mut Text<'a>) -> Decoded<'py> {
        let token = text.string()?;
        if let Some((_, name)) = self.names.iter().find(|(known, _)| *known == token.text) {
            return Ok(name.clone().into_any());
        }
        let name = token.decode(self.py)?;
        if self.names.len() < NAMES {
            self.names.push((token.text, name.clone()));
        }
        Ok(name.into_any())
    }

    fn string(&self, text: &mut Text<'a>) -> Decoded<'py> {
        Ok(text.string()?.decode(self.py)?.into_any())
    }

    fn number(&self, text: &mut Text<'a>) -> Decoded<'py> {
        let rest = &text.json[text.at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let number = &rest[..rest.bytes().position(|byte| !is_part(&byte)).unwrap_or(rest.len())];
        text.at += number.len();
        if number.contains(['.', 'e', 'E']) {
            let number = number.parse::<f64>().map_err(|_| Stop::LeftToPython)?;
            return Ok(PyFloat::new(self.py, number).into_any());
        }
        if number.len() <= SHORT {
            let number = number.parse::<i64>().map_err(|_| Stop::LeftToPython)?;
            let Ok(number) = number.into_pyobject(self.py);
            return Ok(number.into_any());
        }
        Ok(self.py.get_type::<PyInt>().call1((number,))?)
    }
}

/// A JSON text, and how far it is read.
struct Text<'a> {
    json: &'a str,
    at: usize,
}

/// A string of a text, with its quotation marks.
struct Token<'a> {
    text: &'a str,
    has_escapes: bool,
}

impl<'a> Text<'a> {
    /// Skips white space, and returns the next byte, which stays.
    fn next_byte(&mut self) -> Result<u8, Stop> {
        loop {
            match self.json.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(Stop::LeftToPython),
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.next_byte()? != byte {
            return Err(Stop::LeftToPython);
        }
        self.at += 1;
        Ok(())
    }

    /// Skips a comma, and returns whether there was one. Otherwise the next byte is `end`.
    fn has_more(&mut self, end: u8) -> Result<bool, Stop> {
        if self.next_byte()? == end {
            return Ok(false);
        }
        self.expect(b',').map(|()| true)
    }

    fn literal(&mut self, literal: &str) -> Result<(), Stop> {
        if !self.json[self.at..].starts_with(literal) {
            return Err(Stop::LeftToPython);
        }
        self.at += literal.len();
        Ok(())
    }

    /// Reads the string that begins here.
    fn string(&mut self) -> Result<Token<'a>, Stop> {
        let bytes = self.json.as_bytes();
        let start = self.at;
        let mut at = start + 1;
        let mut has_escapes = false;
        loop {
            at += special(bytes.get(at..).unwrap_or_default()).ok_or(Stop::LeftToPython)?;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(Token { text: &self.json[start..=at], has_escapes });
            }
            // A backslash, and the byte that it escapes.
            has_escapes = true;
            at += 2;
        }
    }
}

/// Returns where the first quotation mark or backslash is.
fn special(bytes: &[u8]) -> Option<usize> {
    const CHUNK: usize = 16;
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
    // It looks at every byte of a chunk, so that the compiler compares them all at once.
    let has_special = |chunk: &&[u8]| chunk.iter().fold(false, |found, byte| found | is_special(byte));
    let plain = CHUNK * bytes.chunks_exact(CHUNK).take_while(|chunk| !has_special(chunk)).count();
    bytes[plain..].iter().position(is_special).map(|at| plain + at)
}

impl Token<'_> {
    fn decode<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyString>, Stop> {
        if !self.has_escapes {
            return Ok(PyString::new(py, &self.text[1..self.text.len() - 1]));
        }
        // It refuses a lone surrogate, which a string of Python can hold.
        let text = serde_json::from_str::<String>(self.text).map_err(|_| Stop::LeftToPython)?;
        Ok(PyString::new(py, &text))
    }
}
