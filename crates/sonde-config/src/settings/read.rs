//! Values by section and key: from the strongest layer that has one, each problem with the place of its value.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Override, Secret, SettingsInputs};
use crate::problem::{Problem, Problems, nearest, place};

/// What all sections share.
pub(super) struct Reader<'a> {
    inputs: &'a SettingsInputs<'a>,
    /// The file's name, for messages.
    name: String,
    folder: PathBuf,
    root: DeTable<'a>,
    /// Whether the file is TOML at all: what is read of one that is not would only confuse.
    sound: bool,
    problems: RefCell<Vec<Problem>>,
    sections: RefCell<BTreeSet<&'static str>>,
    #[cfg(test)]
    pub(super) asked: RefCell<BTreeSet<String>>,
}

/// Where a value stands.
#[derive(Clone)]
enum Place {
    File(Range<usize>),
    Above(String),
}

/// A value, not yet looked at.
struct Found<'a> {
    raw: Raw<'a>,
    place: Place,
    /// As in `amqp.url`.
    path: String,
}

enum Raw<'a> {
    Toml(&'a DeValue<'a>),
    Text(&'a str),
}

impl<'a> Reader<'a> {
    pub(super) fn new(inputs: &'a SettingsInputs<'a>) -> Self {
        let (name, folder) = inputs.file.map_or_else(Default::default, |file| {
            let folder = file.path.parent().unwrap_or(Path::new(""));
            (file.path.display().to_string(), folder.to_owned())
        });
        let (root, errors) = DeTable::parse_recoverable(inputs.file.map_or("", |file| file.text));
        let reader = Self {
            inputs,
            name,
            folder,
            root: root.into_inner(),
            sound: errors.is_empty(),
            problems: RefCell::default(),
            sections: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        };
        for error in errors {
            let at = Place::File(error.span().unwrap_or(0..0));
            reader.note(&at, "", error.message().replace('\n', " "), None);
        }
        reader
    }

    /// Reads one section; keys of it that `read` does not ask for are problems.
    pub(super) fn section<'r, T>(
        &'r self,
        name: &'static str,
        read: impl FnOnce(&Section<'r>) -> T,
    ) -> T {
        self.sections.borrow_mut().insert(name);
        let table = self.root.get(name).and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                let message = format!("is a section: write [{name}] above its keys");
                self.note(&Place::File(value.span()), name, message, None);
            }
            table
        });
        let section = Section {
            reader: self,
            name,
            table,
            asked: RefCell::default(),
        };
        let read = read(&section);
        section.finish();
        read
    }

    /// Reads the keys that stand above all sections; comes last, because it knows all of them then.
    pub(super) fn top<'r, T>(&'r self, read: impl FnOnce(&Section<'r>) -> T) -> T {
        let sections = self.sections.borrow();
        let sections = sections.iter().map(|name| (*name).to_owned());
        let section = Section {
            reader: self,
            name: "",
            table: Some(&self.root),
            asked: RefCell::new(sections.collect()),
        };
        let read = read(&section);
        section.finish();
        read
    }

    pub(super) fn finish(self) -> Result<(), Problems> {
        let problems = self.problems.into_inner();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Problems::new(problems))
        }
    }

    fn note(&self, at: &Place, path: &str, message: String, suggestion: Option<String>) {
        let (file, (line, column)) = match at {
            Place::File(span) => {
                let text = self.inputs.file.map_or("", |file| file.text);
                (self.name.clone(), place(text, span.start))
            }
            Place::Above(source) => (source.clone(), (0, 0)),
        };
        // A variable's name says it all.
        let path = if line == 0 { "" } else { path };
        self.problems.borrow_mut().push(Problem {
            file,
            line,
            column,
            path: path.to_owned(),
            message,
            suggestion,
        });
    }
}

/// One section, and which of its keys were asked for.
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    name: &'static str,
    table: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<String>>,
}

impl<'a> Section<'a> {
    /// What `parse` makes of a text; none where it is absent, or wrong, which is noted.
    pub(super) fn parse<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.find(key)?;
        let text = self.text(&found)?;
        self.noted(&found, parse(text))
    }

    /// The same for a value that may stand in a file of its own, named by the key with `_file` at its end.
    pub(super) fn secret<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let twin = format!("{key}_file");
        let (value, file) = (self.find(key), self.find(&twin));
        let in_file = match (&value, &file) {
            (Some(value), Some(file)) => self.is_stronger(file, &twin, value, key)?,
            (_, file) => file.is_some(),
        };
        if !in_file {
            let value = value?;
            return self.noted(&value, parse(self.text(&value)?));
        }
        let file = file?;
        let path = self.resolve(&file)?;
        let text = (self.reader.inputs.read_file)(&path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not text".to_owned()))
            .map_err(|error| format!("cannot read {}: {error}", path.display()));
        let text = self.noted(&file, text)?;
        // Editors and `echo` end files with a line break that is not meant.
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return self.noted(&file, Err(format!("{} is empty", path.display())));
        }
        self.noted(&file, parse(text))
    }

    /// Whether a key's twin counts and not the key; none where both stand in the file, which is noted.
    fn is_stronger(
        &self,
        file: &Found<'_>,
        twin: &str,
        value: &Found<'_>,
        key: &str,
    ) -> Option<bool> {
        match (&value.place, &file.place) {
            (Place::File(_), Place::File(_)) => {
                self.noted(file, Err(format!("cannot stand beside `{key}`")))
            }
            (Place::Above(_), Place::File(_)) => Some(false),
            (Place::File(_), Place::Above(_)) => Some(true),
            (Place::Above(_), Place::Above(_)) => {
                let rank = |key: &str| {
                    let path = self.path_of(key);
                    let all = self.reader.inputs.overrides;
                    all.iter().rposition(|one| one.key == path)
                };
                Some(rank(twin) > rank(key))
            }
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let found = self.find(key)?;
        let value = match &found.raw {
            Raw::Toml(value) => value.as_bool(),
            Raw::Text(text) => text.parse().ok(),
        };
        self.noted(&found, value.ok_or("must be true or false".to_owned()))
    }

    /// A whole number from 1 on.
    pub(super) fn count(&self, key: &str) -> Option<NonZeroU32> {
        let found = self.find(key)?;
        let value = match &found.raw {
            Raw::Toml(value) => value.as_integer().and_then(|it| it.as_str().parse().ok()),
            Raw::Text(text) => text.parse().ok(),
        };
        self.noted(
            &found,
            value.ok_or("must be a whole number from 1 on".to_owned()),
        )
    }

    pub(super) fn list<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let found = self.find(key)?;
        match &found.raw {
            Raw::Text(_) => {
                let parts = self
                    .text(&found)?
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty());
                let parsed: Result<_, _> = parts.map(parse).collect();
                self.noted(&found, parsed)
            }
            Raw::Toml(value) => {
                let Some(elements) = value.as_array() else {
                    return self.noted(&found, Err(r#"must be a list: ["…", "…"]"#.to_owned()));
                };
                let element = |element: &'a Spanned<DeValue<'a>>| {
                    let found = Found {
                        raw: Raw::Toml(element.get_ref()),
                        place: Place::File(element.span()),
                        path: found.path.clone(),
                    };
                    let text = self.text(&found)?;
                    self.noted(&found, parse(text))
                };
                let parsed: Vec<_> = elements.iter().map(element).collect();
                parsed.into_iter().collect()
            }
        }
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.resolve(&self.find(key)?)
    }

    /// From where a relative path in the value of `key` is meant.
    pub(super) fn folder(&self, key: &str) -> PathBuf {
        match self.find(key).map(|found| found.place) {
            Some(Place::File(_)) => self.reader.folder.clone(),
            Some(Place::Above(_)) | None => PathBuf::new(),
        }
    }

    fn resolve(&self, found: &Found<'a>) -> Option<PathBuf> {
        let text = self.text(found)?;
        Some(match found.place {
            Place::File(_) => self.reader.folder.join(text),
            Place::Above(_) => text.into(),
        })
    }

    fn path_of(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    fn find(&self, key: &str) -> Option<Found<'a>> {
        self.asked.borrow_mut().push(key.to_owned());
        let path = self.path_of(key);
        #[cfg(test)]
        self.reader.asked.borrow_mut().insert(path.clone());
        let mut above = self.reader.inputs.overrides.iter().rev();
        if let Some(Override { source, value, .. }) = above.find(|one| one.key == path) {
            return Some(Found {
                raw: Raw::Text(Secret::expose(value)),
                place: Place::Above(source.clone()),
                path,
            });
        }
        let value = self.table?.get(key)?;
        Some(Found {
            raw: Raw::Toml(value.get_ref()),
            place: Place::File(value.span()),
            path,
        })
    }

    fn text(&self, found: &Found<'a>) -> Option<&'a str> {
        let text = match found.raw {
            Raw::Text(text) => Ok(text),
            Raw::Toml(value) => value
                .as_str()
                .ok_or_else(|| format!("must be a text in quotes, not {}", kind(value))),
        };
        let text = text.and_then(|text| match text {
            "" => Err("must not be empty".to_owned()),
            _ => Ok(text),
        });
        self.noted(found, text)
    }

    fn noted<T>(&self, found: &Found<'_>, value: Result<T, String>) -> Option<T> {
        value
            .map_err(|message| self.reader.note(&found.place, &found.path, message, None))
            .ok()
    }

    fn finish(self) {
        if !self.reader.sound {
            return;
        }
        let asked = self.asked.into_inner();
        for key in self.table.into_iter().flat_map(DeTable::keys) {
            let name = key.get_ref().as_ref();
            if !asked.iter().any(|asked| asked == name) {
                let near = nearest(name, asked.iter().map(String::as_str));
                let (path, message) = if self.name.is_empty() {
                    (name.to_owned(), "unknown section or key".to_owned())
                } else {
                    let message = format!("unknown key of [{}]", self.name);
                    (format!("{}.{name}", self.name), message)
                };
                self.reader
                    .note(&Place::File(key.span()), &path, message, near);
            }
        }
    }
}

/// What a value is, with its article.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
