//! Text that agent tools read and write: arguments, results, environments, headers, command lines, configuration files.

use throughline_layers::redact::Redactor;

use crate::{expect_hidden_exactly, formats::base64};

/// Texts with the secrets between `«` and `»`.
const HIDDEN: &[&str] = &[
    // Docker and Kubernetes.
    "services:\n  db:\n    environment:\n      - POSTGRES_PASSWORD=«swordfish»\n      - TZ=UTC\n",
    "    environment:\n      MYSQL_ROOT_PASSWORD: «hunter2»\n      MYSQL_USER: bob\n",
    "docker run -e REDIS_PASSWORD='«hunter2»' -p 80:80 redis",
    "{\"auths\":{\"registry.example\":{\"auth\":\"«Ym9iOmh1bnRlcjI=»\"}}}",
    "kind: Secret\nstringData:\n  db-password: «hunter2»\n",
    "kind: Secret\ndata:\n  password: «aHVudGVyMg==»\n",
    "    Environment:\n      DB_PASSWORD:             «hunter2»\n      TZ:                      UTC\n",
    "kubectl create secret generic db --from-literal=password=«hunter2» --from-literal=user=bob",
    "helm install x ./x --set auth.password=«hunter2»,auth.user=bob",
    // Terraform, Ansible, clouds.
    "db_password = \"«hunter2»\"\nregion = \"eu\"\n",
    "ansible_become_pass=«hunter2»\nansible_user=bob\n",
    "https://b.s3.example/x?X-Amz-Expires=60&X-Amz-Signature=«9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08»&x=1",
    // Databases.
    "jdbc:postgresql://db:5432/x?user=bob&password=«hunter2»&ssl=true",
    "jdbc:sqlserver://db:1433;databaseName=x;user=sa;password=«Str0ng!Pass»;encrypt=true",
    "Driver={x};Server=db;UID=sa;PWD=«swordfish»;",
    "mongodb+srv://bob:«hunter2»@c.example/x?w=1",
    "mysql -u root -p'«hunter2»' db",
    // Headers and requests.
    "X-Vault-Token: «s.abc123DEF456ghi789JKL012mn»\r\n",
    "PRIVATE-TOKEN: «abc123def456ghi7»\r\n",
    "Ocp-Apim-Subscription-Key: «0123456789abcdef0123456789abcdef»\r\n",
    // Configuration files.
    "spring.datasource.user=bob\nspring.datasource.password=«swordfish»\nx=1\n",
    "[client]\nuser=bob\npassword=«swordfish»\n",
    "<entry key=\"password\">«hunter2»</entry>",
    "password: |\n  «hunter2»\nuser: bob\n",
    "password: >-\n    «hunter2»\nuser: bob\n",
    "password: | # of the database\n  «hunter2»\nuser: bob\n",
    "password: |\n                                        «hunter2»\nuser: bob\n",
    "password: |-\n  «swordfish\n  hunter2\n\n   tr0ub4dor»\n\nuser: bob\n",
    "token: >\r\n  «abc123def456\r\n  ghi789»\r\nuser: bob\r\n",
    "password = \"\"\"«hunt\"er2»\"\"\"\n",
    "password = \"\"\"\n«swordfish\nhunter2»\n\"\"\"\n",
    "password=«swordfish»\nuser=bob\n",
    // An invalid marker.
    "[redacted:70617373776f72643d«68756e74657232»#00000000]",
    "[client]\n    user=bob\n    password=«swordfish»\n",
    "password = '''«hunter2»'''\n",
    "password = \"\"\"«swordfish»\"\"\"\n",
    "[Peer]\nPresharedKey = «yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=»\n",
    "network={\n  ssid=\"x\"\n  psk=\"«swordfish»\"\n}",
    "bindpw: «hunter2»\n",
    "userPassword:: «e1NTSEF9aHVudGVyMg==»\n",
    "machine x.example\n      login bob\n      password «hunter2»\n",
    "bob:«{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=»\n",
    "APP_KEY=«base64:yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=»\n",
    "Environment=\"DB_PASSWORD=«hunter2»\"\n",
    // Commands.
    "declare -x DB_PASSWORD=\"«swordfish»\"\n",
    "$env:DB_PASSWORD = '«swordfish»'",
    "mount -t cifs -o username=bob,password=«hunter2»,uid=1000 //srv/x /m",
    "java -Djavax.net.ssl.keyStorePassword=«changeit1» -jar x",
    // Output of programs.
    "Config { user: \"bob\", password: Some(\"«swordfish»\") }",
    "Config { password: \"«swordfish»\" }",
    "otpauth://totp/x?secret=«JBSWY3DPEHPK3PXP»&issuer=x",
    "login(email: \"x\", password: \"«hunter2»\") { id }",
];

/// Texts without redactions.
const KEPT: &[&str] = &[
    "password: |\n  The password of the user.\nuser: bob1\n",
    "    password=user.password\n",
    "password = \"\"\"\nEnter your password,\nplease.\n\"\"\"\n",
    "password: !secret wifi_password\n",
    "Password: !GetAtt Db.Password1\n",
    "[\"password\", \"username\", \"email1\"]",
    "hash(\"password\", \"sha256\")",
    "| password | string | yes |\n| token | text | no |\n",
    "<td>Password</td><td>Required</td>",
    "<input name=\"password\" value=\"\"> <input name=\"token\" value=\"Token\">",
    "- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: db-1\n",
    "echo $PASSWORD | docker login -u bob --password-stdin",
    "docker run -p 8080:80 redis",
    "CREATE USER bob IDENTIFIED BY '${PASSWORD}'",
    "variable \"db_password\" {\n  type = string\n}\n",
    "auth=(\"bob\", \"<password>\")",
    "token::next(x1) and key:: value1",
    "set config value1 token",
    "secret \"db-1\" created",
    "password = \"\"\"\"\"\"\n",
    "password: Some(secret2)",
    "zip the password-list",
];

#[test]
fn secrets_of_tools_are_hidden_exactly() {
    expect_hidden_exactly(HIDDEN, KEPT);
}

#[test]
fn a_base64_registry_configuration_is_searched() {
    let file = format!("{{\"auths\":{{\"registry.example\":{{\"auth\":\"{}\"}}}}}}", base64("bob:hunter2"));
    let text = format!("data:\n  .dockerconfigjson: {}\n", base64(&file));
    let (stored, found) = Redactor::secrets().redact(&text).unwrap();
    assert!(stored.starts_with("data:\n  .dockerconfigjson: ") && stored.ends_with("]\n"), "{stored}");
    assert!(!stored.contains(&base64(&file)[base64(&file).len() - 12..]), "{stored}");
    assert_eq!(found.total(), 1);
}
