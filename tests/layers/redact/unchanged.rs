//! Text without a secret stays unchanged, byte for byte.

use throughline::layers::redact::Redactor;

/// Text, code, ids, hashes and pictures.
fn ordinary() -> Vec<String> {
    let picture = |length: usize| {
        let letters: Vec<char> =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".chars().collect();
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            letters[usize::try_from(state >> 58).unwrap()]
        };
        (0..length).map(|_| next()).collect::<String>()
    };
    let mut texts: Vec<String> = [
        "The quick brown fox asks: is the secret of a good password its length? token by token.",
        "0190b6c2-7c1f-7a3e-9a4e-2f0b8f1d2c3e 550e8400-e29b-41d4-a716-446655440000",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "commit 83baae61804e65cc73a7201a7252750c76066a30",
        "fn main() { let token = next_token2(); let password = self.password; connect(user, password) }",
        "password = os.environ[\"DB_PASSWORD\"]\napi_key=${API_KEY}\ntoken: <your-token>\nsecret: null",
        "max_tokens: 4096, total_tokens=123456, tokens: 17, cache_key: abc",
        "def f(password: str, token: Optional[str] = None) -> None:",
        "https://example.com:8080/path?q=1 git@github.com:a/b.git http://localhost:3000/@fs/x",
        "task-force disk-drive risk-averse ask-me sk-learn pk_name key-value us1 key-3 hf_hub re_match",
        "AKIA is how the ids of keys begin, sk-ant- others, and ghp_ those of hosts; -----BEGIN CERTIFICATE-----",
        "eyJhbGciOiJub25lIn0 alone is a header, and [redacted:jwt#00000000] is ordinary user text",
        "Authorization: Bearer <token>, or just bearer authentication-by-another-user",
        "\u{0}\u{1b}[31mred\u{1b}[0m é🦀 \\n \\u0041",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push(format!("data:image/png;base64,{}", picture(200_000)));
    texts
}

#[test]
fn ordinary_text_is_not_changed() {
    for text in ordinary() {
        if let Some((_, found)) = Redactor::secrets().redact(&text) {
            panic!("{found} in {}", &text[..text.len().min(100)]);
        }
    }
}

#[test]
fn transcripts_without_secrets_are_not_changed() {
    // Only if transcripts are available.
    let Ok(folder) = std::env::var("THROUGHLINE_TRANSCRIPTS") else {
        eprintln!("SKIPPED: transcripts (THROUGHLINE_TRANSCRIPTS names no folder)");
        return;
    };
    let mut folders = vec![std::path::PathBuf::from(folder)];
    let (mut lines, mut hidden) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            for line in text.lines() {
                lines += 1;
                if let Some((_, found)) = Redactor::secrets().redact(line) {
                    hidden.push(format!("{}: {found}", path.display()));
                }
            }
        }
    }
    assert!(lines > 100 && hidden.is_empty(), "{lines} lines, {hidden:#?}");
}
