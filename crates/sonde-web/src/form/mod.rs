//! Forms over configurations: each field knows its place in the JSON that the API takes, so that a form shows what is stored and
//! makes what is sent. What no field can show stays, word for word, in the field `more`.

mod field;
mod shape;

use std::collections::HashSet;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sonde_service::{FieldProblem, ServiceError};
use sonde_store::Expected;

use crate::asked::Asked;
use crate::{PageError, html};

pub(crate) use field::{Field, Input};
pub(crate) use shape::Shape;

/// Where what has no field stands, as JSON.
const MORE: &str = "more";
const VERSION: &str = "version";
/// What a form is to do, by the button or the script that sends it.
const DO: &str = "do";
/// Nothing but to say what is wrong with it.
const CHECK: &str = "check";

/// Fields in groups, with what is wrong.
pub(crate) struct Form {
    pub(crate) groups: Vec<Group>,
    /// What is wrong with no field of its own.
    pub(crate) problems: Vec<String>,
    /// What is there is changed only as long as it is this one.
    pub(crate) version: Option<u64>,
    /// Shown, and not to be changed.
    pub(crate) is_locked: bool,
    /// Still being typed: what can be read of it is looked at, and nothing is written.
    pub(crate) is_draft: bool,
}

/// A form by itself, for who has the page around it.
#[derive(Template)]
#[template(path = "form.html")]
struct Fragment {
    form: Form,
}

pub(crate) struct Group {
    pub(crate) title: &'static str,
    /// For what is shown of it only with another choice.
    pub(crate) class: &'static str,
    /// Shown when it is asked for, or when something is wrong in it.
    pub(crate) is_folded: bool,
    pub(crate) fields: Vec<Field>,
}

/// Before something is removed: what goes with it.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(crate) struct Confirm {
    pub(crate) shell: crate::viewer::Shell,
    /// Where to go instead, and how that is called.
    pub(crate) back: (String, String),
    pub(crate) goes: Vec<String>,
    /// What the form is sent to.
    pub(crate) action: String,
    pub(crate) button: &'static str,
    pub(crate) version: Option<u64>,
}

/// What is to be as it was when the [`Confirm`] that was sent was shown; nothing is where it does not say.
pub(crate) fn confirmed(typed: &str) -> Expected {
    let version = Asked::new(Some(typed));
    let version = version.get(VERSION).and_then(|it| it.parse().ok());
    Expected::Version(version.unwrap_or(0))
}

impl Group {
    pub(crate) fn new(title: &'static str, fields: Vec<Field>) -> Self {
        Self {
            title,
            class: "",
            is_folded: false,
            fields,
        }
    }

    pub(crate) fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    pub(crate) fn folded(title: &'static str, fields: Vec<Field>) -> Self {
        Self {
            is_folded: true,
            ..Self::new(title, fields)
        }
    }

    /// What has no field of its own.
    pub(crate) fn more(hint: &'static str) -> Self {
        let field = Field::area(MORE, "Settings without a field (JSON)", 8, Shape::Json);
        Self::folded("More settings", vec![field.hint(hint)])
    }

    pub(crate) fn is_open(&self) -> bool {
        let is_wrong = |field: &Field| !field.problems.is_empty();
        self.fields.iter().any(is_wrong)
    }
}

impl Form {
    pub(crate) fn new(groups: Vec<Group>) -> Self {
        Self {
            groups,
            problems: Vec::new(),
            version: None,
            is_locked: false,
            is_draft: false,
        }
    }

    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.groups.iter().flat_map(|group| &group.fields)
    }

    fn fields_mut(&mut self) -> impl Iterator<Item = &mut Field> {
        self.groups.iter_mut().flat_map(|group| &mut group.fields)
    }

    pub(crate) fn field(&mut self, name: &str) -> Option<&mut Field> {
        self.fields_mut().find(|field| field.name == name)
    }

    /// What stands in a field, without the spaces around it.
    pub(crate) fn get(&self, name: &str) -> &str {
        let mut fields = self.fields();
        let found = fields.find(|field| field.name == name);
        found.map_or("", |field| field.value.trim())
    }

    /// What was typed.
    pub(crate) fn type_in(&mut self, typed: &Asked) {
        for field in self.fields_mut() {
            field.type_in(typed);
        }
        self.version = typed.get(VERSION).and_then(|text| text.parse().ok());
        self.is_draft = typed.get(DO) == Some(CHECK);
    }

    /// What is stored.
    pub(crate) fn show(&mut self, mut config: Map<String, Value>) {
        for field in self.fields_mut().filter(|field| field.name != MORE) {
            let text = at(&config, &field.name).and_then(|value| field.shape.text(value));
            if let Some(text) = text {
                remove(&mut config, &field.name);
                field.value = text;
            }
        }
        if let Some(more) = self.field(MORE)
            && !config.is_empty()
        {
            let rest = Value::Object(config);
            more.value = Shape::Json.text(&rest).unwrap_or_default();
        }
    }

    /// What the form says, in JSON; what cannot be read stands beside its field. Of a draft, all the rest.
    pub(crate) fn config(&mut self) -> Option<Map<String, Value>> {
        let mut config = Map::new();
        // The rest first: what has a field is said there.
        let (more, others): (Vec<&mut Field>, Vec<_>) =
            self.fields_mut().partition(|field| field.name == MORE);
        let mut is_right = true;
        for field in more.into_iter().chain(others) {
            match field.shape.value(&field.value) {
                Ok(None) => {}
                Ok(Some(Value::Object(rest))) if field.name == MORE => config = rest,
                Ok(Some(_)) if field.name == MORE => {
                    is_right = false;
                    field
                        .problems
                        .push("must be an object, as in `{}`".to_owned());
                }
                Ok(Some(value)) => put(&mut config, &field.name, value),
                Err(problem) => {
                    is_right = false;
                    field.problems.push(problem);
                }
            }
        }
        (is_right || self.is_draft).then_some(config)
    }

    /// What a configuration says, as the API reads it; what cannot be read stands beside its field. Of a draft, all the rest.
    pub(crate) fn read<T: DeserializeOwned>(
        &mut self,
        mut config: Map<String, Value>,
    ) -> Option<T> {
        let mut is_right = true;
        loop {
            let read = serde_path_to_error::deserialize(Value::Object(config.clone()));
            let error = match read {
                Ok(read) => return (is_right || self.is_draft).then_some(read),
                Err(error) => error,
            };
            is_right = false;
            let path = error.path().to_string();
            let path = if path == "." { "" } else { &path };
            let message = error.inner().to_string();
            let is_missing = message.starts_with("missing field");
            self.place([FieldProblem::new(path, message)]);
            // Without this one the next is found.
            let place = path.split('[').next().unwrap_or_default();
            if is_missing || !remove(&mut config, place) {
                return None;
            }
        }
    }

    pub(crate) fn expected(&self) -> Expected {
        // No resource has a version 0: a form without one changes nothing.
        Expected::Version(self.version.unwrap_or(0))
    }

    /// Puts problems beside their fields, and the others on top. What cannot be read is not said to be missing too.
    pub(crate) fn place(&mut self, problems: impl IntoIterator<Item = FieldProblem>) {
        let wrong = self.fields().filter(|field| !field.problems.is_empty());
        let wrong: HashSet<String> = wrong.map(|field| field.name.clone()).collect();
        for FieldProblem { path, message } in problems {
            let placed = self.place_of(&path, &message);
            let is_told = placed.as_ref().is_some_and(|name| wrong.contains(name));
            let field = placed.and_then(|name| self.field(&name));
            match field {
                Some(_) if is_told => {}
                Some(field) if field.name == MORE => {
                    field.problems.push(format!("{path}: {message}"));
                }
                Some(field) => field.add_problem(&path, message),
                None if path.is_empty() => self.problems.push(message),
                None => self.problems.push(format!("{path}: {message}")),
            }
        }
    }

    /// The field that a path is in, or of what is missing there; else the first one below it, or the one for the rest.
    fn place_of(&self, path: &str, message: &str) -> Option<String> {
        if path.is_empty() {
            return None;
        }
        let is_in = |field: &&Field| field::inside(path, &field.name).is_some();
        let narrowest = self.fields().filter(is_in).max_by_key(|it| it.name.len());
        let missing = message.split('`').nth(1);
        let missing = missing.filter(|_| message.contains("missing"));
        let missing = missing.map(|name| format!("{path}.{name}"));
        let missing = || self.fields().find(|it| Some(&it.name) == missing.as_ref());
        let is_below = |field: &&Field| field::inside(&field.name, path).is_some();
        let below = || self.fields().find(is_below);
        let more = || {
            let mut fields = self.fields();
            fields.find(|field| field.name == MORE && !field.value.is_empty())
        };
        let found = narrowest.or_else(missing).or_else(below).or_else(more)?;
        Some(found.name.clone())
    }

    /// What is wrong with a draft, as the form that says so.
    pub(crate) fn told(mut self, checked: Result<(), ServiceError>) -> Result<Response, PageError> {
        if let Err(error) = checked {
            self.refuse(error)?;
        }
        html(&Fragment { form: self })
    }

    /// Says why it was refused, where the form can be sent again.
    pub(crate) fn refuse(&mut self, error: ServiceError) -> Result<StatusCode, PageError> {
        Ok(match error {
            ServiceError::Invalid(problems) => {
                self.place(problems);
                StatusCode::UNPROCESSABLE_ENTITY
            }
            error @ ServiceError::NoSuchRegion(_) => {
                self.place([FieldProblem::new("regions", error.to_string())]);
                StatusCode::UNPROCESSABLE_ENTITY
            }
            error @ ServiceError::Exists { .. } => {
                self.place([FieldProblem::new("id", error.to_string())]);
                StatusCode::CONFLICT
            }
            ServiceError::Changed => {
                let message = "Somebody else changed this since you opened it. Nothing was saved, and what you typed is still here: look at what it is now in another tab, then open this form anew.";
                self.problems.push(message.to_owned());
                StatusCode::CONFLICT
            }
            error @ ServiceError::ManagedByFile { .. } => {
                self.problems.push(error.to_string());
                StatusCode::CONFLICT
            }
            error @ ServiceError::TooMany { .. } => {
                self.problems.push(error.to_string());
                StatusCode::TOO_MANY_REQUESTS
            }
            error @ ServiceError::Refused(_) => {
                self.problems.push(error.to_string());
                StatusCode::FORBIDDEN
            }
            other => return Err(other.into()),
        })
    }

    pub(crate) fn wrong_fields(&self) -> usize {
        let is_wrong = |field: &&Field| !field.problems.is_empty();
        self.fields().filter(is_wrong).count()
    }
}

pub(crate) fn answered(status: StatusCode, page: &impl Template) -> Result<Response, PageError> {
    Ok((status, html(page)?).into_response())
}

fn at<'a>(config: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => config.get(path),
        Some((first, rest)) => at(config.get(first)?.as_object()?, rest),
    }
}

/// With what is empty without it; false where there is nothing.
fn remove(config: &mut Map<String, Value>, path: &str) -> bool {
    let Some((first, rest)) = path.split_once('.') else {
        return config.remove(path).is_some();
    };
    let Some(Value::Object(inner)) = config.get_mut(first) else {
        return false;
    };
    let is_removed = remove(inner, rest);
    if inner.is_empty() {
        config.remove(first);
    }
    is_removed
}

pub(crate) fn put(config: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        config.insert(path.to_owned(), value);
        return;
    };
    let inner = config.entry(first).or_insert_with(|| Map::new().into());
    if !inner.is_object() {
        *inner = Map::new().into();
    }
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form() -> Form {
        Form::new(vec![
            Group::new(
                "What",
                vec![
                    Field::line("http.url", "URL"),
                    Field::area("http.headers", "Headers", 3, Shape::Pairs),
                    Field::area("expect", "Expected", 3, Shape::Lines),
                    Field::flag("paused", "Paused"),
                ],
            ),
            Group::more(""),
        ])
    }

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else {
            panic!("it is an object");
        };
        map
    }

    #[test]
    fn what_has_no_field_stays_as_it_is() {
        let config = object(json!({
            "http": { "url": "https://a/", "headers": [{ "name": "x", "value": "REDACTED" }], "auth": { "bearer": "REDACTED" } },
            "expect": ["status == 200"],
            "retry_backoff": { "factor": 2.5 },
            "paused": true,
        }));
        let mut form = form();
        form.show(config.clone());
        assert_eq!(form.get("http.headers"), "x: REDACTED");
        let more: Value = serde_json::from_str(form.get(MORE)).unwrap();
        assert_eq!(
            more,
            json!({ "http": { "auth": { "bearer": "REDACTED" } }, "retry_backoff": { "factor": 2.5 } })
        );
        assert_eq!(form.config(), Some(config));
    }

    #[test]
    fn what_a_field_cannot_show_is_not_lost() {
        let config = object(json!({ "http": { "url": 7 }, "expect": [{ "structured": 1 }] }));
        let mut form = form();
        form.show(config.clone());
        assert_eq!(form.config(), Some(config));
    }

    #[test]
    fn problems_stand_beside_their_fields() {
        let mut form = form();
        let problem = FieldProblem::new;
        form.place([
            problem("http", "is private"),
            problem("http.headers[1].value", "is empty"),
            problem("expect[2]", "is no assertion"),
            problem("retry_backoff.max", "is too short"),
            problem("", "is no monitor"),
        ]);
        let found = |name: &str| {
            let mut fields = form.fields();
            let field = fields.find(|it| it.name == name).unwrap();
            field.problems.join("; ")
        };
        assert_eq!(found("http.url"), "is private");
        assert_eq!(found("http.headers"), "line 2: is empty");
        assert_eq!(found("expect"), "line 3: is no assertion");
        assert_eq!(
            form.problems,
            ["retry_backoff.max: is too short", "is no monitor"]
        );
    }

    #[test]
    fn what_is_missing_stands_where_it_is_to_be_and_what_has_no_field_by_the_rest() {
        let mut form = Form::new(vec![
            Group::new(
                "What",
                vec![
                    Field::line("tcp.host", "Host"),
                    Field::whole("tcp.port", "Port").with("many"),
                ],
            ),
            Group::more(""),
        ]);
        form.is_draft = true;
        form.field(MORE).unwrap().value = "{\"auth\": 1}".to_owned();
        let config = form.config().unwrap();
        assert_eq!(Value::Object(config), json!({ "auth": 1 }));
        let problem = FieldProblem::new;
        form.place([
            problem("tcp", "missing field `host`"),
            problem("tcp", "`port` is missing"),
            problem("auth", "is no account"),
        ]);
        let mut told = |name: &str| form.field(name).unwrap().problems.join("; ");
        assert_eq!(told("tcp.host"), "missing field `host`");
        assert_eq!(told("tcp.port"), "must be a whole number, got `many`");
        assert_eq!(told(MORE), "auth: is no account");
    }

    #[test]
    fn all_that_cannot_be_read_is_told_at_once_and_only_of_a_draft_the_rest_is_read() {
        #[derive(serde::Deserialize)]
        struct Read {
            expect: Option<Vec<String>>,
            paused: Option<bool>,
        }
        let config = object(json!({ "expect": ["a", 1], "http": {}, "paused": "maybe" }));
        for is_draft in [false, true] {
            let mut form = Form { is_draft, ..form() };
            let read: Option<Read> = form.read(config.clone());
            assert_eq!(form.wrong_fields(), 2);
            assert_eq!(read.is_some(), is_draft);
            assert!(read.is_none_or(|it| it.expect.is_none() && it.paused.is_none()));
            let expect = &form.field("expect").unwrap().problems;
            assert!(expect[0].starts_with("line 2: invalid type"), "{expect:?}");
        }
    }

    #[test]
    fn what_is_typed_is_text_on_the_page() {
        let mut form = form();
        let evil = "\"><script>alert(1)</script>";
        for field in form.fields_mut() {
            field.value = evil.to_owned();
            field.problems.push(evil.to_owned());
            let page = field.render().unwrap();
            assert!(!page.contains("<script>"), "{page}");
        }
    }

    #[test]
    fn the_rest_is_an_object() {
        let mut form = form();
        form.type_in(&Asked::new(Some("more=%5B1%5D&http.url=x")));
        assert_eq!(form.config(), None);
        let more = form.field(MORE).unwrap();
        assert_eq!(more.problems, ["must be an object, as in `{}`"]);
    }
}
