//! Secrets of every known format, generated at run time, so that this repository contains none.

use throughline::layers::redact::Redactor;

/// A text that contains a secret.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The rule that redacts the secret.
    pub(crate) rule: &'static str,
    pub(crate) before: String,
    pub(crate) secret: String,
    pub(crate) after: String,
}

impl Sample {
    pub(crate) fn text(&self) -> String {
        format!("{}{}{}", self.before, self.secret, self.after)
    }
}

/// Rules with templates: `<` and `>` enclose the secret, `|` is removed, and `{C9}` stands for nine random characters
/// of a class.
const TEMPLATES: &[(&str, &str)] = &[
    ("aws-access-key", "the key <AK|IA{U16}>, and"),
    ("aws-access-key", r"line\n<AS|IA{U16}>\n"),
    ("aws-secret-key", "AWS_SECRET_ACCESS_KEY = <{b40}>\n"),
    ("aws-session-token", "aws_session_token=<{b200}> end"),
    ("google-api-key", "?key=<AI|za{w35}>&x"),
    ("google-oauth-token", "<ya|29.{w60}> end"),
    ("google-oauth-secret", "x <GOC|SPX-{w28}> y"),
    ("google-refresh-token", "x <1/|/0{w40}> y"),
    ("azure-storage-key", "AccountName=a;AccountKey=<{b86}==>;EndpointSuffix=core"),
    ("azure-sas-signature", "https://a.blob/x?sv=1&sig=<{b43}%3D> "),
    ("azure-client-secret", "abc<8Q|~{w33}> z"),
    ("alibaba-access-key", "id <LT|AI{A20}>."),
    ("tencent-secret-id", "id <AK|ID{A32}>."),
    ("digitalocean-token", "do <do|p_v1_{h64}> x"),
    ("heroku-key", "key <HR|KU-{w36}> x"),
    ("cloudflare-origin-key", "cf <v1|.0-{h24}-{h146}> x"),
    ("fly-token", "fly <fm|2_{b60}> x"),
    ("vault-token", "vault <hv|s.{A24}> x"),
    ("terraform-token", "tf <atl|asv1.{w67}> x"),
    ("pulumi-token", "<pu|l-{h40}> x"),
    ("doppler-token", "<dp|.pt.{A43}> x"),
    ("databricks-token", "(<da|pi{h32}>)"),
    ("planetscale-token", "<psc|ale_tkn_{w43}> x"),
    ("supabase-token", "<sb|p_{h40}> x"),
    ("netlify-token", "<nf|p_{A40}> x"),
    ("newrelic-key", "<NR|AK-{U27}> x"),
    ("grafana-token", "<gl|sa_{A32}_{h8}> x"),
    ("sentry-token", "<sn|trys_{b80}> x"),
    ("dynatrace-token", "<dt|0c01.{U24}.{U64}> x"),
    ("launchdarkly-key", "<sd|k-{h8}-{h4}-{h4}-{h4}-{h12}> x"),
    ("github-token", "token is <gh|p_{A36}>."),
    ("github-token", "https://<gh|o_{A36}>:x-oauth-basic@github.com/a/b"),
    ("github-fine-grained-token", "<git|hub_pat_{A22}_{A59}> x"),
    ("gitlab-token", "<gl|pat-{w20}> x"),
    ("bitbucket-token", "<AT|BB{A32}> x"),
    ("atlassian-token", "<AT|ATT3{w180}={U8}> x"),
    ("npm-token", "//registry/:_auth <np|m_{A36}>\n"),
    ("pypi-token", "<py|pi-AgE{w100}> x"),
    ("rubygems-key", "<rub|ygems_{h48}> x"),
    ("crates-io-token", "<ci|o{A32}> x"),
    ("nuget-key", "<oy|2{l43}> x"),
    ("docker-token", "<dck|r_pat_{w27}> x"),
    ("artifactory-key", "<AK|Cp{A69}> x"),
    ("sonar-token", "<sq|p_{h40}> x"),
    ("circleci-token", "<CC|IPAT_{A22}_{h40}> x"),
    ("linear-key", "<li|n_api_{A40}> x"),
    ("notion-token", "<nt|n_{A46}> x"),
    ("figma-token", "<fi|gd_{w40}> x"),
    ("postman-key", "<PM|AK-{h24}-{h34}> x"),
    ("airtable-token", "<pa|t{A14}.{h64}> x"),
    ("slack-token", "<xo|xb-{d12}-{d12}-{A24}> x"),
    ("slack-app-token", "<xa|pp-1-{U11}-{d13}-{h64}> x"),
    ("slack-webhook", "https://hooks.slack.com/services/<T{U8}/B{U8}/{A24}> x"),
    ("discord-bot-token", "<M|T{A22}.{w6}.{w38}> x"),
    ("discord-webhook", "https://discord.com/api/webhooks/<{d18}/{w68}> x"),
    ("telegram-bot-token", "bot <{d10}:A|A{w33}> x"),
    (
        "teams-webhook",
        "https://x.webhook.office.com/webhookb2/<{h8}-{h4}-{h4}-{h4}-{h12}@{h36}/IncomingWebhook/{h32}> x",
    ),
    ("zapier-webhook", "https://hooks.zapier.com/hooks/catch/<{d7}/{l7}> x"),
    ("twilio-key", "<S|K{h32}> x"),
    ("sendgrid-key", "<S|G.{w22}.{w43}> x"),
    ("mailgun-key", "<ke|y-{h32}> x"),
    ("mailchimp-key", "<{h32}-u|s12> x"),
    ("brevo-key", "<xk|eysib-{h64}-{A16}> x"),
    ("resend-key", "<re|_{A8}_{A24}> x"),
    ("stripe-key", "<sk|_live_{A24}> x"),
    ("webhook-signing-secret", "<wh|sec_{b32}> x"),
    ("square-token", "<EA|AA{w60}> x"),
    ("braintree-token", "<acc|ess_token$production${l16}${h32}> x"),
    ("shopify-token", "<sh|pat_{h32}> x"),
    ("plaid-token", "<acc|ess-production-{h8}-{h4}-{h4}-{h4}-{h12}> x"),
    ("flutterwave-key", "<FLW|SECK_TEST-{h32}-X> x"),
    ("anthropic-key", "<sk|-ant-api03-{w93}AA> x"),
    ("openrouter-key", "<sk|-or-v1-{h64}> x"),
    ("openai-key", "<sk|-proj-{w80}> x"),
    ("openai-key", "<sk|-{A20}T3Blbk|FJ{A20}> x"),
    ("sk-key", "<sk|-{A48}> x"),
    ("elevenlabs-key", "<sk|_{h48}> x"),
    ("huggingface-token", "<h|f_{A34}> x"),
    ("groq-key", "<gs|k_{A52}> x"),
    ("replicate-token", "<r|8_{A37}> x"),
    ("perplexity-key", "<pp|lx-{A48}> x"),
    ("xai-key", "<xa|i-{A80}> x"),
    ("fireworks-key", "<f|w_{A24}> x"),
    ("cerebras-key", "<cs|k-{l48}> x"),
    ("nvidia-key", "<nv|api-{w64}> x"),
    ("langsmith-key", "<ls|v2_pt_{h32}_{h10}> x"),
    ("tavily-key", "<tv|ly-{A32}> x"),
    ("pinecone-key", "<pc|sk_{A60}> x"),
    ("mailgun-sending-key", "<{h32}-{h8}-{h8}> x"),
    ("vercel-token", "<vc|p_{A56}> x"),
    ("render-key", "<rn|d_{A32}> x"),
    ("tailscale-key", "<ts|key-auth-{A12}-{A24}> x"),
    ("supabase-secret-key", "<sb|_secret_{w31}> x"),
    ("neon-key", "<na|pi_{l40}> x"),
    ("upstash-token", "<AX{A2}AS|Q{b40}> x"),
    ("scaleway-key", "<SC|W{U17}> x"),
    ("yandex-key", "<AQ|VN{w36}> x"),
    ("openshift-token", "<sha|256~{w43}> x"),
    ("harness-token", "<pa|t.{w22}.{h24}.{A20}> x"),
    ("infracost-key", "<ic|o-{A32}> x"),
    ("prefect-key", "<pn|u_{A36}> x"),
    ("snyk-token", "<sn|yk_uat.{l8}.{A40}> x"),
    ("sourcegraph-token", "<sg|p_{h40}> x"),
    ("buildkite-token", "<bk|ua_{h40}> x"),
    ("clojars-token", "<CLO|JARS_{l60}> x"),
    ("octopus-key", "<AP|I-{U26}> x"),
    ("gitlab-runner-token", "<GR1|348941{w20}> x"),
    ("jfrog-reference-token", "<cmVm|dGtu{A56}> x"),
    ("azure-devops-token", "<{A76}AZ|DO{A4}> x"),
    ("amazon-bedrock-key", "<AB|SK{b80}> x"),
    ("posthog-key", "<ph|x_{A43}> x"),
    ("langfuse-key", "<sk|-lf-{h8}-{h4}-{h4}-{h4}-{h12}> x"),
    ("firecrawl-key", "<f|c-{h32}> x"),
    ("jina-key", "<ji|na_{w60}> x"),
    ("together-key", "<tg|p_v1_{w43}> x"),
    ("voyage-key", "<pa|-{w43}> x"),
    ("n8n-key", "<n8|n_api_{A40}> x"),
    ("contentful-token", "<CF|PAT-{w43}> x"),
    ("adobe-secret", "<p8|e-{w32}> x"),
    ("mapbox-token", "<s|k.ey|J{w60}.{w22}> x"),
    ("maxmind-key", "<{A6}_{A29}_m|mk> x"),
    ("dropbox-token", "<s|l.{w80}> x"),
    ("trello-token", "<AT|TA{h64}> x"),
    ("asana-token", "<1|/{d16}:{h32}> x"),
    ("clickup-token", "<p|k_{d8}_{U32}> x"),
    ("hubspot-token", "<pa|t-na1-{h8}-{h4}-{h4}-{h4}-{h12}> x"),
    ("typeform-token", "<tf|p_{w59}> x"),
    ("readme-key", "<rd|me_{l70}> x"),
    ("shippo-token", "<ship|po_live_{h40}> x"),
    ("easypost-key", "<EZ|AK{A54}> x"),
    ("duffel-token", "<duff|el_test_{w43}> x"),
    ("razorpay-key", "<rz|p_live_{A14}> x"),
    ("facebook-token", "<EA|A{A80}> x"),
    ("onepassword-token", "<op|s_ey|J{b120}> x"),
    ("onepassword-secret-key", "<A3|-{U6}-{U6}-{U5}-{U5}-{U5}-{U5}> x"),
    ("okta-token", "SSWS <00{w40}> x"),
    ("extended-private-key", "<xp|rv{d107}> x"),
    ("databricks-oauth-secret", "<do|se{h32}> x"),
    ("command-password", "curl -u admin:<{A8}7{A4}> https://x.example"),
    ("password-hash", "<$6|$salt{A8}${A86}> x"),
    ("age-key", "<AG|E-SECRET-KEY-1{U58}> x"),
    ("signed-url", "https://x.example/a?X-Amz-Signature=<{h64}>"),
    ("jwt", "cookie <ey|J{w33}.ey|J{w60}.{w43}>; x"),
    (
        "private-key",
        "<-----BE|GIN RSA PRI|VATE KEY-----\n{b64}\n{b64}\n{b24}==\n-----E|ND RSA PRI|VATE KEY-----> after",
    ),
    (
        "private-key",
        "<-----BE|GIN OPENSSH PRI|VATE KEY-----\n{b70}\n{b30}\n-----E|ND OPENSSH PRI|VATE KEY-----> after",
    ),
    ("private-key", "<-----BE|GIN PGP PRI|VATE KEY BLOCK-----\n\n{b64}\n{b64}> never ended"),
    ("authorization-header", "Authorization: Bearer <{w40}>\r\n"),
    ("authorization-header", "\"authorization\": \"Basic <{b28}>\""),
    ("bearer-token", "send bearer <{A20}7{A10}> along"),
    ("api-key-header", "x-api-key: <{A20}7{A10}>\r\n"),
    ("url-password", "postgres://admin:<{A14}>@db.example:5432/x"),
    ("url-password", "redis://:<{A14}>@cache/0"),
    ("url-password", "mongodb+srv://user:<{A10}%21{A4}>@cluster/x"),
    ("assignment", "password=<{A6}7{A5}>\n"),
    ("assignment", "DB_PASSWORD: \"<{A12}>\""),
    ("assignment", "{\\\"secret\\\": \\\"<{A12}>\\\"}"),
    ("assignment", "api_key=<{A30}7{A120}> end"),
];

/// Returns every sample. They are the same in each run.
pub(crate) fn samples() -> Vec<Sample> {
    TEMPLATES
        .iter()
        .enumerate()
        .map(|(number, (rule, template))| sample(number as u64, rule, template))
        .collect()
}

fn sample(number: u64, rule: &'static str, template: &str) -> Sample {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    let mut parts = [String::new(), String::new(), String::new()];
    let (mut part, mut rest) = (0, template);
    while let Some(first) = rest.chars().next() {
        let kind = rest[1..].chars().next();
        match (first, kind) {
            ('<', _) if part == 0 => part = 1,
            ('>', _) if part == 1 => part = 2,
            ('|', _) => {}
            ('{', Some(kind)) if "UAhwbld".contains(kind) => {
                let end = rest.find('}').unwrap();
                let letters: Vec<char> = letters(kind).chars().collect();
                for _ in 0..rest[2..end].parse::<usize>().unwrap() {
                    parts[part].push(letters[next() % letters.len()]);
                }
                rest = &rest[end..];
            }
            (other, _) => parts[part].push(other),
        }
        rest = &rest[rest.chars().next().unwrap().len_utf8()..];
    }
    let [before, secret, after] = parts;
    Sample { rule, before, secret, after }
}

fn letters(kind: char) -> &'static str {
    match kind {
        'U' => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        'h' => "0123456789abcdef",
        'd' => "123456789",
        'l' => "abcdefghijklmnopqrstuvwxyz0123456789",
        'w' => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        'b' => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        _ => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    }
}

/// The shortest part of a secret, in bytes, that counts as a leak.
pub(crate) const WINDOW: usize = 8;

/// Returns the rule of a secret of which `bytes` contain a part.
pub(crate) fn leak(samples: &[Sample], bytes: &[u8]) -> Option<String> {
    let windows: std::collections::HashMap<&[u8], &str> = samples
        .iter()
        .flat_map(|sample| {
            // The header and the footer of a private key are not secret, and occur in other messages of the test.
            let secret = sample.secret.as_bytes();
            let from = if sample.rule == "private-key" { 40 } else { 0 };
            let to = if sample.rule == "private-key" { secret.len() - 40 } else { secret.len() };
            secret[from..to].windows(WINDOW).map(|window| (window, sample.rule))
        })
        .collect();
    let found = bytes.windows(WINDOW).enumerate();
    let mut found = found.filter_map(|(at, window)| windows.get(window).map(|rule| (at, *rule)));
    // Some secrets begin with the name of their rule.
    let (_, rule) = found.find(|(at, rule)| !rule.as_bytes().starts_with(&bytes[*at..*at + WINDOW]))?;
    Some(rule.to_owned())
}

#[test]
fn every_format_is_redacted_and_redaction_is_idempotent() {
    let redactor = Redactor::secrets();
    let samples = samples();
    let rules: std::collections::BTreeSet<&str> = samples.iter().map(|sample| sample.rule).collect();
    assert!(rules.len() >= 80, "{} rules", rules.len());
    for sample in &samples {
        let (text, found) = redactor.redact(&sample.text()).unwrap_or_else(|| panic!("{sample:?}"));
        assert!(leak(std::slice::from_ref(sample), text.as_bytes()).is_none(), "{} {text}", sample.rule);
        assert!(found.get(sample.rule) >= 1, "{}: {found}", sample.rule);
        assert!(
            text.starts_with(&sample.before) || sample.before.starts_with("https://"),
            "{}: {text}",
            sample.rule
        );
        assert!(
            sample.after == " never ended" || text.ends_with(&sample.after) || sample.after.contains('@'),
            "{}: {text}",
            sample.rule
        );
        assert_eq!(redactor.redact(&text), None, "{}: a second time", sample.rule);
    }
    let known = throughline::layers::redact::Rules::secrets();
    let missing: Vec<&str> = known.names().into_iter().filter(|name| !rules.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "rules without a sample");
}

/// Returns one secret for each of several formats.
fn formats() -> Vec<String> {
    vec![
        format!("AKIA{}", "ABCD2345".repeat(2)),
        format!("ghp_{}", "a1B2".repeat(9)),
        format!("sk-ant-{}", "a1B2".repeat(6)),
        format!("xoxb-{}", "1234567890"),
        "postgres://me:p4ssw@db".to_owned(),
        format!("npm_{}", "a1B2".repeat(9)),
        format!("sk_live_{}", "a1B2".repeat(5)),
        "password=\"hunter22\"".to_owned(),
        "password=hunter22;".to_owned(),
        format!("AIza{}", "a1B2c".repeat(7)),
        format!("SK{}", "0123abcd".repeat(4)),
        format!("hvs.{}", "a1B2".repeat(6)),
        format!("{}-us1", "0123abcd".repeat(4)),
    ]
}

#[test]
fn redaction_of_adjacent_secrets_is_idempotent() {
    let redactor = Redactor::secrets();
    let mut failed = Vec::new();
    for one in formats() {
        for between in ["", " ", "@", "_", "-", "é"] {
            for two in formats() {
                let text = format!("{one}{between}{two}");
                let once = redactor.redact(&text).unwrap().0;
                if let Some((twice, _)) = redactor.redact(&once) {
                    failed.push(format!("{text}\n  {once}\n  {twice}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} {}", failed.len(), failed.join("\n"));
}
