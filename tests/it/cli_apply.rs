//! `sonde plan`, `apply` and `export`, against a server that speaks their part of the API.

mod server;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sonde_tests::certificates::Authority;
use sonde_tests::sonde::{Output, Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tls::TlsServer;
use sonde_tests::wait_until;

use self::server::Server;

/// A port on which nothing listens.
const NOBODY: &str = "http://127.0.0.1:1";

const PATIENCE: Duration = Duration::from_secs(30);

const TWO: &str = "\
defaults: { regions: [fra] }
monitors:
  shop: { http: 'https://shop.example/${PATH_:-health}', interval: 30s }
  db: { tcp: 'db.example:5432' }
";

const ONE: &str =
    "{ defaults: { regions: [fra] }, monitors: { db: { tcp: 'db.example:5433' } } }\n";

struct Shell {
    folder: tempfile::TempDir,
    server: Server,
}

impl Shell {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sonde.yaml"), TWO).unwrap();
        let server = Server::start().await;
        Self { folder, server }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn sonde(&self, arguments: &[&str]) -> Sonde {
        let sonde = Sonde::new(arguments).directory(self.path());
        sonde.env("SONDE_URL", &self.server.url)
    }

    /// Expects an exit code.
    async fn ends(&self, code: i32, arguments: &[&str]) -> Output {
        let output = self.sonde(arguments).run().await;
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        output
    }

    /// What a refused plan says.
    async fn refused(&self, code: i32, status: u16, problem: Value) -> String {
        self.server.refuse(status, problem);
        self.ends(code, &["plan"]).await.stderr
    }

    /// What a command says that is run on a terminal where `answer` is typed.
    async fn typed(&self, answer: &str) -> String {
        let sonde = sonde_tests::sonde::binary().await.display();
        let command = format!("printf '{answer}\\n' | script -qec '{sonde} apply' /dev/null");
        let output = tokio::process::Command::new("sh")
            .args(["-c", &command])
            .current_dir(self.path())
            .env("SONDE_URL", &self.server.url)
            .output()
            .await
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test]
async fn a_plan_tells_what_an_apply_then_does() {
    let shell = Shell::new().await;
    let plan = shell.ends(1, &["plan"]).await;
    assert_eq!(
        plan.stdout,
        "+ db  db.example:5432\n+ shop  https://shop.example/health\n"
    );
    assert_eq!(
        plan.stderr,
        "2 to add, 0 to change, 0 to remove, 0 as wanted\n"
    );
    assert_eq!(shell.server.known().applied, 0);
    let applied = shell.ends(0, &["apply", "--yes"]).await;
    assert_eq!(applied.stdout, plan.stdout);
    assert!(
        applied
            .stderr
            .ends_with("applied: 2 added, 0 changed, 0 removed\n"),
        "{applied:?}"
    );
    assert_eq!(shell.ends(0, &["plan"]).await.stdout, "");
    let nothing = shell.ends(0, &["apply", "-y"]).await;
    assert_eq!(nothing.stderr, "nothing to change: 2 as wanted\n");
    assert_eq!(shell.server.known().applied, 1);

    shell.write("sonde.yaml", &TWO.replace("30s", "1m"));
    let plan = shell.ends(1, &["plan"]).await;
    assert_eq!(plan.stdout, "~ shop\n    interval: 30s → 1m\n");
    let json = shell.ends(1, &["plan", "--format", "json"]).await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let field = json!({ "path": "interval", "before": "30s", "after": "1m", "secret": false });
    assert_eq!(json["changes"][0]["fields"], json!([field]));
}

#[tokio::test]
async fn what_is_not_in_the_file_goes_only_when_that_is_asked_for() {
    let shell = Shell::new().await;
    shell.ends(0, &["apply", "-y"]).await;
    shell.write("one.yaml", ONE);
    shell.ends(0, &["apply", "-y", "-c", "one.yaml"]).await;
    assert_eq!(shell.server.ids(), ["db", "shop"]);
    let pruned = shell
        .ends(0, &["apply", "-y", "-c", "one.yaml", "--prune"])
        .await;
    assert_eq!(pruned.stdout, "- shop\n");
    shell.write("none.yaml", "monitors: {}\n");
    let prune = ["apply", "-y", "-c", "none.yaml", "--prune"];
    let refused = shell.ends(2, &prune).await;
    assert!(refused.stderr.contains("--allow-empty"), "{refused:?}");
    assert_eq!(shell.server.ids(), ["db"]);
    let prune = [&prune[..], &["--allow-empty"]].concat();
    assert_eq!(shell.ends(0, &prune).await.stdout, "- db\n");
}

#[tokio::test]
async fn nothing_is_applied_that_nobody_agreed_to() {
    let shell = Shell::new().await;
    let refused = shell.ends(2, &["apply"]).await;
    assert!(refused.stderr.contains("--yes"), "{refused:?}");
    for answer in ["n", "", "maybe"] {
        let said = shell.typed(answer).await;
        assert!(said.contains("Apply these changes? [y/N]"), "{said}");
        assert!(said.contains("nothing was changed"), "{said}");
    }
    assert_eq!(shell.server.known().applied, 0);
    let said = shell.typed("Y").await;
    assert!(said.contains("applied: 2 added"), "{said}");
    assert_eq!(shell.server.known().applied, 1);
}

#[tokio::test]
async fn what_changes_meanwhile_is_planned_again() {
    let shell = Shell::new().await;
    shell.server.known().interfering = 1;
    let applied = shell.ends(0, &["apply", "-y"]).await;
    assert!(applied.stderr.contains("planning again"), "{applied:?}");
    assert_eq!(shell.server.known().applied, 1);
    shell.write("sonde.yaml", ONE);
    shell.server.known().interfering = 100;
    let given_up = shell.ends(3, &["apply", "-y"]).await;
    assert!(
        given_up.stderr.contains("nothing was applied"),
        "{given_up:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let shell = Shell::new().await;
    for command in [&["plan"][..], &["apply", "-y"], &["export"]] {
        let output = shell.sonde(command).env("SONDE_URL", NOBODY).run().await;
        assert_eq!(output.code, Some(3), "{output:?}");
        assert!(output.stderr.contains(NOBODY), "{output:?}");
        assert!(output.stderr.contains("SONDE_URL"), "{output:?}");
        assert!(output.stderr.contains("refused"), "{output:?}");
    }
    for url in [
        "shop.example",
        "ftp://shop.example",
        "http://me:pass@a.example",
    ] {
        let output = shell.ends(2, &["plan", "--url", url]).await;
        assert!(!output.stderr.contains("pass@"), "{output:?}");
    }
}

#[tokio::test]
async fn a_server_has_to_prove_who_it_is() {
    let authority = Authority::new("our own");
    let tls = TlsServer::new(&authority.localhost());
    let monitors = Reply::json(&json!({ "monitors": [] }));
    let stub = HttpStub::start_tls(tls, [("/v1/monitors", monitors)]).await;
    let url = format!("https://localhost:{}", stub.server().port());
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let export = || Sonde::new(["export", "--url", &url]);
    let known = export().env("SSL_CERT_FILE", &roots).run().await;
    assert_eq!(known.code, Some(0), "{known:?}");
    std::fs::write(&roots, Authority::new("another").pem()).unwrap();
    let stranger = export().env("SSL_CERT_FILE", &roots).run().await;
    assert_eq!(stranger.code, Some(3), "{stranger:?}");
    assert!(
        stranger.stderr.contains("invalid peer certificate"),
        "{stranger:?}"
    );
    assert_eq!(stranger.stderr.lines().count(), 1, "{stranger:?}");
    // Where there are no roots at all.
    let none = export().env("SSL_CERT_FILE", "/dev/null").run().await;
    assert_eq!(none.code, Some(3), "{none:?}");
}

#[tokio::test]
async fn keys_are_sent_and_those_that_are_missing_or_weak_are_named() {
    let shell = Shell::new().await;
    shell.write("key", "sk_file\n");
    let file = ["plan", "--api-key-file", "key", "--workspace", "acme"];
    shell.ends(1, &file).await;
    let sent = |name: &str| {
        shell.server.known().headers[name]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (sent("authorization"), sent("sonde-workspace")),
        ("Bearer sk_file".to_owned(), "acme".to_owned())
    );

    let missing = shell.refused(2, 401, json!({ "status": 401 })).await;
    assert!(
        missing.contains("--api-key-file") && missing.contains("SONDE_API_KEY"),
        "{missing}"
    );
    let wrong = shell
        .sonde(&["plan"])
        .env("SONDE_API_KEY", "sk_env")
        .run()
        .await;
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("API key of SONDE_API_KEY") && !wrong.stderr.contains("sk_env"),
        "{wrong:?}"
    );
    assert_eq!(sent("authorization"), "Bearer sk_env");
    let scope = json!({ "status": 403, "detail": "the scope `monitors:write` is missing" });
    shell.server.refuse(403, scope);
    let weak = shell.ends(2, &file).await;
    assert!(
        weak.stderr.contains("API key of key") && weak.stderr.contains("monitors:write"),
        "{weak:?}"
    );
}

#[tokio::test]
async fn what_a_server_refuses_is_told_line_by_line() {
    let shell = Shell::new().await;
    let errors = json!([
        { "path": "monitors.shop.interval", "message": "must be 1m or more" },
        { "path": "monitors.db", "message": "is kept by a file\u{1b}[2J" },
    ]);
    let problems = json!({ "status": 422, "code": "invalid", "detail": "no", "errors": errors });
    assert_eq!(
        shell.refused(2, 422, problems).await,
        "error: monitors.shop.interval: must be 1m or more\n\
         error: monitors.db: is kept by a file\\u{1b}[2J\n"
    );
    let broken = shell
        .refused(3, 500, json!({ "detail": "the server could not do this" }))
        .await;
    assert!(
        broken.contains("500") && broken.contains("could not do this"),
        "{broken}"
    );
    let other = shell.refused(3, 200, json!("hello")).await;
    assert!(
        other.contains("does not answer as a Sonde server"),
        "{other}"
    );
    let moved = shell.refused(3, 302, json!("")).await;
    assert!(moved.contains("302"), "{moved}");
}

#[tokio::test]
async fn mistakes_are_found_before_a_server_is_asked() {
    let shell = Shell::new().await;
    shell.write(
        "sonde.yaml",
        "monitors: { a: { tcp: 'a:1', retires: 2 } }\n",
    );
    let refused = shell.ends(2, &["plan", "--url", NOBODY]).await;
    assert!(refused.stderr.contains("monitors.a.retires"), "{refused:?}");
    assert!(refused.stderr.contains("--region"), "{refused:?}");
    shell.write("sonde.yaml", "monitors: { a: { tcp: 'a:1' } }\n");
    shell.ends(1, &["plan", "--region", "fra"]).await;
}

#[tokio::test]
async fn an_export_is_a_file_that_changes_nothing() {
    let shell = Shell::new().await;
    shell.write(
        "sonde.yaml",
        &format!("{TWO}  dollar: {{ icmp: a.example, tags: ['$${{x}}'] }}\n"),
    );
    shell.ends(0, &["apply", "-y"]).await;
    let export = shell.ends(0, &["export"]).await;
    assert!(
        export.stdout.starts_with("# All that http://127.0.0.1:"),
        "{export:?}"
    );
    assert!(
        export.stdout.contains("REDACTED stands for a secret"),
        "{export:?}"
    );
    assert_eq!(export.stderr, "exported 3 monitors\n");
    let written = shell.ends(0, &["export", "-o", "export.yaml"]).await;
    assert_eq!(written.stdout, "");
    shell
        .ends(0, &["plan", "-c", "export.yaml", "--prune"])
        .await;
    let json = shell.ends(0, &["export", "--format", "json"]).await.stdout;
    shell.write("export.json", &json);
    shell
        .ends(0, &["plan", "-c", "export.json", "--prune"])
        .await;
}

async fn said(running: &Running, text: &str) {
    wait_until(PATIENCE, async || running.log().contains(text)).await;
}

#[tokio::test]
async fn a_file_that_is_watched_is_applied_whenever_it_changes() {
    let shell = Shell::new().await;
    let watch = [
        "apply",
        "--watch",
        "sonde.yaml",
        "--every",
        "100ms",
        "--prune",
    ];
    let running = shell.sonde(&watch).start().await;
    wait_until(PATIENCE, async || shell.server.ids() == ["db", "shop"]).await;
    shell.write("sonde.yaml", ONE);
    wait_until(PATIENCE, async || shell.server.ids() == ["db"]).await;
    shell.write("sonde.yaml", "monitors: {}\n");
    said(&running, "--allow-empty").await;
    shell.write("sonde.yaml", "");
    said(&running, "expected a mapping, got nothing").await;
    std::fs::remove_file(shell.path().join("sonde.yaml")).unwrap();
    said(&running, "cannot read sonde.yaml").await;
    assert_eq!(shell.server.ids(), ["db"]);
    shell.server.refuse(503, json!({ "detail": "away" }));
    shell.write("sonde.yaml", TWO);
    said(&running, "away").await;
    shell.server.known().refusal = None;
    wait_until(PATIENCE, async || shell.server.ids() == ["db", "shop"]).await;
    assert_eq!(shell.server.known().applied, 3);
    // The server has it a moment before that is written down.
    let applied = async || running.log().matches("applied sonde.yaml").count() == 3;
    wait_until(PATIENCE, applied).await;
    let log = running.log();
    assert_eq!(log.matches("away").count(), 1, "{log}");
    assert_eq!(running.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_at_a_url_is_followed_and_taken_at_its_word() {
    let shell = Shell::new().await;
    let url = format!("{}/sonde.yaml", shell.server.url);
    shell.server.known().file = TWO.to_owned();
    let watch = ["apply", "--watch", &url, "--every", "100ms", "--prune"];
    let running = shell.sonde(&watch).start().await;
    wait_until(PATIENCE, async || shell.server.ids() == ["db", "shop"]).await;
    let shop = shell.server.known().monitors["shop"]["http"]["url"].to_string();
    assert!(shop.contains("$%7BPATH_:-health%7D"), "{shop}");
    wait_until(PATIENCE, async || shell.server.known().not_modified > 2).await;
    shell.server.known().file = "x".repeat(17 << 20);
    said(&running, "larger than 16 MiB").await;
    shell.server.known().file = TWO.replace(
        "'db.example:5432'",
        "{ address: 'a:1', tls: { ca: /etc/ca.pem } }",
    );
    said(&running, "files cannot be read here").await;
    shell.server.known().file = ONE.to_owned();
    wait_until(PATIENCE, async || shell.server.ids() == ["db"]).await;
    assert_eq!(shell.server.known().applied, 2);
    assert_eq!(running.terminate().await.code(), Some(0));
}
