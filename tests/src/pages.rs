//! A browser without a script: what it is shown, what it sends of a form, and where it is sent to.

use reqwest::{Client, Method};
use url::form_urlencoded;

use crate::api::Caller;
use crate::http;
use crate::sonde::Running;

/// What nobody may find on a page, whatever they type: it would be more than text.
pub const EVIL: &str = "\"><script>alert(1)</script>";

/// What a form sends.
pub type Fields = Vec<(String, String)>;

/// Somebody with a browser: who stays where they are sent away from.
pub struct Browser {
    base: String,
    client: Client,
    pub cookie: Option<String>,
}

/// What came: status, where to go, the cookies as they would be sent back, the page.
pub struct Answer {
    pub status: u16,
    pub location: String,
    pub cookies: Vec<String>,
    pub page: String,
}

impl Browser {
    pub fn of(up: &Running, caller: &Caller) -> Self {
        Self {
            base: up.url("").trim_end_matches('/').to_owned(),
            client: http::client_that_stays(),
            cookie: caller.shown("cookie"),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &self.base).await
    }

    /// What is there, without anything of [`EVIL`].
    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.page);
        assert!(!answer.page.contains(EVIL), "{path}");
        answer.page
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send(Method::POST, path, Some(body), &self.base).await
    }

    /// Expects to be sent somewhere.
    pub async fn goes(&self, path: &str, fields: &[(&str, &str)], to: &str) {
        let answer = self.post(path, fields).await;
        let went = (answer.status, answer.location.as_str());
        assert_eq!(went, (303, to), "{path}: {}", answer.page);
    }

    /// Expects to be told what is wrong.
    pub async fn refused(&self, path: &str, fields: &[(&str, &str)], status: u16) -> String {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.page);
        assert!(!answer.page.contains(EVIL), "{path}");
        answer.page
    }

    /// As the page of a site would.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        from: &str,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(body) = body {
            let kind = "application/x-www-form-urlencoded";
            request = request.header("content-type", kind).header("origin", from);
            request = request.body(body);
        }
        let answer = request.send().await.expect("the server answers");
        let cookies = answer.headers().get_all("set-cookie").iter();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        let cookies = cookies.map(str::to_owned).collect();
        let location = answer.headers().get("location");
        let location = location.map_or("", |location| location.to_str().expect("it is text"));
        Answer {
            status: answer.status().as_u16(),
            location: location.to_owned(),
            cookies,
            page: answer.text().await.expect("the whole page comes"),
        }
    }
}

/// What a browser would send of the page's large form, untouched.
pub fn form(page: &str) -> Fields {
    let begin = page.find("class=\"card edit\"").expect("there is a form");
    let form = &page[begin..];
    let form = &form[..form.find("</form>").expect("it ends")];
    let mut fields = Fields::new();
    let mut rest = form;
    while let Some(at) = rest.find(" name=\"") {
        let tag = rest[..at].rfind('<').expect("a name is in a tag");
        let tag = &rest[tag..];
        let name = between(tag, " name=\"", "\"");
        let head = &tag[..tag.find('>').expect("a tag ends")];
        let value = match head.split_whitespace().next().expect("a tag has a name") {
            "<input" if head.contains("type=\"checkbox\"") && !head.contains(" checked") => None,
            "<input" => Some(between(head, " value=\"", "\"")),
            // The first line's end is not part of it.
            "<textarea" => Some(between(tag, ">\n", "</textarea>")),
            "<select" => {
                let options = between(tag, ">", "</select>");
                let chosen = options.split("<option").find(|it| it.contains(" selected"));
                let chosen = chosen
                    .or_else(|| options.split("<option").nth(1))
                    .expect("there is a choice");
                Some(between(chosen, "value=\"", "\""))
            }
            _ => None,
        };
        fields.extend(value.map(|value| (name.to_owned(), text(value))));
        rest = &rest[at + 7..];
    }
    fields
}

/// What stands between the first `begin` and the next `end`.
///
/// # Panics
/// When there is no such place.
pub fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let from = text.find(begin).expect("it begins") + begin.len();
    let length = text[from..].find(end).expect("it ends");
    &text[from..from + length]
}

/// What HTML stands for.
pub fn text(html: &str) -> String {
    let entities = [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ];
    let mut text = html.to_owned();
    for (entity, letter) in entities {
        text = text.replace(entity, letter);
    }
    text
}

/// As [`Browser::post`] takes them.
pub fn borrowed(fields: &Fields) -> Vec<(&str, &str)> {
    let fields = fields.iter();
    fields.map(|(a, b)| (a.as_str(), b.as_str())).collect()
}
