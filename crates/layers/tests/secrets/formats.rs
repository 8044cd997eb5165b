//! Formats in many contexts, with the exact stored text.

use std::fmt::Write as _;

use throughline_layers::redact::Redactor;

/// A name, and the format: `{kind count}` is this many characters of a kind, `|` is nothing.
const FORMATS: &[(&str, &str)] = &[
    ("aws access key", "AK|IA{U16}"),
    ("aws temporary key", "AS|IA{U16}"),
    ("google api key", "AI|za{w35}"),
    ("google oauth secret", "GOC|SPX-{w28}"),
    ("google oauth token", "ya|29.{w60}"),
    ("google refresh token", "1/|/0{w40}"),
    ("azure client secret", "8Q|~{w33}"),
    ("azure devops", "{A76}AZ|DO{A4}"),
    ("bedrock", "AB|SK{b80}"),
    ("alibaba", "LT|AI{A20}"),
    ("tencent", "AK|ID{A32}"),
    ("digitalocean", "do|p_v1_{h64}"),
    ("heroku", "HR|KU-{w36}"),
    ("fly", "fm|2_{b60}"),
    ("vault", "hv|s.{A24}"),
    ("terraform", "atl|asv1.{w67}"),
    ("pulumi", "pu|l-{h40}"),
    ("doppler", "dp|.pt.{A43}"),
    ("databricks", "da|pi{h32}"),
    ("planetscale", "psc|ale_tkn_{w43}"),
    ("supabase", "sb|p_{h40}"),
    ("supabase secret", "sb|_secret_{w31}"),
    ("netlify", "nf|p_{A40}"),
    ("new relic", "NR|AK-{U27}"),
    ("grafana", "gl|sa_{A32}_{h8}"),
    ("sentry", "sn|trys_{b80}"),
    ("dynatrace", "dt|0c01.{U24}.{U64}"),
    ("launchdarkly", "sd|k-{h8}-{h4}-{h4}-{h4}-{h12}"),
    ("github", "gh|p_{A36}"),
    ("github app", "gh|s_{A36}"),
    ("github fine-grained", "git|hub_pat_{A22}_{A59}"),
    ("gitlab", "gl|pat-{w20}"),
    ("gitlab runner", "GR1|348941{w20}"),
    ("bitbucket", "AT|BB{A32}"),
    ("atlassian", "AT|ATT3{w180}={U8}"),
    ("npm", "np|m_{A36}"),
    ("pypi", "py|pi-AgE{w100}"),
    ("rubygems", "rub|ygems_{h48}"),
    ("crates.io", "ci|o{A32}"),
    ("nuget", "oy|2{l43}"),
    ("docker", "dck|r_pat_{w27}"),
    ("artifactory", "AK|Cp{A69}"),
    ("sonar", "sq|p_{h40}"),
    ("circleci", "CC|IPAT_{A22}_{h40}"),
    ("linear", "li|n_api_{A40}"),
    ("notion", "nt|n_{A46}"),
    ("figma", "fi|gd_{w40}"),
    ("postman", "PM|AK-{h24}-{h34}"),
    ("airtable", "pa|t{A14}.{h64}"),
    ("slack bot", "xo|xb-{d12}-{d12}-{A24}"),
    ("slack app", "xa|pp-1-{U11}-{d13}-{h64}"),
    ("discord bot", "M|T{A22}.{w6}.{w38}"),
    ("telegram", "{d10}:A|A{w33}"),
    ("twilio", "S|K{h32}"),
    ("sendgrid", "S|G.{w22}.{w43}"),
    ("mailgun", "ke|y-{h32}"),
    ("mailchimp", "{h32}-u|s12"),
    ("brevo", "xk|eysib-{h64}-{A16}"),
    ("resend", "re|_{A8}_{A24}"),
    ("stripe", "sk|_live_{A24}"),
    ("stripe restricted", "rk|_live_{A24}"),
    ("webhook signing", "wh|sec_{A32}"),
    ("square", "EA|AA{w60}"),
    ("shopify", "sh|pat_{h32}"),
    ("plaid", "acc|ess-production-{h8}-{h4}-{h4}-{h4}-{h12}"),
    ("anthropic", "sk|-ant-api03-{w93}AA"),
    ("openrouter", "sk|-or-v1-{h64}"),
    ("openai project", "sk|-proj-{w80}"),
    ("openai", "sk|-{A20}T3Blbk|FJ{A20}"),
    ("huggingface", "h|f_{A34}"),
    ("groq", "gs|k_{A52}"),
    ("replicate", "r|8_{A37}"),
    ("perplexity", "pp|lx-{A48}"),
    ("xai", "xa|i-{A80}"),
    ("fireworks", "f|w_{A24}"),
    ("nvidia", "nv|api-{w64}"),
    ("langsmith", "ls|v2_pt_{h32}_{h10}"),
    ("tavily", "tv|ly-{A32}"),
    ("pinecone", "pc|sk_{A60}"),
    ("age", "AG|E-SECRET-KEY-1{U58}"),
    ("jwt", "ey|J{A33}.ey|J{A60}.{w43}"),
    ("vercel", "vc|p_{A56}"),
    ("render", "rn|d_{A32}"),
    ("tailscale", "ts|key-auth-{A12}-{A24}"),
    ("hubspot", "pa|t-na1-{h8}-{h4}-{h4}-{h4}-{h12}"),
    ("trello", "AT|TA{h64}"),
    ("razorpay", "rz|p_live_{A14}"),
    ("posthog", "ph|x_{A43}"),
    ("together", "tg|p_v1_{w43}"),
    ("onepassword", "A3|-{U6}-{U6}-{U5}-{U5}-{U5}-{U5}"),
];

pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap()
    }

    /// Fills in a template.
    pub(crate) fn fill(&mut self, template: &str) -> String {
        let (mut made, mut rest) = (String::new(), template);
        while let Some(first) = rest.chars().next() {
            let mut length = first.len_utf8();
            match first {
                '|' => {}
                '{' => {
                    let end = rest.find('}').unwrap();
                    let letters = match rest.as_bytes()[1] {
                        b'U' => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
                        b'h' => "0123456789abcdef",
                        b'd' => "123456789",
                        b'l' => "abcdefghijklmnopqrstuvwxyz0123456789",
                        _ => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                    };
                    for _ in 0..rest[2..end].parse::<usize>().unwrap() {
                        made.push(char::from(letters.as_bytes()[self.next() % letters.len()]));
                    }
                    length = end + 1;
                }
                other => made.push(other),
            }
            rest = &rest[length..];
        }
        made
    }
}

/// Returns four secrets of each format.
pub(crate) fn secrets() -> Vec<(&'static str, String)> {
    let each = |(number, (name, template)): (usize, &(&'static str, &str))| {
        let mut dice = Dice::new(number as u64 + 1);
        (0..4).map(|_| (*name, dice.fill(template))).collect::<Vec<_>>()
    };
    FORMATS.iter().enumerate().flat_map(each).collect()
}

/// Writes a secret in the syntax of a context.
pub(crate) type Write = fn(&str) -> String;

fn as_it_is(secret: &str) -> String {
    secret.to_owned()
}

pub(crate) fn base64(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in text.as_bytes().chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - group.len()));
        for at in 0..4 {
            out.push(if at <= group.len() { char::from(LETTERS[bits >> (18 - 6 * at) & 63]) } else { '=' });
        }
    }
    out
}

pub(crate) fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

pub(crate) fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").unwrap();
        out
    })
}

pub(crate) fn escapes(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "\\u00{byte:02x}").unwrap();
        out
    })
}

/// The text before the secret, the syntax of the secret, and the text after it.
pub(crate) const CONTEXTS: &[(&str, Write, &str)] = &[
    ("", as_it_is, ""),
    ("the new one is ", as_it_is, " and it works"),
    ("use `", as_it_is, "`, please"),
    ("```\n", as_it_is, "\n```"),
    ("x = \"", as_it_is, "\";"),
    ("x = '", as_it_is, "'"),
    ("(", as_it_is, ")"),
    ("<", as_it_is, ">"),
    ("- name: x\n  value: ", as_it_is, "\n"),
    ("export API_TOKEN=", as_it_is, "\necho done"),
    ("{\"api_key\": \"", as_it_is, "\"}"),
    ("{\\\"token\\\":\\\"", as_it_is, "\\\"}"),
    ("https://x.example/cb?access_token=", as_it_is, "&state=abc"),
    ("| name | ", as_it_is, " | yes |"),
    ("a,", as_it_is, ",b"),
    ("one line\\n", as_it_is, "\\nanother"),
    ("\u{1b}[32m", as_it_is, "\u{1b}[0m"),
    ("- old\n+", as_it_is, "\n"),
    ("<token>", as_it_is, "</token>"),
    ("curl -H 'Authorization: Bearer ", as_it_is, "' https://x.example"),
    ("Token: **", as_it_is, "**"),
    ("tool_", as_it_is, " x"),
    ("echo ", base64, " | base64 -d"),
    ("xxd ", hex, " end"),
    ("q=", percent, "&x=1"),
    ("{\"x\": \"", escapes, "\"}"),
];

/// Returns true for Fly, which joins several tokens by commas: text after a comma belongs to the secret.
pub(crate) fn is_joined(name: &str, before: &str) -> bool {
    name == "fly" && before == "a,"
}

#[test]
fn every_format_is_hidden_in_every_context() {
    let redactor = Redactor::secrets();
    let secrets = secrets();
    assert!(secrets.len() >= 300 && FORMATS.len() >= 60 && CONTEXTS.len() >= 20);
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for (name, secret) in &secrets {
        for (before, write, after) in CONTEXTS {
            if is_joined(name, before) {
                continue;
            }
            looked_at += 1;
            let text = format!("{before}{}{after}", write(secret));
            let Some((stored, found)) = redactor.redact(&text) else {
                wrong.push(format!("{name}: not found: {text}"));
                continue;
            };
            let marker = stored.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            if !marker.is_some_and(|marker| redactor.is_marker(marker)) || found.total() != 1 {
                wrong.push(format!("{name}: {text}\n    stored as {stored}"));
            } else if redactor.redact(&stored).is_some() {
                wrong.push(format!("{name}: changed a second time: {stored}"));
            }
        }
    }
    println!("{looked_at} texts of {} secrets of {} formats", secrets.len(), FORMATS.len());
    assert!(wrong.is_empty(), "{} of {looked_at} are wrong:\n{}", wrong.len(), shown(&wrong));
}

/// Returns the first error of each kind.
pub(crate) fn shown(wrong: &[String]) -> String {
    wrong.iter().take(150).cloned().collect::<Vec<_>>().join("\n")
}

/// Decodes the Base64 in a text, at every alignment of its groups.
fn from_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut said = Vec::new();
    for run in text.as_bytes().split(|byte| value(*byte).is_none()) {
        for first in 0..run.len().min(4) {
            for group in run[first..].chunks(4) {
                let bits = group.iter().fold(0, |bits, byte| bits << 6 | usize::from(value(*byte).unwrap()));
                let bits = bits << (6 * (4 - group.len()));
                said.extend([16, 8, 0].map(|at| (bits >> at & 0xff) as u8));
            }
            said.push(b'\n');
        }
    }
    said
}

#[test]
fn base64_text_is_found_at_every_alignment() {
    for text in ["a secret in it", "xa secret in it", "xya secret in it"] {
        let said = from_base64(&format!("[#{}] there", base64(text)));
        assert!(said.windows(8).any(|part| part == b"a secret"), "{text}");
    }
}

#[test]
fn a_secret_inside_of_encoded_text_is_hidden() {
    let redactor = Redactor::secrets();
    let mut wrong = Vec::new();
    for (number, (name, secret)) in secrets().into_iter().enumerate() {
        for (kind, inner) in [
            format!("{{\"env\":{{\"X\":\"{secret}\"}}}}"),
            format!("# a file of settings\nA=1\nAPI_TOKEN={secret}\nB=2\n"),
            format!("x {secret} y"),
        ]
        .into_iter()
        .enumerate()
        {
            // The secret begins at each position of a group of three.
            let inner = format!("{}{inner}", &"   "[..(number + kind) % 3]);
            for write in [base64, hex, percent, escapes] {
                let text = format!("see {} there", write(&inner));
                let stored = redactor.redact(&text).map(|(stored, _)| stored).unwrap_or(text);
                // All of it, except for the marker and the last letters.
                let written = write(&secret);
                let leaks = |written: &[u8], stored: &[u8], length: usize| {
                    written.windows(length).any(|part| stored.windows(length).any(|there| there == part))
                };
                let said = from_base64(&stored);
                if leaks(written.as_bytes(), stored.as_bytes(), 24) || leaks(secret.as_bytes(), &said, 12) {
                    wrong.push(format!("{name}: {stored}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), shown(&wrong));
}
