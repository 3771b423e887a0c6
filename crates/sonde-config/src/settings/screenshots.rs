//! The sections `[screenshots]` and `[screenshotter]`: where pictures of incidents are, and what takes them.

use std::path::{Path, PathBuf};

use url::Url;

use super::read::Section;
use super::{Secret, ServiceUrl};

#[derive(Debug, Clone)]
pub struct ScreenshotSettings {
    /// In the data folder when absent.
    pub location: Option<PicturesLocation>,
    /// Of another vendor than Amazon.
    pub endpoint: Option<ServiceUrl>,
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<Secret>,
    /// Of credentials that end.
    pub session_token: Option<Secret>,
}

/// Where pictures are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PicturesLocation {
    Folder(PathBuf),
    Bucket { name: String, prefix: String },
}

#[derive(Debug, Clone)]
pub struct ScreenshotterSettings {
    /// Another program than the one on the path.
    pub chromium: Option<PathBuf>,
}

impl PicturesLocation {
    /// `s3://BUCKET/PREFIX`, `file:PATH`, or a path; relative ones are meant from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        if text.starts_with("s3://") {
            return bucket(text);
        }
        let path = text.strip_prefix("file:");
        if path.is_none() && text.contains("://") {
            return Err(format!(
                "`{text}` is neither a folder nor a bucket such as s3://bucket/prefix"
            ));
        }
        let path = path.map_or(text, |path| path.strip_prefix("//").unwrap_or(path));
        if path.is_empty() {
            return Err("names no folder".to_owned());
        }
        Ok(Self::Folder(folder.join(path)))
    }
}

fn bucket(text: &str) -> Result<PicturesLocation, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
    let has_more = url.query().is_some() || url.fragment().is_some() || url.port().is_some();
    if has_more || !url.username().is_empty() || url.password().is_some() {
        return Err(
            "must be s3://bucket/prefix and nothing more: keys have keys of their own".to_owned(),
        );
    }
    let name = url.host_str().filter(|name| !name.is_empty());
    Ok(PicturesLocation::Bucket {
        name: name.ok_or("names no bucket")?.to_owned(),
        prefix: url.path().trim_matches('/').to_owned(),
    })
}

pub(super) fn read(section: &Section<'_>) -> ScreenshotSettings {
    let folder = section.folder("url");
    ScreenshotSettings {
        location: section.parse("url", |text| PicturesLocation::parse(text, &folder)),
        endpoint: section.parse("endpoint", |text| {
            ServiceUrl::parse(text, &["http", "https"])
        }),
        region: section.parse("region", |text| Ok(text.to_owned())),
        access_key_id: section.parse("access_key_id", |text| Ok(text.to_owned())),
        secret_access_key: section.secret("secret_access_key", |text| Ok(Secret::new(text))),
        session_token: section.secret("session_token", |text| Ok(Secret::new(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_in_a_folder_or_in_a_bucket() {
        #[track_caller]
        fn check(text: &str, expected: Result<PicturesLocation, &str>) {
            let read = PicturesLocation::parse(text, Path::new("etc"));
            match (read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (read, expected) => assert!(read.is_err() && expected.is_err(), "{read:?}"),
            }
        }
        let folder = |path: &str| Ok(PicturesLocation::Folder(path.into()));
        let bucket = |name: &str, prefix: &str| {
            let [name, prefix] = [name, prefix].map(str::to_owned);
            Ok(PicturesLocation::Bucket { name, prefix })
        };
        check("pictures", folder("etc/pictures"));
        check("file:///var/lib/sonde", folder("/var/lib/sonde"));
        check("s3://sonde", bucket("sonde", ""));
        check("s3://sonde/a/b/", bucket("sonde", "a/b"));
        check(
            "https://sonde.example",
            Err("neither a folder nor a bucket"),
        );
        check("s3://", Err("names no bucket"));
        check("s3://key:secret@sonde", Err("nothing more"));
        check("file:", Err("names no folder"));
    }
}
