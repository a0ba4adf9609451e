//! The report's page, as a browser shows it.

#![expect(clippy::unwrap_used, reason = "a test panics")]

mod browser;
mod incident;

use browser::Browser;
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
};
use twtrace::{
    model::report::Comparison,
    sink::html::{comparison, page},
};

/// A phone and a desk.
const WIDTHS: [u32; 2] = [390, 1280];
const SCHEMES: [&str; 2] = ["light", "dark"];

/// The texts that stand out too little from what is behind them: 4.5 to 1 is what WCAG 2 asks for.
const TOO_PALE: &str = include_str!("pale.js");

#[test]
fn a_browser_shows_the_page() {
    let Some(mut browser) = Browser::start() else {
        println!("skipped: a_browser_shows_the_page: no chromium here");
        return;
    };
    let report = incident::report();
    let file = write("incident.html", &page(&report, incident::CLOCK));
    let compared = write("compared.html", &comparison(&Comparison::new(&report, &report)));
    for (file, figures) in [(&file, 6), (&compared, 0)] {
        shows(&mut browser, file, figures);
    }
    fs::remove_file(file).unwrap();
    fs::remove_file(compared).unwrap();
}

fn shows(browser: &mut Browser, file: &Path, figures: u32) {
    for (width, scheme) in WIDTHS.into_iter().flat_map(|width| SCHEMES.map(|scheme| (width, scheme))) {
        let told = format!("{}, {width} wide, {scheme}", file.display());
        browser.show(file, width, scheme);
        assert_eq!(browser.ask("document.documentElement.scrollWidth"), json!(width), "{told}: it scrolls sideways");
        assert_eq!(browser.ask(TOO_PALE), json!([]), "{told}");
        assert_eq!(browser.ask("document.querySelectorAll('script, img, link, iframe').length"), json!(0), "{told}");
        let unnamed = "[...document.querySelectorAll('svg')].filter(svg => !svg.getAttribute('aria-label')).length";
        assert_eq!(browser.ask(unnamed), json!(0), "{told}");
        assert_eq!(browser.ask("document.querySelectorAll('figure').length"), json!(figures), "{told}");
        assert_eq!(complaints(&browser.events), Vec::<String>::new(), "{told}");
    }
}

#[test]
fn nothing_from_outside_gets_out_of_its_text() {
    let report = incident::report();
    let page = page(&report, incident::CLOCK) + &comparison(&Comparison::new(&report, &report));
    for tag in ["<script", "<img", "<b>bold", "<b>ab", "<i>"] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(!page.contains("http://") && !page.contains("https://"), "it points to somewhere else");
}

/// Errors on the console, and whatever was asked of a network.
fn complaints(events: &[Value]) -> Vec<String> {
    let complaint = |event: &Value| match event["method"].as_str()? {
        "Log.entryAdded" | "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => Some(event.to_string()),
        "Network.requestWillBeSent" => {
            let url = event["params"]["request"]["url"].as_str()?;
            (!url.starts_with("file:")).then(|| url.to_owned())
        }
        _ => None,
    };
    events.iter().filter_map(complaint).collect()
}

fn write(name: &str, page: &str) -> PathBuf {
    let file = env::temp_dir().join(format!("twtrace-{}-{name}", std::process::id()));
    fs::write(&file, page).unwrap();
    file
}
