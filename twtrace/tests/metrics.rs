//! `--metrics` as a real Prometheus reads it, with the dashboard and the alerts that come with it.

#![expect(clippy::unwrap_used, reason = "a test panics")]

#[path = "live/folder.rs"]
mod folder;
#[path = "live/watch.rs"]
mod watch;

use folder::Folder;
use serde_json::Value;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use watch::Watch;

const PATIENCE: Duration = Duration::from_secs(60);
const CLOSED: usize = 120;
const LEAKED: usize = 7;

/// A Prometheus that asks one target every second.
struct Prometheus {
    child: Child,
    port: u16,
    _folder: Folder,
}

impl Prometheus {
    fn start(target: u16) -> Self {
        let folder = Folder::new("prometheus");
        let port = free_port();
        let rules = monitoring().join("alerts.yml");
        let configuration = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\n\
             scrape_configs: [{{job_name: twtrace, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n",
            rules.display()
        );
        fs::write(folder.0.join("prometheus.yml"), configuration).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.0.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.0.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port, _folder: folder }
    }

    /// The answer of its API, once it is up.
    fn ask(&self, path: &str) -> Option<Value> {
        let answer = get(self.port, path)?;
        let answer: Value = serde_json::from_str(&answer).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The samples of an expression now.
    fn query(&self, expression: &str) -> Option<Vec<Value>> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(expression)))?;
        data["result"].as_array().cloned()
    }

    fn value(&self, expression: &str) -> Option<f64> {
        self.query(expression)?.first()?["value"][1].as_str()?.parse().ok()
    }

    /// Waits until an expression has this value: it asks once a second.
    fn wait(&self, expression: &str, wanted: f64) {
        let began = Instant::now();
        while self.value(expression) != Some(wanted) {
            let is = self.value(expression);
            assert!(began.elapsed() < PATIENCE, "{expression} is {is:?}, and should be {wanted}");
            sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the scenario did is what the metrics say, every panel has an answer, and every rule can be worked out.
#[test]
fn prometheus_reads_what_happened() {
    if skipped("prometheus_reads_what_happened", "prometheus") {
        return;
    }
    let port = free_port();
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let filter = service.local_addr().unwrap().port().to_string();
    let watch = Watch::start(&["--metrics", &port.to_string(), "--local-port", &filter]);
    let prometheus = Prometheus::start(port);
    for _ in 0..CLOSED {
        let client = TcpStream::connect(service.local_addr().unwrap()).unwrap();
        // The server closes first, so that the TIME_WAITs are its own.
        let (server, _) = service.accept().unwrap();
        drop(server);
        assert_eq!((&client).read(&mut [0]).unwrap(), 0);
    }
    let leaked: Vec<_> = (0..LEAKED)
        .map(|_| {
            let client = TcpStream::connect(service.local_addr().unwrap()).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            (service.accept().unwrap(), client)
        })
        .collect();
    prometheus.wait(r#"sum(twtrace_sockets{state="TIME_WAIT"})"#, CLOSED as f64);
    prometheus.wait(r#"sum(twtrace_sockets{state="CLOSE_WAIT"})"#, LEAKED as f64);
    prometheus.wait(r#"sum(twtrace_transitions_total{from="FIN_WAIT2",to="TIME_WAIT"})"#, CLOSED as f64);
    prometheus.wait("sum(twtrace_events_lost_total)", 0.0);
    drop(leaked);
    prometheus.wait(r#"sum(twtrace_close_wait_duration_seconds_count{accepted="true"})"#, LEAKED as f64);
    prometheus.wait(r#"sum(twtrace_closes_total{closed_first="remote",close="fin"})"#, LEAKED as f64);

    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(monitoring().join("dashboard.json")).unwrap()).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut asked = 0;
    for expression in targets.map(|target| target["expr"].as_str().unwrap()) {
        let expression = expression.replace("$instance", ".+").replace("$__rate_interval", "30s");
        // There is none in CLOSE_WAIT any more, and no connection here holds a port toward anybody.
        let may_be_empty = ["ephemeral", "oldest", "CLOSE_WAIT"].iter().any(|word| expression.contains(word));
        let began = Instant::now();
        // A rate needs a second sample.
        while prometheus.query(&expression).unwrap_or_else(|| panic!("{expression} is wrong")).is_empty()
            && !may_be_empty
        {
            assert!(began.elapsed() < PATIENCE, "{expression} has no answer");
            sleep(Duration::from_millis(200));
        }
        asked += 1;
    }
    assert!(asked > 10, "{asked} expressions");
    let rules = prometheus.ask("/api/v1/rules").unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    assert_eq!(rules.len(), 4);
    for rule in rules {
        assert_eq!((rule["health"].as_str(), rule["state"].as_str()), (Some("ok"), Some("inactive")), "{rule}");
    }
    let run = watch.end();
    assert_eq!((run.lifecycles.len(), &run.summary["events_lost"]), (CLOSED + LEAKED, &Value::from(0)));
}

#[test]
fn promtool_finds_nothing_to_mend() {
    if skipped("promtool_finds_nothing_to_mend", "promtool") {
        return;
    }
    let port = free_port();
    let watch = Watch::start(&["--metrics", &port.to_string()]);
    let page = get(port, "/metrics").unwrap();
    watch.end();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let said = Command::new("promtool").args(arguments).current_dir(monitoring()).output().unwrap();
        assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

#[test]
fn whoever_asks_for_something_else_is_told() {
    if skipped("whoever_asks_for_something_else_is_told", "promtool") {
        return;
    }
    let port = free_port();
    let watch = Watch::start(&["--metrics", &port.to_string()]);
    assert!(raw(port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(raw(port, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(raw(port, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    // Somebody who says nothing is in nobody's way.
    let _silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let wants = "GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n";
    assert!(raw(port, wants).ends_with("# EOF\n"));
    // It is there once a transition has been seen, that of the asking itself at the latest.
    let began = Instant::now();
    while !get(port, "/metrics").unwrap().contains("# TYPE twtrace_transitions_total counter\n") {
        assert!(began.elapsed() < PATIENCE, "no transition was counted");
        sleep(Duration::from_millis(50));
    }
    // And a second one cannot have the same address.
    let second = Command::new(env!("CARGO_BIN_EXE_twtrace"))
        .args(["watch", "--format", "json", "--metrics", &port.to_string()])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("cannot serve metrics at 127.0.0.1:") && said.lines().count() == 1, "{said}");
    watch.end();
}

fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The body of an answer with status 200.
fn get(port: u16, path: &str) -> Option<String> {
    let answer = raw(port, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|&status| status == "200").map(|_| body.to_owned())
}

fn raw(port: u16, request: &str) -> String {
    let mut answer = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_end(&mut answer).unwrap();
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn skipped(test: &str, program: &str) -> bool {
    let reason = if !rustix::process::geteuid().is_root() {
        "needs root"
    } else if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        "needs prometheus"
    } else {
        return false;
    };
    println!("skipped: metrics::{test}: {reason}");
    true
}
