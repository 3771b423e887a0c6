//! Takes the credentials that a check was sent with out of what came back: servers like to echo them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use sonde_core::{Auth, CheckResult, HttpSpec, Spec, Step, secret_parameters};
use url::Url;

/// Shorter texts occur by chance, and are no secrets.
const SHORTEST: usize = 4;

/// Parameters of a URL may be secrets by their name alone, and hold a word that is none.
const SHORTEST_PARAMETER: usize = 8;

const STRUCK: &str = "[redacted]";

/// The credentials in one spec, longest first. Costs nothing where there are none.
pub(crate) struct Secrets<'a>(Vec<Cow<'a, str>>);

impl<'a> Secrets<'a> {
    pub(crate) fn of(spec: &'a Spec) -> Self {
        let mut found = match spec {
            Spec::Http(spec) => http(spec),
            Spec::Exec(spec) => (spec.environment.iter())
                .filter(|(name, _)| is_secret(name))
                .map(|(_, value)| value.into())
                .collect(),
            Spec::Tcp(spec) => dialogue(&spec.dialogue),
            Spec::Domain(spec) => spec.proxy.iter().flat_map(in_userinfo).collect(),
            Spec::Dns(_) | Spec::Icmp(_) | Spec::Tls(_) | Spec::Heartbeat(_) => Vec::new(),
        };
        found.retain(|secret| secret.len() >= SHORTEST);
        found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(found)
    }

    /// Strikes them out of every text that the target had a say in.
    pub(crate) fn strike(&self, result: &mut CheckResult) {
        if let Some(evidence) = &mut result.evidence {
            if let Some(head) = &mut evidence.response_head {
                *head = without_cookies(head);
            }
            self.clean(
                [&mut evidence.response_head, &mut evidence.body]
                    .into_iter()
                    .flatten(),
            );
        }
        let hops = result.http.iter_mut().flat_map(|http| &mut http.redirects);
        self.clean(hops.flat_map(|hop| [&mut hop.url, &mut hop.location]));
        self.clean(result.tcp.iter_mut().map(|tcp| &mut tcp.reply));
        self.clean(result.exec.iter_mut().map(|exec| &mut exec.output));
        self.clean(result.failed.iter_mut().map(|failed| &mut failed.seen));
        self.clean(&mut result.message);
    }

    fn clean<'t>(&self, texts: impl IntoIterator<Item = &'t mut String>) {
        for text in texts {
            for secret in &self.0 {
                if text.contains(&**secret) {
                    *text = text.replace(&**secret, STRUCK);
                }
            }
        }
    }
}

fn http(spec: &HttpSpec) -> Vec<Cow<'_, str>> {
    let mut found: Vec<Cow<'_, str>> = (spec.headers.iter())
        .filter(|(name, _)| is_secret(name))
        .flat_map(|(_, value)| whole_and_last(value))
        .collect();
    match &spec.auth {
        Some(Auth::Basic { username, password }) => {
            found.push(basic(username, password));
            found.push(password.into());
        }
        Some(Auth::Bearer { token }) => found.push(token.into()),
        None => {}
    }
    let urls = spec.proxy.iter().chain([&spec.url]);
    found.extend(urls.flat_map(in_userinfo));
    let parameters = secret_parameters(&spec.url);
    found.extend(
        parameters
            .filter(|value| value.len() >= SHORTEST_PARAMETER)
            .map(Cow::Borrowed),
    );
    found
}

/// A password as it is written, as it is meant, and as it is sent.
fn in_userinfo(url: &Url) -> impl Iterator<Item = Cow<'_, str>> {
    let passwords = url.password().into_iter();
    passwords.flat_map(|password| {
        let decode = |text| percent_decode_str(text).decode_utf8_lossy();
        let sent = basic(&decode(url.username()), &decode(password));
        [sent, password.into(), decode(password)]
    })
}

/// As in an `Authorization` header.
fn basic(username: &str, password: &str) -> Cow<'static, str> {
    STANDARD.encode(format!("{username}:{password}")).into()
}

/// A credential and, in `Bearer X`, the X.
fn whole_and_last(value: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let last = value.split_whitespace().next_back();
    [Some(value.trim()), last]
        .into_iter()
        .flatten()
        .map(Cow::Borrowed)
}

/// What text protocols log in with: in `PASS X`, `a1 LOGIN X Y` or `AUTH PLAIN X` all that follows the command; after it,
/// the words that answer the server's questions; headers as in HTTP. Bytes that are no text are not looked at.
fn dialogue(steps: &[Step]) -> Vec<Cow<'_, str>> {
    let mut found = Vec::new();
    let mut asked = false;
    let texts = steps.iter().filter_map(|step| match step {
        Step::Send(text) => Some(text),
        _ => None,
    });
    let lines = texts.flat_map(|text| text.lines());
    for line in lines.filter(|line| line.len() <= LONGEST_LINE) {
        if let Some((name, value)) = line.split_once(':')
            && is_secret(name)
        {
            found.extend(whole_and_last(value));
            continue;
        }
        let mut words = line.split_whitespace();
        if words.any(|word| is_one_of(LOGINS, word)) {
            asked = true;
            found.extend(words.filter(|word| !is_one_of(METHODS, word)).map(unquoted));
        } else if asked && is_answer(line) {
            found.push(line.trim().into());
        }
    }
    found
}

/// No protocol logs in with more; longer lines are data, and too long to look through after every check.
const LONGEST_LINE: usize = 4096;

/// The commands of SMTP, IMAP, POP3, FTP, IRC and Redis that log in.
const LOGINS: &[&str] = &["AUTH", "AUTHENTICATE", "LOGIN", "PASS", "PASSWORD"];
/// What may stand between such a command and the credentials, and in every server's greeting.
const METHODS: &[&str] = &["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"];

/// As IMAP may have its words.
fn unquoted(word: &str) -> Cow<'_, str> {
    word.trim_matches('"').into()
}

fn is_one_of(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// One word, and not a command such as `QUIT`.
fn is_answer(line: &str) -> bool {
    let line = line.trim();
    !line.contains(char::is_whitespace) && !line.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// By the names that people give to headers and variables.
fn is_secret(name: &str) -> bool {
    let words = ["auth", "cookie", "key", "token", "secret", "password"];
    let within = |word: &str| {
        let mut parts = name.as_bytes().windows(word.len());
        parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    words.into_iter().any(within)
}

/// A session is a credential too, even one that the server has just made up.
fn without_cookies(head: &str) -> String {
    let lines = head.split_inclusive('\n').map(|line| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let end = &value[value.trim_end().len()..];
        if name.eq_ignore_ascii_case("set-cookie") {
            format!("{name}: {STRUCK}{end}")
        } else {
            line.to_owned()
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use sonde_core::{
        Evidence, ExecDetail, ExecSpec, HttpDetail, Monitor, NetworkOptions, Phases, Redirect,
        TcpDetail, TcpSpec,
    };

    use super::*;

    /// What is left of `text` in each place that a target has a say in.
    #[track_caller]
    fn check(spec: &Spec, text: &str, expected: &str) {
        let some = || Some(text.to_owned());
        let mut result = CheckResult::sample();
        result.message = some();
        result.evidence = Some(Evidence {
            response_head: some(),
            body: some(),
            ..Evidence::default()
        });
        result.http = Some(HttpDetail {
            status: 200,
            version: "1.1".to_owned(),
            bytes: 0,
            redirects: vec![Redirect {
                status: 302,
                url: text.to_owned(),
                location: text.to_owned(),
                address: String::new(),
                phases_us: Phases::default(),
            }],
        });
        result.exec = Some(ExecDetail {
            code: Some(0),
            output: text.to_owned(),
        });
        result.tcp = Some(TcpDetail {
            reply: text.to_owned(),
        });
        Secrets::of(spec).strike(&mut result);
        let evidence = result.evidence.unwrap();
        let hop = result.http.unwrap().redirects.remove(0);
        for left in [
            result.message.unwrap(),
            evidence.response_head.unwrap(),
            evidence.body.unwrap(),
            hop.url,
            hop.location,
            result.exec.unwrap().output,
            result.tcp.unwrap().reply,
        ] {
            assert_eq!(left, expected);
        }
    }

    #[test]
    fn echoed_credentials_and_cookies_do_not_reach_the_result() {
        let mut monitor = Monitor::sample();
        let Spec::Http(spec) = &mut monitor.spec else {
            unreachable!("the sample is an http monitor");
        };
        spec.auth = Some(Auth::Basic {
            username: "ann".into(),
            password: "hunter2".into(),
        });
        spec.headers = vec![("X-Api-Key".into(), "k-123".into())];
        let mut result = CheckResult::sample();
        result.message = Some("body was \"hunter2\"".into());
        result.evidence = Some(Evidence {
            response_head: Some("HTTP/1.1 500\r\nSet-Cookie: id=7\r\nX: k-123\r\n".into()),
            body: Some("Authorization: Basic YW5uOmh1bnRlcjI=".into()),
            ..Evidence::default()
        });
        Secrets::of(&monitor.spec).strike(&mut result);
        let evidence = result.evidence.unwrap();
        assert_eq!(
            evidence.response_head.unwrap(),
            "HTTP/1.1 500\r\nSet-Cookie: [redacted]\r\nX: [redacted]\r\n"
        );
        assert_eq!(evidence.body.unwrap(), "Authorization: Basic [redacted]");
        assert_eq!(result.message.unwrap(), "body was \"[redacted]\"");
    }

    fn http(url: &str, headers: &[(&str, &str)]) -> Spec {
        let mut spec = HttpSpec::get(url.parse().unwrap());
        for (name, value) in headers {
            spec.headers.push(((*name).to_owned(), (*value).to_owned()));
        }
        Spec::Http(Box::new(spec))
    }

    #[test]
    fn credentials_in_headers_are_known_without_their_scheme() {
        let headers = [("AUTHORIZATION", "Bearer hunter2"), ("X-Name", "Ann Other")];
        let spec = http("http://shop.example/", &headers);
        let text = "by Ann Other: ?token=hunter2&all=Bearer hunter2";
        check(
            &spec,
            text,
            "by Ann Other: ?token=[redacted]&all=[redacted]",
        );
    }

    #[test]
    fn credentials_in_urls_are_known_in_each_form() {
        let spec = http("http://ann:hunter%402@shop.example/", &[]);
        let text = "hunter%402 hunter@2 YW5uOmh1bnRlckAy ann";
        check(&spec, text, "[redacted] [redacted] [redacted] ann");
    }

    #[test]
    fn parameters_of_the_url_that_could_be_tokens_are_credentials() {
        let spec = http(
            "http://shop.example/?key=hunter2hunter2&page=frontpage",
            &[],
        );
        check(&spec, "hunter2hunter2 frontpage", "[redacted] frontpage");
    }

    #[test]
    fn a_commands_environment_is_known_by_its_names() {
        let environment = [("DB_Password", "hunter2"), ("HOME", "/home/ann")];
        let spec = Spec::Exec(ExecSpec {
            command: "backup".to_owned(),
            arguments: Vec::new(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            warn_only: false,
        });
        check(&spec, "/home/ann: hunter2", "/home/ann: [redacted]");
    }

    #[track_caller]
    fn check_dialogue(sent: &[&str], reply: &str, expected: &str) {
        let send = |text: &&str| Step::Send((*text).to_owned());
        let spec = Spec::Tcp(Box::new(TcpSpec {
            host: "mail.example".to_owned(),
            port: 25,
            tls: None,
            dialogue: sent.iter().map(send).collect(),
            network: NetworkOptions::default(),
        }));
        check(&spec, reply, expected);
    }

    #[test]
    fn what_logs_in_within_a_dialogue_is_a_credential() {
        let struck = "got [redacted]";
        check_dialogue(&["USER ann\r\n", "PASS hunter2\r\n"], "got hunter2", struck);
        check_dialogue(&["a1 login ann \"hunter2\"\r\n"], "got hunter2", struck);
        check_dialogue(&["AUTH PLAIN AGFubg==\r\n"], "got AGFubg==", struck);
        check_dialogue(&["AUTH LOGIN\r\n", "YW5u\r\n"], "got YW5u", struck);
        check_dialogue(
            &["*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n"],
            "got hunter2",
            struck,
        );
        let request = "GET / HTTP/1.0\r\nAuthorization: Bearer hunter2\r\n\r\n";
        check_dialogue(&[request], "got hunter2", struck);
    }

    #[test]
    fn the_rest_of_a_dialogue_is_left_alone() {
        let sent = ["EHLO sonde\r\n", "AUTH LOGIN\r\n", "QUIT\r\n"];
        let reply = "250-sonde\r\n250 AUTH LOGIN PLAIN\r\n221 QUIT";
        check_dialogue(&sent, reply, reply);
    }
}
