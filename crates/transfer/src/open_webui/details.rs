//! Blocks of HTML in the text of an answer, in which Open WebUI keeps reasoning, tool calls and the code interpreter.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::value::RawValue;
use throughline_core::Content;

use crate::object::quoted;

const OPENING: &str = "<details type=\"";
const CLOSING: &str = "</details>";

/// A part of an answer.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Details(Details<'a>),
}

/// A block of HTML.
#[derive(Debug, PartialEq)]
struct Details<'a> {
    kind: Kind,
    attributes: BTreeMap<&'a str, String>,
    /// The text behind the summary, as it is written.
    body: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Reasoning,
    ToolCall,
    CodeInterpreter,
}

/// Returns the content of a text with such blocks; `None` if it has none.
pub(super) fn blocks(text: &str) -> Option<Content> {
    if !text.contains(OPENING) {
        return None;
    }
    let parts = parts(text);
    if !parts.iter().any(|part| matches!(part, Part::Details(_))) {
        return None;
    }
    let blocks: Vec<String> = parts.iter().flat_map(Part::blocks).collect();
    Some(Content::from_json(format!("[{}]", blocks.join(","))).expect("blocks"))
}

/// Whether the text of an answer, without such blocks, has the same words as a content.
pub(super) fn has_same_text(text: &str, content: &Content) -> bool {
    let parts = parts(text);
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(*text),
        Part::Details(_) => None,
    });
    let plain = content.plain_text(usize::MAX);
    texts.flat_map(str::split_whitespace).eq(plain.split_whitespace())
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut rest, mut from) = (Vec::new(), text, 0);
    while let Some(at) = rest[from..].find(OPENING).map(|at| from + at) {
        match details(&rest[at..]) {
            Some((details, end)) => {
                push_text(&mut parts, &rest[..at]);
                parts.push(Part::Details(details));
                (rest, from) = (&rest[at + end..], 0);
            }
            None => from = at + OPENING.len(),
        }
    }
    push_text(&mut parts, rest);
    parts
}

fn push_text<'a>(parts: &mut Vec<Part<'a>>, text: &'a str) {
    if !text.trim().is_empty() {
        parts.push(Part::Text(text));
    }
}

/// Reads a block that begins with [`OPENING`]. Returns it with its length; `None` if it is of another kind or not complete.
fn details(html: &str) -> Option<(Details<'_>, usize)> {
    let mut attributes = BTreeMap::new();
    let mut rest = html.strip_prefix("<details")?;
    rest = loop {
        rest = rest.trim_start();
        if let Some(body) = rest.strip_prefix('>') {
            break body;
        }
        let (name, value) = rest.split_once("=\"")?;
        let (value, after) = value.split_once('"')?;
        attributes.insert(name, unescaped(value));
        rest = after;
    };
    let kind = match &*attributes.remove("type")? {
        "reasoning" => Kind::Reasoning,
        "tool_calls" => Kind::ToolCall,
        "code_interpreter" => Kind::CodeInterpreter,
        _ => return None,
    };
    let (inside, after) = rest.split_once(CLOSING)?;
    let body = inside.split_once("</summary>").map_or(inside, |(_, body)| body).trim_matches('\n');
    Some((Details { kind, attributes, body }, html.len() - after.len()))
}

impl Part<'_> {
    /// Returns the blocks of a content.
    fn blocks(&self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![format!(r#"{{"type":"text","text":{}}}"#, quoted(text))],
            Self::Details(details) => details.blocks(),
        }
    }
}

impl Details<'_> {
    fn blocks(&self) -> Vec<String> {
        match self.kind {
            Kind::Reasoning => {
                let text = unescaped(self.body);
                let lines: Vec<&str> =
                    text.lines().map(|line| line.strip_prefix("> ").unwrap_or(line)).collect();
                vec![self.block("thinking", &[("thinking", quoted(&lines.join("\n")))], &[])]
            }
            Kind::CodeInterpreter => {
                vec![self.block("code_interpreter", &[("code", quoted(self.body))], &[])]
            }
            Kind::ToolCall => self.tool_call(),
        }
    }

    /// Returns a call, and its result if there is one.
    fn tool_call(&self) -> Vec<String> {
        let text = |name| quoted(self.attributes.get(name).map_or("", String::as_str));
        let taken = ["id", "name", "arguments", "result"];
        let input = self.attributes.get("arguments").map_or_else(|| "null".to_owned(), |json| argument(json));
        let call = [("id", text("id")), ("name", text("name")), ("input", input)];
        let mut blocks = vec![self.block("tool_use", &call, &taken)];
        if let Some(result) = self.attributes.get("result") {
            let result = [("tool_use_id", text("id")), ("content", json_or_text(result))];
            let mut block = String::from(r#"{"type":"tool_result""#);
            push_fields(&mut block, &result);
            block.push('}');
            blocks.push(block);
        }
        blocks
    }

    /// Returns a block with these fields, and with the attributes that are not among `taken`.
    fn block(&self, kind: &str, fields: &[(&str, String)], taken: &[&str]) -> String {
        let mut block = format!(r#"{{"type":"{kind}""#);
        push_fields(&mut block, fields);
        let others: Vec<String> = self
            .attributes
            .iter()
            .filter(|(name, _)| !taken.contains(name))
            .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
            .collect();
        if !others.is_empty() {
            write!(block, r#","attributes":{{{}}}"#, others.join(",")).expect("a text grows");
        }
        block.push('}');
        block
    }
}

fn push_fields(block: &mut String, fields: &[(&str, String)]) {
    for (name, json) in fields {
        write!(block, r#","{name}":{json}"#).expect("a text grows");
    }
}

/// Returns the arguments of a call as JSON. They are JSON, or JSON in a JSON string.
fn argument(json: &str) -> String {
    let inside = serde_json::from_str::<String>(json).ok().filter(|inside| is_json(inside));
    inside.unwrap_or_else(|| json_or_text(json))
}

fn json_or_text(text: &str) -> String {
    if is_json(text) { text.trim().to_owned() } else { quoted(text) }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Replaces the escapes of HTML that Open WebUI writes.
fn unescaped(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let escapes = [("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&#x27;", '\''), ("&amp;", '&')];
        match escapes.into_iter().find(|(escape, _)| rest.starts_with(escape)) {
            Some((escape, character)) => {
                text.push(character);
                rest = &rest[escape.len()..];
            }
            None => {
                text.push('&');
                rest = &rest[1..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Option<String> {
        blocks(text).map(|content| content.as_json().to_owned())
    }

    #[test]
    fn reasoning_becomes_a_block_of_thinking() {
        let text = "<details type=\"reasoning\" done=\"true\" duration=\"3\">\n<summary>Thought for 3 seconds</summary>\n\
                    &gt; is 1 &lt; 2?\n&gt; \n&gt;&gt; yes\n</details>\nYes, \"1 < 2\".";
        let due = r#"[{"type":"thinking","thinking":"is 1 < 2?\n\n>> yes","attributes":{"done":"true","duration":"3"}},{"type":"text","text":"\nYes, \"1 < 2\"."}]"#;
        assert_eq!(json(text).unwrap(), due);
        // The first versions do not escape the text.
        let old = text.replace("&gt;", ">").replace("&lt;", "<");
        assert_eq!(json(&old).unwrap(), due);
    }

    #[test]
    fn a_tool_call_becomes_a_call_and_its_result() {
        let text = "Let me look.\n<details type=\"tool_calls\" done=\"true\" id=\"call_1\" name=\"weather\" \
                    arguments=\"&quot;{\\&quot;city\\&quot;: \\&quot;Lyon\\&quot;}&quot;\" result=\"&quot;it&#x27;s sunny&quot;\" files=\"\" \
                    embeds=\"&quot;&quot;\">\n<summary>Tool Executed</summary>\n</details>\nSunny.";
        assert_eq!(
            json(text).unwrap(),
            concat!(
                r#"[{"type":"text","text":"Let me look.\n"},"#,
                r#"{"type":"tool_use","id":"call_1","name":"weather","input":{"city": "Lyon"},"attributes":{"done":"true","embeds":"\"\"","files":""}},"#,
                r#"{"type":"tool_result","tool_use_id":"call_1","content":"it's sunny"},{"type":"text","text":"\nSunny."}]"#
            )
        );
        let running = "<details type=\"tool_calls\" done=\"false\" id=\"c\" name=\"n\" arguments=\"{not json\">\n</details>";
        assert_eq!(
            json(running).unwrap(),
            r#"[{"type":"tool_use","id":"c","name":"n","input":"{not json","attributes":{"done":"false"}}]"#
        );
    }

    #[test]
    fn the_code_interpreter_becomes_a_block() {
        let text = "<details type=\"code_interpreter\" done=\"true\" output=\"{&quot;stdout&quot;: &quot;2&quot;}\">\n\
                    <summary>Analyzed</summary>\n```python\nprint(1 + 1)\n```\n</details>";
        assert_eq!(
            json(text).unwrap(),
            r#"[{"type":"code_interpreter","code":"```python\nprint(1 + 1)\n```","attributes":{"done":"true","output":"{\"stdout\": \"2\"}"}}]"#
        );
    }

    #[test]
    fn other_html_stays_text_wherever_it_ends() {
        for text in [
            "",
            "<details>\n<summary>s</summary>b</details>",
            "<details type=\"spoiler\">x</details>",
            "a & b",
        ] {
            assert_eq!(json(text), None, "{text}");
        }
        let text = "a<details type=\"reasoning\" done=\"true\">\n<summary>s</summary>\n> b\n</details>c";
        for end in 0..text.len() {
            assert_eq!(json(&text[..end]).is_some(), end >= text.len() - 1, "{end}");
        }
        assert_eq!(unescaped("&amp;lt; &#x27; &unknown; &"), "&lt; ' &unknown; &");
    }

    #[test]
    fn the_words_of_a_text_are_compared_without_its_blocks() {
        let text = "one <details type=\"reasoning\">two</details>\nthree";
        let content = |text: &str| Content::text(text);
        assert!(has_same_text(text, &content("one\nthree")));
        assert!(!has_same_text(text, &content("one two three")));
    }
}
