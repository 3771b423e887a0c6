//! What the tests of pages stand on: that a browser ends with its test, and that faults are seen.

use nix::errno::Errno;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use sonde_tests::browser::{Browser, Look, Soundness};
use sonde_tests::stub::http::{HttpStub, Reply};

/// Everything that can be wrong, once.
const BAD: &str = r##"<!doctype html>
<html lang="en">
<head>
<title>Bad</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/heavy.css">
<style>
  .wide { width: 3000px }
  .pale { color: #aaa; background: #fff }
  .unseen:focus { outline: none }
</style>
</head>
<body>
<main>
<h1>Bad</h1>
<p id="moved">What moves</p>
<p class="pale">What is hard to read</p>
<p class="wide">What is too wide</p>
<input id="unnamed">
<a id="unseen" class="unseen" href="#top">What does not show its focus</a>
<button id="first" tabindex="3">What is reached too early</button>
<img alt="" src="FOREIGN/picture.png">
</main>
<script>
  console.error("a thing went wrong");
  console.info("nothing of note");
  addEventListener("load", () => requestAnimationFrame(() => requestAnimationFrame(() => {
    const space = document.createElement("div");
    space.style.height = "400px";
    document.querySelector("h1").after(space);
  })));
</script>
</body>
</html>"##;

const GOOD: &str = r#"<!doctype html>
<html lang="en">
<head>
<title>Good</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>button, input, summary { min-height: 24px }</style>
</head>
<body>
<main>
<h1>Good</h1>
<form>
<label>Name <input name="name"></label>
<label><input type="radio" name="size" value="small"> small</label>
<label><input type="radio" name="size" value="large" checked> large</label>
<button disabled>Not now</button>
<details><summary>More</summary><a href="/">Not shown yet</a></details>
<button>Send</button>
</form>
</main>
</body>
</html>"#;

fn html(body: &str) -> Reply {
    Reply::status(200)
        .header("content-type", "text/html; charset=utf-8")
        .body(body.to_owned())
}

#[tokio::test]
async fn all_that_is_wrong_with_a_page_is_told() {
    let Some(browser) = Soundness::start().await else {
        return;
    };
    let foreign = HttpStub::start([]).await;
    let heavy = Reply::status(200)
        .header("content-type", "text/css")
        .body(format!("/* {} */", "x".repeat(160_000)));
    let bad = BAD.replace("FOREIGN", &foreign.url(""));
    let page = HttpStub::start([
        ("/", html(&bad)),
        ("/heavy.css", heavy),
        ("/good", html(GOOD)),
    ]);
    let page = page.await;
    let faults = browser.faults(&page.url(""), "/", 200).await;
    let ports = [
        (page.server().port(), "OWN"),
        (foreign.server().port(), "OTHER"),
    ];
    let faults = faults.iter().map(|fault| {
        let text = ports.iter().fold(fault.to_string(), |text, (port, name)| {
            text.replace(&port.to_string(), name)
        });
        // These depend on the machine's fonts, and on how long the headers happen to be.
        match fault.rule.as_str() {
            rule @ ("shift" | "weight") => rule.to_owned(),
            _ => text,
        }
    });
    insta::assert_snapshot!(faults.collect::<Vec<_>>().join("\n"));

    let faults = browser.faults(&page.url(""), "/good", 200).await;
    assert_eq!(faults, [], "nothing of the page before is left");
    let faults = browser.faults(&page.url(""), "/nothing", 200).await;
    assert!(
        faults.iter().any(|fault| fault.rule == "status"),
        "{faults:?}"
    );
}

#[tokio::test]
async fn a_browser_has_the_look_that_is_asked_for_and_ends_with_its_value() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let page = HttpStub::start([("/", html(GOOD))]).await;
    for look in [Look::wide(false), Look::narrow(true)] {
        browser.set_look(look).await;
        browser.open(&page.url("/")).await;
        let script =
            "return [innerWidth, innerHeight, matchMedia('(prefers-color-scheme: dark)').matches]";
        let seen = browser.run(script, Vec::new()).await;
        assert_eq!(
            seen,
            serde_json::json!([look.width, look.height, look.dark])
        );
    }
    let group = Pid::from_raw(browser.group());
    assert_eq!(killpg(group, None), Ok(()));
    drop(browser);
    assert_eq!(killpg(group, None), Err(Errno::ESRCH));
}
