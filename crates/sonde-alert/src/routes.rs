//! Who is told of what: the channels of all workspaces.

use std::collections::HashMap;

use sonde_core::WorkspaceId;
use sonde_notify::{ChannelConfig, IncidentNotice};
use url::Url;

#[derive(Debug, Clone, Default)]
pub struct Routes {
    pub channels: HashMap<WorkspaceId, Vec<Route>>,
    /// Where people look at incidents, if anywhere.
    pub public_url: Option<Url>,
}

/// A channel, with its secrets masked.
#[derive(Debug, Clone)]
pub struct Route {
    pub id: String,
    pub config: ChannelConfig,
}

impl Routes {
    pub(crate) fn all_of(&self, workspace: &WorkspaceId) -> impl Iterator<Item = &Route> {
        self.channels.get(workspace).into_iter().flatten()
    }

    /// Those that an incident is told to when it is opened.
    pub(crate) fn of<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        incident: &'a IncidentNotice,
    ) -> impl Iterator<Item = &'a Route> {
        self.all_of(workspace).filter(|route| {
            let IncidentNotice {
                monitor,
                tags,
                cause,
                ..
            } = incident;
            route.config.takes(monitor, tags, *cause)
        })
    }

    pub(crate) fn link(&self, incident: &IncidentNotice) -> Option<Url> {
        let path = format!("incidents/{}", incident.id);
        self.public_url.as_ref()?.join(&path).ok()
    }
}
