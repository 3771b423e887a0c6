//! The algebra of plans: carried out, nothing is left; the order makes no difference; no secret is shown.

use std::slice::from_ref;

use proptest::prelude::*;
use serde_json::json;
use sonde_core::{Auth, MASK, Spec, Timestamp};
use sonde_store::Meta;

use super::*;

fn monitor(id: &str) -> Monitor {
    let mut monitor = Monitor::sample();
    monitor.id = id.parse().unwrap();
    id.clone_into(&mut monitor.name);
    monitor
}

fn stored(value: Monitor) -> Stored<Monitor> {
    let at = Timestamp::from_micros(0);
    let meta = Meta {
        version: 1,
        managed_by: None,
        created_at: at,
        updated_at: at,
    };
    Stored { value, meta }
}

fn kept(value: Monitor) -> Stored<Monitor> {
    let mut stored = stored(value);
    stored.meta.managed_by = Some("/etc/sonde.yaml".to_owned());
    stored
}

fn http(monitor: &mut Monitor) -> &mut sonde_core::HttpSpec {
    match &mut monitor.spec {
        Spec::Http(spec) => spec,
        _ => panic!("http"),
    }
}

/// With a password in a header and in its authorization.
fn secretive(id: &str) -> Monitor {
    let mut monitor = monitor(id);
    let spec = http(&mut monitor);
    spec.headers = vec![("x-key".to_owned(), "hunter2".to_owned())];
    spec.auth = Some(Auth::Bearer {
        token: "hunter2".to_owned(),
    });
    monitor
}

fn masked(mut monitor: Monitor) -> Monitor {
    monitor.spec = monitor.spec.masked();
    monitor
}

/// What a store would hold after the plan was carried out.
fn applied(before: &[Stored<Monitor>], plan: &Plan, puts: Vec<Monitor>) -> Vec<Stored<Monitor>> {
    let changed = |id: &MonitorId| plan.changes.iter().any(|change| change.id == id.as_str());
    let same = before.iter().filter(|one| !changed(&one.value.id)).cloned();
    same.chain(puts.into_iter().map(stored)).collect()
}

/// Action and id of each change.
#[track_caller]
fn changes(before: &[Stored<Monitor>], wanted: &[Monitor], prune: bool) -> Vec<String> {
    let (plan, _) = plan(before, wanted, prune).unwrap();
    let line = |change: &Planned| format!("{} {}", change.action.as_str(), change.id);
    plan.changes.iter().map(line).collect()
}

#[track_caller]
fn refused(before: &[Stored<Monitor>], wanted: &[Monitor], prune: bool) -> Vec<String> {
    let problems = plan(before, wanted, prune).unwrap_err();
    let line = |problem: PlanProblem| format!("{}: {}", problem.path, problem.message);
    problems.into_iter().map(line).collect()
}

#[test]
fn what_is_new_different_and_gone_is_told_apart() {
    let before = ["a", "b", "d"].map(|id| stored(monitor(id)));
    let mut different = monitor("b");
    different.interval *= 2;
    let wanted = [monitor("c"), different, monitor("a")];
    assert_eq!(changes(&before, &wanted, false), ["update b", "create c"]);
    let all = ["update b", "create c", "remove d"];
    assert_eq!(changes(&before, &wanted, true), all);
}

#[test]
fn fields_are_named_as_in_the_file_and_secrets_are_only_said_to_be_different() {
    let before = secretive("a");
    let mut after = masked(before.clone());
    after.interval *= 2;
    after.tags.push("shop".to_owned());
    after.expect = vec!["status == 200".parse().unwrap()];
    let spec = http(&mut after);
    spec.headers[0].1 = "changed".to_owned();
    spec.headers
        .push(("accept".to_owned(), "text/html".to_owned()));
    let (plan, puts) = plan(&[stored(before)], &[after], false).unwrap();
    let fields = serde_json::to_value(&plan.changes).unwrap();
    let expected = json!([{ "kind": "monitor", "id": "a", "action": "update", "fields": [
        { "path": "expect[0]", "after": "status == 200", "secret": false },
        { "path": "http.headers[0].value", "before": MASK, "after": MASK, "secret": true },
        { "path": "http.headers[1]", "after": { "name": "accept", "value": "text/html" }, "secret": false },
        { "path": "interval", "before": "5s", "after": "10s", "secret": false },
        { "path": "tags[1]", "after": "shop", "secret": false },
    ] }]);
    assert_eq!(fields, expected);
    let Spec::Http(put) = &puts[0].spec else {
        panic!("http")
    };
    assert_eq!(put.headers[0].1, "changed");
    let token = "hunter2".to_owned();
    assert!(put.auth == Some(Auth::Bearer { token }));
}

#[test]
fn masks_that_stand_for_nothing_are_refused() {
    let wanted = [masked(secretive("a"))];
    let nothing = refused(&[], &wanted, false);
    assert!(nothing[0].starts_with("monitors.a: `REDACTED` stands for a secret"));
    let mut elsewhere = masked(secretive("a"));
    http(&mut elsewhere).url = "https://elsewhere.example/".parse().unwrap();
    let moved = refused(&[stored(secretive("a"))], &[elsewhere], false);
    assert!(moved[0].starts_with("monitors.a: the target is another one"));
}

#[test]
fn a_pause_is_never_undone() {
    let mut paused = monitor("a");
    paused.paused = true;
    assert!(changes(&[stored(paused.clone())], &[monitor("a")], false).is_empty());
    assert!(changes(&[stored(monitor("a"))], &[paused.clone()], false).is_empty());
    let mut renamed = monitor("a");
    renamed.name = "A".to_owned();
    let (_, puts) = plan(&[stored(paused.clone())], &[renamed], false).unwrap();
    assert!(puts[0].paused);
    let (_, puts) = plan(&[], &[paused], false).unwrap();
    assert!(puts[0].paused);
}

#[test]
fn what_a_file_keeps_is_not_changed() {
    let mut different = monitor("a");
    different.interval *= 2;
    let before = [kept(monitor("a"))];
    let problems = refused(&before, &[different], true);
    assert_eq!(
        problems,
        ["monitors.a: is kept by the file `/etc/sonde.yaml` of the server: change it there"]
    );
    assert!(changes(&before, &[monitor("a")], true).is_empty());
    assert!(changes(&before, &[], true).is_empty());
}

#[test]
fn dependencies_are_there_and_go_in_no_circle() {
    let on = |id: &str, to: &[&str]| {
        let mut monitor = monitor(id);
        monitor.depends_on = to.iter().map(|id| id.parse().unwrap()).collect();
        monitor
    };
    let gateway = [stored(on("gateway", &[]))];
    assert_eq!(
        changes(&gateway, &[on("a", &["gateway"])], false),
        ["create a"]
    );
    assert_eq!(
        refused(&gateway, &[on("a", &["gateway", "b"])], false),
        ["monitors.a.depends_on[1]: there is no monitor `b`"]
    );
    assert_eq!(
        refused(
            &[gateway[0].clone(), kept(on("k", &["gateway"]))],
            &[],
            true
        ),
        ["monitors.k.depends_on[0]: `gateway` would be removed"]
    );
    let chain = ["b", "c", "d"].map(|id| stored(on(id, if id == "d" { &["a"] } else { &[] })));
    let circle = [on("a", &["c", "d"]), on("e", &["a"])];
    assert_eq!(
        refused(&chain, &circle, false),
        ["monitors.a.depends_on: depends on itself, directly or by way of others"]
    );
}

#[test]
fn the_fingerprint_is_of_what_was_seen_and_sent() {
    let before = stored(secretive("a"));
    let mut wanted = masked(secretive("a"));
    wanted.interval *= 2;
    let print = |before: &Stored<Monitor>, wanted: &Monitor| {
        let (plan, _) = plan(from_ref(before), from_ref(wanted), false).unwrap();
        plan.fingerprint().to_owned()
    };
    let first = print(&before, &wanted);
    assert_eq!(first.len(), 64);
    assert_eq!(print(&before, &wanted), first);
    let mut newer = before.clone();
    newer.meta.version += 1;
    assert_ne!(print(&newer, &wanted), first);
    let mut other = before.clone();
    http(&mut other.value).auth = None;
    http(&mut other.value).auth = Some(Auth::Bearer {
        token: "hunter3".to_owned(),
    });
    assert_eq!(print(&other, &wanted), first);
    http(&mut wanted).headers[0].1 = "new".to_owned();
    assert_ne!(print(&before, &wanted), first);
}

/// Some monitors of four ids, each in one of a few states.
fn some_monitors() -> impl Strategy<Value = Vec<Monitor>> {
    let states = proptest::collection::vec(proptest::option::of((0_u32..3, any::<bool>())), 4);
    states.prop_map(|states| {
        let ids = ["a", "b", "c", "d"].into_iter().zip(states);
        ids.filter_map(|(id, state)| {
            let (state, paused) = state?;
            let mut monitor = secretive(id);
            monitor.interval *= state + 1;
            monitor.paused = paused;
            http(&mut monitor).headers[0].1 = format!("hunter{state}");
            Some(monitor)
        })
        .collect()
    })
}

proptest! {
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(
        before in some_monitors(),
        wanted in some_monitors(),
        prune: bool,
    ) {
        let before: Vec<_> = before.into_iter().map(stored).collect();
        let (first, puts) = plan(&before, &wanted, prune).unwrap();
        let after = applied(&before, &first, puts);
        let (again, puts) = plan(&after, &wanted, prune).unwrap();
        prop_assert!(again.changes.is_empty() && puts.is_empty(), "{again:?}");
        prop_assert_eq!(again.unchanged, wanted.len());
        if prune {
            prop_assert_eq!(after.len(), wanted.len());
        }
        // What is stored, as people see it, is no change either.
        let seen: Vec<_> = after.iter().map(|one| masked(one.value.clone())).collect();
        let (same, _) = plan(&after, &seen, true).unwrap();
        prop_assert!(same.changes.is_empty(), "{same:?}");
    }

    #[test]
    fn the_order_makes_no_difference(
        before in some_monitors(),
        wanted in some_monitors(),
        prune: bool,
    ) {
        let mut before: Vec<_> = before.into_iter().map(stored).collect();
        let mut wanted = wanted;
        let (first, _) = plan(&before, &wanted, prune).unwrap();
        before.reverse();
        wanted.reverse();
        let (second, _) = plan(&before, &wanted, prune).unwrap();
        prop_assert_eq!(first, second);
    }

    #[test]
    fn a_plan_shows_no_secret(before in some_monitors(), wanted in some_monitors()) {
        let before: Vec<_> = before.into_iter().map(stored).collect();
        let (plan, _) = plan(&before, &wanted, true).unwrap();
        let text = serde_json::to_string(&plan).unwrap();
        prop_assert!(!text.contains("hunter"), "{text}");
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
