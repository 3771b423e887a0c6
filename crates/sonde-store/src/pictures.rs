//! Pictures of incidents: in a folder of this machine, or at whatever speaks the API of S3.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};
use sonde_core::WorkspaceId;
use uuid::Uuid;

/// Of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A page that shows a picture does not wait longer for it.
const LONGEST: Duration = Duration::from_secs(20);
const RETRIES: usize = 2;

/// Where pictures are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pictures(Arc<dyn ObjectStore>);

/// A bucket. What is none is found where the machine runs, as its role's credentials are.
#[derive(Debug, Clone, Default)]
pub struct Bucket {
    pub name: String,
    /// What every key begins with; may be empty.
    pub prefix: String,
    /// Of another vendor than Amazon.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("cannot make the folder for pictures")]
    Folder(#[source] std::io::Error),
    #[error("the store of pictures cannot be used")]
    Store(#[from] object_store::Error),
}

impl Pictures {
    /// Makes the folder where there is none.
    pub fn in_folder(folder: &Path) -> Result<Self, PictureError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(PictureError::Folder)?;
        Ok(Self(Arc::new(LocalFileSystem::new_with_prefix(folder)?)))
    }

    /// Connects to nothing yet.
    pub fn in_bucket(bucket: Bucket) -> Result<Self, PictureError> {
        let plain = bucket
            .endpoint
            .as_deref()
            .is_some_and(|it| it.starts_with("http://"));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket.name)
            .with_client_options(
                ClientOptions::new()
                    .with_timeout(TIMEOUT)
                    .with_allow_http(plain),
            )
            .with_retry(RetryConfig {
                max_retries: RETRIES,
                retry_timeout: LONGEST,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = bucket.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = bucket.region {
            builder = builder.with_region(region);
        }
        if let Some(id) = bucket.access_key_id {
            builder = builder.with_access_key_id(id);
        }
        if let Some(secret) = bucket.secret_access_key {
            builder = builder.with_secret_access_key(secret);
        }
        if let Some(token) = bucket.session_token {
            builder = builder.with_token(token);
        }
        let store = PrefixStore::new(builder.build()?, bucket.prefix);
        Ok(Self(Arc::new(store)))
    }

    /// In place of the one that there may be.
    pub async fn put(
        &self,
        workspace: &WorkspaceId,
        incident: Uuid,
        png: Vec<u8>,
    ) -> Result<(), PictureError> {
        self.0.put(&key(workspace, incident), png.into()).await?;
        Ok(())
    }

    pub async fn get(
        &self,
        workspace: &WorkspaceId,
        incident: Uuid,
    ) -> Result<Option<Bytes>, PictureError> {
        match self.0.get(&key(workspace, incident)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Of one that is not there nothing is deleted.
    pub async fn delete(
        &self,
        workspace: &WorkspaceId,
        incident: Uuid,
    ) -> Result<(), PictureError> {
        match self.0.delete(&key(workspace, incident)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn key(workspace: &WorkspaceId, incident: Uuid) -> Key {
    Key::from(format!("screenshots/{workspace}/{incident}.png"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_keeps_pictures_under_their_incident() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("new");
        let pictures = Pictures::in_folder(&root).unwrap();
        let (local, id) = (WorkspaceId::local(), Uuid::from_u128(1));
        assert_eq!(pictures.get(&local, id).await.unwrap(), None);
        for png in ["first", "second"] {
            pictures.put(&local, id, png.into()).await.unwrap();
            let found = pictures.get(&local, id).await.unwrap();
            assert_eq!(found.as_deref(), Some(png.as_bytes()));
        }
        let file = root.join(format!("screenshots/{local}/{id}.png"));
        assert!(file.exists(), "{}", file.display());
        let other = WorkspaceId::new("other").unwrap();
        assert_eq!(pictures.get(&other, id).await.unwrap(), None);
        for _ in 0..2 {
            pictures.delete(&local, id).await.unwrap();
        }
        assert_eq!(pictures.get(&local, id).await.unwrap(), None);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let made = Pictures::in_folder(&file.path().join("in-a-file"));
        assert!(matches!(made, Err(PictureError::Folder(_))), "{made:?}");
    }
}
