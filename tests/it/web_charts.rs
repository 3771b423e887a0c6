//! What a pointer finds on a chart, and who has none: the numbers of the chart's own table at that moment, and a way to look closer.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sonde_tests::browser::{Browser, Key};
use sonde_tests::sonde::Running;
use sonde_tests::wait_until;

use crate::up_dashboards::{DAY, machine, rows};
use crate::web_scene::Scene;

const PATIENCE: Duration = Duration::from_secs(30);

/// Where the chart is in the window, and what its table says: for each row where it is in percent, its time and its values with
/// the names of their columns.
const CHART: &str = "
    const figure = document.getElementById(arguments[0]);
    const chart = figure.querySelector('svg.chart');
    chart.scrollIntoView({ block: 'center', behavior: 'instant' });
    const { left, top, width } = chart.getBoundingClientRect();
    const names = [...figure.querySelectorAll('thead th')].slice(1).map((it) => it.textContent);
    const rows = [...figure.querySelectorAll('tbody tr')].map((row) => {
        const values = [...row.querySelectorAll('td')].map((it, place) => `${names[place]} ${it.textContent}`);
        return [Number(row.dataset.x), row.querySelector('th').textContent, ...values];
    });
    return { left, top, width, from: Number(chart.dataset.from), to: Number(chart.dataset.to), rows };";

/// The line under the pointer and what stands beside it; null where nothing is shown.
const SHOWN: &str = "
    const figure = document.getElementById(arguments[0]);
    const [cursor, tip] = ['.cursor', '.tip'].map((name) => figure.querySelector(name));
    if (!tip.checkVisibility() || !cursor.checkVisibility()) return null;
    return [cursor.getBoundingClientRect().left, ...[...tip.children].map((it) => it.textContent)];";

async fn seen(browser: &Browser, script: &str, figure: &str) -> Value {
    browser.run(script, vec![figure.into()]).await
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

/// A monitor's page, and its address.
async fn charts_of_a_day(folder: &Path, browser: &Browser) -> (Running, String) {
    let up = machine(folder, &rows()).await;
    // The first page that is seen is loaded again, in the browser's time zone.
    browser.open(&up.url("/")).await;
    let page = up.url(&format!("/monitors/shop?{DAY}&p=50&p=95"));
    browser.open(&page).await;
    (up, page)
}

#[tokio::test]
async fn the_numbers_under_the_pointer_are_those_of_the_table() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (up, _) = charts_of_a_day(folder.path(), &browser).await;
    for figure in ["latency", "outcomes"] {
        let chart = seen(&browser, CHART, figure).await;
        assert_eq!(seen(&browser, SHOWN, figure).await, Value::Null);
        let [left, top, width] = ["left", "top", "width"].map(|name| number(&chart[name]));
        let table = chart["rows"].as_array().unwrap();
        let last = table.len() - 1;
        assert!(last > 50, "{chart}");
        for place in [0, last / 3, last / 2, last - 1, last] {
            let row = table[place].as_array().unwrap();
            let x = left + width * number(&row[0]) / 100.0;
            browser.point((x.floor(), top + 60.0)).await;
            let shown = seen(&browser, SHOWN, figure).await;
            let shown = shown
                .as_array()
                .unwrap_or_else(|| panic!("{place}: {shown}"));
            assert!((number(&shown[0]) - x).abs() < 1.5, "{shown:?} at {x}");
            assert_eq!(shown[1..], row[1..]);
        }
        browser.point((1.0, 1.0)).await;
        assert_eq!(seen(&browser, SHOWN, figure).await, Value::Null);
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn a_drag_looks_closer_and_a_click_does_not() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let scene = Scene::new().await;
    let url = scene.up.url("/monitors/up?period=1h&p=50&slo=99");
    browser.open(&url).await;
    let chart = seen(&browser, CHART, "latency").await;
    let [left, top, width] = ["left", "top", "width"].map(|name| number(&chart[name]));
    let at = |share: f64| ((left + width * share).floor(), top + 60.0);
    browser.drag(at(0.5), at(0.5)).await;
    let address = "return location.href";
    assert_eq!(browser.run(address, Vec::new()).await, url);

    // From right to left is the same.
    browser.drag(at(0.75), at(0.25)).await;
    wait_until(PATIENCE, async || {
        browser
            .run("return location.search.includes('from=')", Vec::new())
            .await
            == true
    })
    .await;
    let asked = "
        const asked = new URL(location.href).searchParams;
        const micros = (name) => Date.parse(asked.get(name)) * 1000;
        return [micros('from'), micros('to'), asked.get('period'), asked.get('p'), asked.get('slo')]";
    let asked = browser.run(asked, Vec::new()).await;
    let [begin, end] = ["from", "to"].map(|name| number(&chart[name]));
    for (place, share) in [(0, 0.25), (1, 0.75)] {
        let exact = (at(share).0 - left) / width;
        let expected = begin + (end - begin) * exact;
        let chosen = number(&asked[place]);
        assert!(
            (chosen - expected).abs() <= 1_000_000.0,
            "{asked}: {expected} was chosen"
        );
    }
    assert_eq!(asked[2], Value::Null);
    assert_eq!((&asked[3], &asked[4]), (&"50".into(), &"99".into()));
    // And that is what is drawn.
    browser.find("#latency svg.chart").await;
    let closer = seen(&browser, CHART, "latency").await;
    assert_eq!((&closer["from"], &closer["to"]), (&asked[0], &asked[1]));
    assert!(scene.up.terminate().await.success());
}

#[tokio::test]
async fn arrow_keys_find_what_a_pointer_finds() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (up, page) = charts_of_a_day(folder.path(), &browser).await;
    let chart = seen(&browser, CHART, "latency").await;
    let table = chart["rows"].as_array().unwrap();
    let last = table.len() - 1;
    let shown = async || {
        let shown = seen(&browser, SHOWN, "latency").await;
        let shown = shown.as_array().map(|it| it[1..].to_vec());
        shown.map(|it| {
            table
                .iter()
                .position(|row| row.as_array().unwrap()[1..] == it)
        })
    };
    let focus = "document.querySelector('#latency .canvas').focus()";
    browser.run(focus, Vec::new()).await;
    assert_eq!(shown().await, None);
    for (key, times, place) in [
        (Key::Left, 1, last),
        (Key::Left, 3, last - 3),
        (Key::Right, 1, last - 2),
        (Key::Home, 1, 0),
        (Key::Left, 1, 0),
        (Key::Right, 2, 2),
        (Key::End, 1, last),
        (Key::Right, 1, last),
    ] {
        browser.press(None, key, times).await;
        assert_eq!(shown().await, Some(Some(place)), "{key:?}");
    }
    browser.press(None, Key::Escape, 1).await;
    assert_eq!(shown().await, None);
    // Without a choice there is nothing to look closer at.
    browser.press(None, Key::Home, 1).await;
    browser.press(None, Key::Enter, 1).await;
    assert_eq!(browser.run("return location.href", Vec::new()).await, page);

    browser.press(None, Key::Right, 10).await;
    browser.press(Some(Key::Shift), Key::Right, 20).await;
    browser.press(None, Key::Enter, 1).await;
    let asked = || browser.run("return location.search.includes('from=')", Vec::new());
    wait_until(PATIENCE, async || asked().await == true).await;
    browser.find("#latency svg.chart").await;
    let closer = seen(&browser, CHART, "latency").await;
    let [begin, end] = ["from", "to"].map(|name| number(&chart[name]));
    for (name, place) in [("from", 10), ("to", 30)] {
        let expected = begin + (end - begin) * number(&table[place][0]) / 100.0;
        let chosen = number(&closer[name]);
        assert!(
            (chosen - expected).abs() <= 1_000_000.0,
            "{name}: {chosen}, not {expected}"
        );
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    assert!(up.terminate().await.success());
}
