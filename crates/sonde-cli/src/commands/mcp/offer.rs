//! Which tools a caller is offered. What is allowed is decided by the server, whatever is offered here.

use serde::Deserialize;
use sonde_core::Scope;

/// Who asks, as the server knows them.
#[derive(Debug, Deserialize)]
pub(super) struct Caller {
    pub(super) workspace: String,
    /// As text: a newer server has others as well.
    scopes: Vec<String>,
    /// The monitors that are all they may see.
    only: Option<Vec<String>>,
}

/// What a tool is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Several monitors, of those that the caller may see; or one that is named.
    Monitors,
    /// More than single monitors.
    Workspace,
}

/// What each tool needs, by the routes that it asks.
const NEEDS: [(&str, Scope, Reach); 19] = [
    ("list_monitors", Scope::MonitorsRead, Reach::Monitors),
    ("get_monitor", Scope::MonitorsRead, Reach::Monitors),
    ("list_results", Scope::ResultsRead, Reach::Monitors),
    ("get_summary", Scope::ResultsRead, Reach::Monitors),
    ("get_uptime", Scope::ResultsRead, Reach::Monitors),
    ("list_regions", Scope::FleetRead, Reach::Workspace),
    ("get_fleet", Scope::FleetRead, Reach::Workspace),
    ("get_audit", Scope::AuditRead, Reach::Workspace),
    ("run_monitor", Scope::ChecksRun, Reach::Monitors),
    ("check_target", Scope::ChecksRun, Reach::Workspace),
    ("create_monitor", Scope::MonitorsWrite, Reach::Workspace),
    ("update_monitor", Scope::MonitorsWrite, Reach::Monitors),
    ("delete_monitor", Scope::MonitorsWrite, Reach::Monitors),
    ("pause_monitor", Scope::MonitorsWrite, Reach::Monitors),
    ("list_incidents", Scope::AlertsRead, Reach::Workspace),
    ("get_incident", Scope::AlertsRead, Reach::Workspace),
    ("acknowledge_incident", Scope::AlertsWrite, Reach::Workspace),
    ("resolve_incident", Scope::AlertsWrite, Reach::Workspace),
    ("comment_incident", Scope::AlertsWrite, Reach::Workspace),
];

impl Caller {
    /// Why there is no such tool for them.
    pub(super) fn refusal(&self, tool: &str) -> Option<String> {
        let Some((_, scope, reach)) = NEEDS.iter().find(|(name, ..)| *name == tool) else {
            return Some(format!("there is no tool `{tool}`"));
        };
        if !self.scopes.iter().any(|has| has == scope.as_str()) {
            return Some(format!(
                "`{tool}` needs an API key with the scope `{scope}`, which this one has not"
            ));
        }
        (self.only.is_some() && *reach == Reach::Workspace).then(|| {
            format!("`{tool}` is about more than the monitors that this API key is limited to")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(scopes: &[Scope], only: Option<&[&str]>) -> Caller {
        let only = only.map(|only| only.iter().map(|id| (*id).to_owned()).collect());
        Caller {
            workspace: "default".to_owned(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            only,
        }
    }

    #[test]
    fn every_tool_says_what_it_needs() {
        let names: Vec<_> = super::super::tools::all().list_all();
        let mut names: Vec<_> = names.iter().map(|tool| tool.name.as_ref()).collect();
        let mut needs = NEEDS.map(|(name, ..)| name);
        names.sort_unstable();
        needs.sort_unstable();
        assert_eq!(names, needs);
    }

    #[test]
    fn only_what_the_key_may_is_offered() {
        let offered = |caller: &Caller| {
            let offered = NEEDS.map(|(name, ..)| caller.refusal(name).is_none());
            offered.iter().filter(|offered| **offered).count()
        };
        assert_eq!(offered(&caller(&Scope::ALL, None)), NEEDS.len());
        assert_eq!(offered(&caller(&[], None)), 0);
        assert_eq!(offered(&caller(&[Scope::MonitorsRead], None)), 2);
        let limited = caller(&Scope::ALL, Some(&["shop"]));
        assert_eq!(offered(&limited), NEEDS.len() - 10);
        let why = limited.refusal("create_monitor").unwrap();
        assert!(why.contains("limited"), "{why}");
        let why = caller(&[], None).refusal("pause_monitor").unwrap();
        assert!(why.contains("`monitors:write`"), "{why}");
        assert!(caller(&Scope::ALL, None).refusal("reboot").is_some());
    }
}
