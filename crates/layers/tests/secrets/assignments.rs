//! Values that are known by their assignment, with the exact stored text.

use throughline_layers::redact::Redactor;

use crate::{
    expect_hidden_exactly,
    formats::{Dice, shown},
};

/// Texts with the secret between `«` and `»`.
const HIDDEN: &[&str] = &[
    "password=«hunter2»",
    "password=«p%40ss7word»&user=bob",
    "user=bob&password=«hunter2»&remember=1",
    "POST /login?user=bob&pwd=«hunter2»&x=1 HTTP/1.1",
    "https://x.example/?api_key=«k3yk3yk3y»&x=1#top",
    "client_secret=«abcDEF123==»&grant_type=x",
    "SECRET_KEY=«c2VjcmV0LWtleS0xMjM0NQ==»\n",
    "password=«pa$$w0rd»",
    "password=«$3cret!x»",
    "password=«(p4ss)w0rd»",
    "password=«p(ss)w0rd» next",
    "DB_PASSWORD=«hunter(2»\n",
    "password=«pässwört1»\n",
    "password: «žluťoučký9»\n",
    "password=\"«correct horse battery staple»\"",
    "passphrase: '«tr0ub4dor horse 3»'",
    "Password: `«hunter2»`",
    "**Password:** `«hunter2»`",
    "**Password**: «hunter2»",
    "Password: **«hunter2»**",
    "| password | `x` |\nPassword: `«swordfish»`",
    "DB_PASSWORD=«swordfish»\n",
    "export AWS_SECRET_ACCESS_KEY=«wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzz12»\n",
    "aws_secret_access_key = «wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzzzz12»\n",
    "X-Api-Key: «abc123def456»\r\n",
    "x-auth-token: «abc123def456»\r\n",
    "Authorization: Basic «dXNlcjpwYXNzd29yZA==»\r\n",
    "Proxy-Authorization: Basic «dXNlcjpwYXNzd29yZA==»\r\n",
    "Cookie: «session=abc123; csrf=def456»\r\n",
    "mysql --password «hunter2» -u root",
    "tool --token=«abc123def» --verbose",
    "tool --api-key «abc123def456» --verbose",
    "curl -u admin:«hunter2» https://x.example",
    "curl --user admin:«s3cr3t!» https://x.example",
    "sshpass -p «hunter2» ssh root@host",
    "docker login -u bob -p «hunter2swordfish» registry.example",
    "podman login registry.example --username bob -p '«swordfish»'",
    "redis-cli -h cache -a «swordfish» ping",
    "redis-cli --pass «swordfish» ping",
    "openssl rsa -passin pass:«swordfish» -in key.pem",
    "openssl enc -aes-256-cbc -pass pass:«sw0rdfish» -in x",
    "htpasswd -b .htpasswd bob «swordfish»",
    "htpasswd -c -bB /etc/htpasswd bob «swordfish»",
    "CREATE USER 'app'@'%' IDENTIFIED BY '«swordfish»';",
    "ALTER USER app WITH PASSWORD '«swordfish»';",
    "create role app with encrypted password '«swordfish»';",
    "machine x.example login bob password «hunter2»\n",
    "postgres://bob:«p/ss@w0rd»@db.example:5432/x",
    "postgres://bob:«p@ssw0rd»@db.example/x?sslmode=on",
    "redis://:«abc123»@cache:6379/0",
    "amqp://guest:«gu/est»@mq",
    "the password is «hunter2» for now",
    "the API key is «abc123def456» for now",
    "API key: «abc123def456»",
    "Secret Access Key: «wJalrXUtnFEMI7K7MDENG»",
    "<password>«hunter2»</password>",
    "<DbPassword>«swordfish»</DbPassword>",
    "Server=x;User Id=bob;Password=«hunter2»;Encrypt=true",
    "{\"password\": \"«hunter2»\"}",
    "{\\\"password\\\": \\\"«hunter2»\\\"}",
    "{\\\\\\\"password\\\\\\\": \\\\\\\"«hunter2»\\\\\\\"}",
    "&quot;password&quot;: &quot;«hunter2»&quot;",
    "{'new_password': '«hunter2»'}",
    "password => '«hunter2»',",
    "$password = \"«hunter2»\";",
    "const DB_PASS = '«hunter2»';",
    "password := \"«hunter2»\"",
    "env[\"DB_PASSWORD\"] = \"«hunter2»\"",
    "-e POSTGRES_PASSWORD=«hunter2» postgres",
    "PGPASSWORD=«hunter2» psql",
    "password: «hunter2»\n",
    "password: «12345678»\n",
    "  secret: «s3cr3tvalue»\n",
    "//registry.example/:_authToken=«abc123def456»\n",
    "PrivateKey = «yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=»\n",
    "password=«hunter2»; echo",
    "(password: «hunter2»)",
    "password: «hunter2».",
    "password=«hunter2», user=x",
    "hash $6$x is «$6$rounds=5000$saltsaltsalt$abcdefghijklmnopqrstuvwxyz0123»",
];

/// Texts without redactions.
const KEPT: &[&str] = &[
    "tokens: 512, max_tokens=4096, token_count = 12",
    "next_page_token=abc123def456",
    "password=${PASSWORD}",
    "password=$PASSWORD",
    "password: {{ password }}",
    "password = os.environ[\"DB_PASSWORD\"]",
    "password = getpass.getpass()",
    "token = self.token2",
    "let token: u64 = 12;",
    "token: Option<String>,",
    "token = next_token(input)",
    "key: value1, sort_key=created2",
    "password: \"Enter your password\"",
    "Password: required",
    "fn password(&self) -> &str",
    "password_file=/run/secrets/db1",
    "secret: SecretString::new(x1)",
    "if token == TokenKind::Ident2 {",
    "public_key=abc123def456",
    "see https://localhost:8080/a@b and http://x:443/@me",
    "the token is invalid",
    "password: <your password>",
    "api_key=YOUR_API_KEY",
    "auth: true",
    "token: uint256",
    "primaryKey: id_1234567",
    "a key: \"ArrowUp\"",
    "password: string; token: string",
    "https://x.example/a%20b%2Fc%3Dd?x=1",
];

#[test]
fn assigned_values_are_hidden_exactly() {
    expect_hidden_exactly(HIDDEN, KEPT);
}

#[test]
fn names_joints_and_values_are_hidden_in_every_combination() {
    let redactor = Redactor::secrets();
    let names = [
        "password",
        "DB_PASSWORD",
        "new_password",
        "clientSecret",
        "aws-secret_accessKey",
        "X-Api-Key",
        "access_token",
    ];
    let joints: &[(&str, &str)] = &[
        ("=", "\n"),
        ("=", "&x=1"),
        (": ", "\n"),
        (" = ", "\n"),
        ("=\"", "\""),
        (": \"", "\","),
        ("\": \"", "\"}"),
        (": '", "'"),
        (": `", "`"),
        ("\\\":\\\"", "\\\""),
        (" => \"", "\""),
        ("=", " --x"),
        (" := `", "`"),
        ("=", ";"),
    ];
    let values = [
        "{A12}7",
        "{l6}7{l3}!",
        "{b40}7==",
        "{A5}7${A4}",
        "{A5}(7{A3})",
        "{A8}7é{A4}",
        "{h32}7a",
        "{A6}%2F7{A9}",
        "{b12}+/7{b3}",
    ];
    let (mut wrong, mut dice) = (Vec::new(), Dice::new(99));
    for name in names {
        for (joint, after) in joints {
            for value in values {
                let secret = dice.fill(value);
                let before = format!("x {name}{joint}");
                let text = format!("{before}{secret}{after}");
                let stored = redactor.redact(&text).map(|(stored, _)| stored).unwrap_or(text);
                let marker = stored.strip_prefix(&before).and_then(|rest| rest.strip_suffix(after));
                if !marker.is_some_and(|marker| redactor.is_marker(marker)) {
                    wrong.push(format!("{before}«{secret}»{after}\n    stored as {stored}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), shown(&wrong));
}

#[test]
fn a_value_in_quotes_that_ends_in_a_backslash_is_hidden() {
    let redactor = Redactor::secrets();
    for quote in ['"', '\''] {
        for length in [7, 509, 510, 511, 512, 513] {
            let value: String = "hunter2x".chars().cycle().take(length).collect();
            let text = format!("password={quote}{value}\\");
            let (stored, found) = redactor.redact(&text).unwrap_or_else(|| panic!("{length}: not found"));
            let marker = stored.strip_prefix(&format!("password={quote}")).unwrap();
            // After 512 bytes a backslash belongs to no secret.
            let marker = marker.strip_suffix('\\').filter(|_| length > 511).unwrap_or(marker);
            assert!(redactor.is_marker(marker), "{length}: {stored}");
            assert_eq!(found.total(), 1);
        }
    }
}
