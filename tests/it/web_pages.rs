//! Every page in a real browser, wide and narrow, light and dark: complete, quiet, light, within its window, and usable
//! without a pointer and without seeing it. A page that is new is one line in [`PAGES`].

use std::collections::BTreeMap;

use sonde_tests::browser::{Look, Soundness};

use crate::web_scene::{self, Scene};

struct Page {
    /// `{incident}` stands for one that is open.
    path: &'static str,
    status: u64,
    /// Rules that are not asked of it, as [`Fault::rule`](sonde_tests::browser::Fault::rule) names them.
    except: &'static [&'static str],
}

const fn page(path: &'static str) -> Page {
    Page {
        path,
        status: 200,
        except: &[],
    }
}

const fn missing(path: &'static str) -> Page {
    Page {
        status: 404,
        // The browser itself says that the page was not there.
        except: &["console"],
        ..page(path)
    }
}

const PAGES: [Page; 35] = [
    page("/"),
    page("/?group=tag&state=down"),
    page("/?text=nothing+is+called+like+this"),
    page("/monitors/back"),
    page("/monitors/back?period=1h&p=50&p=75&p=90&slo=99&compare=down"),
    page("/monitors/back?compare=down&compare=long&compare=up,slow,paused,none"),
    page("/monitors/secure"),
    page("/monitors/back/checks"),
    page("/monitors/back/checks?outcome=failed&period=1h"),
    page("/new/monitor"),
    page("/new/monitor?kind=dns"),
    page("/monitors/back/edit"),
    page("/run"),
    page("/run?monitor=back"),
    page("/fleet"),
    page("/incidents"),
    page("/incidents?status=resolved&monitor=back"),
    page("/incidents/{incident}"),
    page("/channels"),
    page("/channels/ops"),
    page("/new/channel?kind=slack"),
    page("/maintenance"),
    page("/new/maintenance"),
    page("/settings"),
    page("/settings/members"),
    page("/settings/keys"),
    page("/settings/audit"),
    page("/settings/reports"),
    page("/settings/reports/daily"),
    page("/settings/usage"),
    page("/setup"),
    page("/sign-in"),
    page("/invitation"),
    missing("/monitors/nothing-is-called-like-this"),
    missing("/incidents/00000000-0000-0000-0000-000000000000"),
];

const EMPTY: [Page; 6] = [
    page("/"),
    page("/incidents"),
    page("/channels"),
    page("/maintenance"),
    page("/settings/keys"),
    page("/settings/usage"),
];

/// Written by others, so that only what they ask for and complain of is looked at.
const OTHERS: [&str; 1] = ["/docs/"];

/// What is wrong with the pages, in one line per fault with the looks that have it.
async fn faults(
    browser: &Soundness,
    looks: [Look; 2],
    origin: &str,
    pages: &[Page],
    incident: &str,
) -> Vec<String> {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for look in looks {
        browser.browser().set_look(look).await;
        for page in pages {
            let path = page.path.replace("{incident}", incident);
            for fault in browser.faults(origin, &path, page.status).await {
                if !page.except.contains(&fault.rule.as_str()) {
                    let line = format!("{} {fault}", page.path);
                    seen.entry(line).or_default().push(look.to_string());
                }
            }
        }
    }
    let told = |(fault, looks): (String, Vec<String>)| format!("{fault} [{}]", looks.join(", "));
    seen.into_iter().map(told).collect()
}

const WIDE: [Look; 2] = [Look::wide(false), Look::wide(true)];
const NARROW: [Look; 2] = [Look::narrow(false), Look::narrow(true)];

async fn all_are_sound(looks: [Look; 2]) {
    let Some(browser) = Soundness::start().await else {
        return;
    };
    let scene = Scene::new().await;
    let origin = scene.up.url("");
    let mut faults = faults(&browser, looks, &origin, &PAGES, &scene.incident).await;
    for path in OTHERS {
        let noise = browser.noise_of(&origin, path).await;
        faults.extend(noise.iter().map(|fault| format!("{path}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(scene.up.terminate().await.success());
}

#[tokio::test]
async fn every_page_is_sound_on_a_desk() {
    all_are_sound(WIDE).await;
}

#[tokio::test]
async fn every_page_is_sound_on_a_phone() {
    all_are_sound(NARROW).await;
}

#[tokio::test]
async fn where_nothing_is_watched_pages_are_sound_too() {
    let Some(browser) = Soundness::start().await else {
        return;
    };
    let (up, _folder) = web_scene::empty().await;
    for looks in [WIDE, NARROW] {
        let faults = faults(&browser, looks, &up.url(""), &EMPTY, "").await;
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
    assert!(up.terminate().await.success());
}
