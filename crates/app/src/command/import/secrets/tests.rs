use super::{Cut, TextPosition, cut, cut_word, is_secret_name};

fn shown(parts: &[Cut<'_>]) -> String {
    parts.iter().map(|part| if part.secret { "…" } else { part.text }).collect()
}

/// ATK-281: a secret is recognised by its name, or by its shape under any name. Only `CANARY` is a secret here.
#[test]
fn a_secret_is_known_by_its_name_or_by_its_shape() {
    for (name, value, expected) in [
        ("DB_PASS", "CANARY", "…"),
        ("MYSQL_PWD", "CANARY", "…"),
        ("PGPASSWORD", "CANARY", "…"),
        ("GITHUB_TOKEN", "CANARY", "…"),
        ("OPENAI_API_KEY", "CANARY", "…"),
        ("ApiKey", "CANARY", "…"),
        ("JIRA_PAT", "CANARY", "…"),
        ("SESSION_ID", "CANARY", "…"),
        ("DATABASE_URI", "postgresql://app:CANARY@localhost/app", "postgresql://app:…@localhost/app"),
        ("URL", "mysql://root:CAN#ARY@h/x@y", "mysql://root:…@y"),
        ("URL", "redis://:CANARY@h:6379/0", "redis://:…@h:6379/0"),
        ("URL", "https://ghp_CANARYCANARY@github.com/x", "https://…@github.com/x"),
        ("URL", "https://h/mcp?api_key=CANARY&x=1", "https://h/mcp?api_key=…&x=1"),
        ("URL", "https://h/mcp?code=CANARY", "https://h/mcp?code=…"),
        ("URL", "https://h/s/CANARY8CANARY8CANARY8/mcp", "https://h/s/…/mcp"),
        ("URL", "https://h/token/CANARY", "https://h/token/…"),
        ("URL", "https://h/550e8400-e29b-41d4-a716-446655440000/mcp", "https://h/…/mcp"),
        (
            "SLACK",
            "https://hooks.slack.com/services/T00/B00/CANARY8CANARY8CANARY8X",
            "https://hooks.slack.com/services/T00/B00/…",
        ),
        ("DSN", "root:CANARY@tcp(localhost:3306)/app", "…"),
        ("DSN", "host=db user=app password=CANARY", "…"),
        ("CONNECTION", "Server=db;User=sa;Password=CANARY", "…"),
        ("STORAGE", "AccountName=a;AccountKey=CANARY==", "…"),
        ("API_HEADERS", "{\"Authorization\": \"Bearer CANARY\"}", "…"),
        ("LIST", "[{\"password\": 12345}]", "…"),
        ("X", "Bearer CANARY", "…"),
        ("X", "Authorization: Bearer CANARY", "Authorization: …"),
        ("X", "sk-CANARYCANARY12", "…"),
        ("X", "-----BEGIN PRIVATE KEY-----\nCANARY", "…"),
        ("X", "eyJCANARYCANARY.eyJ.sig", "…"),
        ("X", "CANARYcanary0CANARY/canary+CANARY12", "…"),
    ] {
        assert_eq!(shown(&cut(TextPosition::Named, name, value)), expected, "{name}={value}");
    }
    for name in ["Cookie", "X-Auth", "X-Anything", "Authorization"] {
        assert_eq!(shown(&cut(TextPosition::Header, name, "CANARY")), "…", "{name}");
    }
}

#[test]
fn what_is_no_secret_stays_readable() {
    for (name, value) in [
        ("LEVEL", "info"),
        ("PORT", "8080"),
        ("AUTH_TYPE", "oauth"),
        ("TOKEN_URL", "https://h.example/oauth/token"),
        ("PASSWORD_FILE", "/run/secrets/db"),
        ("CLIENT_ID", "my-client"),
        ("AUTHOR", "me"),
        ("KEYCLOAK_URL", "https://h.example:8443/realms/x"),
        ("API_TOKEN", ""),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("HOMEPAGE", "https://h.example:8080/docs/@scope/page?lang=en"),
        ("IMAGE", "ghcr.io/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("DIR", "/home/me/.cache/0123456789abcdef0123/x"),
        ("NAME", "model-context-protocol-server-everything"),
    ] {
        assert_eq!(shown(&cut(TextPosition::Named, name, value)), value, "{name}={value}");
    }
    assert_eq!(shown(&cut(TextPosition::Header, "User-Agent", "me/1.0")), "me/1.0");
    assert_eq!(shown(&cut(TextPosition::Header, "Authorization", "Bearer ")), "Bearer ");
}

#[test]
fn a_secret_on_a_command_line_is_found_in_every_position() {
    for (before, word, expected) in [
        ("--api-key", "CANARY", "…"),
        ("", "--token=CANARY", "--token=…"),
        ("-e", "GITHUB_TOKEN=CANARY", "GITHUB_TOKEN=…"),
        ("", "postgresql://app:CANARY@h/db", "postgresql://app:…@h/db"),
        ("--connection-string", "Server=db;User=sa;Password=CANARY", "…"),
        ("--password", "CAN=ARY", "…"),
        ("--db", "postgres://u:12345@h/x", "postgres://u:…@h/x"),
        ("--dsn", "User=sa;Password=CANARY", "User=…"),
        ("", "Password=CANARY;User=sa", "Password=…"),
        ("--header", "Authorization: Bearer CANARY", "Authorization: …"),
        ("-H", "X-Team: CANARY", "X-Team: …"),
        ("", "--header=X-Api-Key:CANARY", "--header=X-Api-Key:…"),
        ("--url", "https://h/mcp?key=CANARY", "https://h/mcp?key=…"),
        ("", "--url=https://h/mcp?key=CANARY", "--url=https://h/mcp?key=…"),
        ("-u", "me:CANARY", "…"),
        ("", "ghp_CANARYCANARY", "…"),
        ("-y", "@scope/server-everything@2025.11.25", "@scope/server-everything@2025.11.25"),
        ("run", "npm:@scope/pkg@1.2.3", "npm:@scope/pkg@1.2.3"),
        (
            "--from",
            "git+https://github.com/a/b@0123456789abcdef0123456789abcdef01234567",
            "git+https://github.com/a/b@0123456789abcdef0123456789abcdef01234567",
        ),
        ("--token", "--verbose", "--verbose"),
        ("", "server.js", "server.js"),
        ("--config", "/etc/x.json", "/etc/x.json"),
    ] {
        assert_eq!(shown(&cut_word(before, word)), expected, "{before} {word}");
    }
}

#[test]
fn names_are_read_in_words() {
    for name in ["XApi-Key", "xApiKey", "X_API_KEY", "api-key", "clientSecret", "Ocp-Apim-Subscription-Key", "PW"] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in ["AUTHOR", "KEYBOARD", "PATTERN", "SESSION", "key_id", "", "monkey", "spin", "compass"] {
        assert!(!is_secret_name(name), "{name}");
    }
}
