//! twtrace beside nginx, redis, wrk, ab and curl: who closed first, by process, against what the packets say.
//!
//! Each test runs its own server on its own loopback port, two runs of twtrace (one for each end) and the packet
//! oracle of `live/wire.rs`, and holds every single connection of the three against one another.

#[path = "live/compare.rs"]
mod compare;
#[path = "live/table.rs"]
mod table;
#[path = "live/watch.rs"]
mod watch;
#[path = "live/wire.rs"]
mod wire;

use compare::compare;
use rustix::process::Signal;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};
use twtrace::model::TcpState;
use watch::Watch;
use wire::{Capture, First};

/// Two cores do not carry several of these at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// nginx closes after each response, and ab reads until it does.
///
/// One connection at a time: with more, ab opens a few for which it has no request left.
#[test]
fn nginx_without_keepalive_under_ab() {
    let Some(bench) = Bench::new("nginx_without_keepalive_under_ab", &["nginx", "ab"]) else { return };
    let nginx = bench.nginx("keepalive_timeout 0;");
    let run = bench.watch(&nginx, || {
        let ab = bench.client("ab", &["-q", "-n", "500", "-c", "1", &bench.url()]);
        assert_eq!(ab.number_after("Complete requests:"), 500, "{}", ab.output);
        Load { pids: ab.pids, connections: 500..=500 }
    });
    assert_eq!(run.firsts(), [(First::Server, 500)].into());
}

/// With keepalive the connections stay as long as ab does: its exit closes them.
#[test]
fn nginx_with_keepalive_under_ab() {
    let Some(bench) = Bench::new("nginx_with_keepalive_under_ab", &["nginx", "ab"]) else { return };
    let nginx = bench.nginx("keepalive_requests 1000000;");
    let run = bench.watch(&nginx, || {
        let ab = bench.client("ab", &["-q", "-k", "-n", "500", "-c", "8", &bench.url()]);
        assert_eq!(ab.number_after("Keep-Alive requests:"), 500, "{}", ab.output);
        Load { pids: ab.pids, connections: 8..=8 }
    });
    assert_eq!(run.firsts(), [(First::Client, 8)].into());
}

/// wrk closes as soon as it has read a response that says so, which is about when nginx does: either may win, and
/// nobody but the packets can tell which.
#[test]
fn nginx_without_keepalive_under_wrk() {
    let Some(bench) = Bench::new("nginx_without_keepalive_under_wrk", &["nginx", "wrk"]) else { return };
    let nginx = bench.nginx("keepalive_timeout 0;");
    bench.watch(&nginx, || {
        let wrk = bench.client("wrk", &["-t1", "-c4", "-d1s", &bench.url()]);
        // wrk tries the address once before it begins, and does not count the requests under way when it stops.
        let requests = 1 + wrk.number_before("requests in");
        Load { pids: wrk.pids, connections: requests..=requests + 2 * 4 }
    });
}

/// Until wrk stops.
#[test]
fn nginx_with_keepalive_under_wrk() {
    let Some(bench) = Bench::new("nginx_with_keepalive_under_wrk", &["nginx", "wrk"]) else { return };
    let nginx = bench.nginx("keepalive_requests 1000000;");
    let run = bench.watch(&nginx, || {
        let wrk = bench.client("wrk", &["-t2", "-c8", "-d1s", &bench.url()]);
        assert!(wrk.number_before("requests in") > 8, "{}", wrk.output);
        // And one to try the address.
        Load { pids: wrk.pids, connections: 9..=9 }
    });
    assert_eq!(run.firsts(), [(First::Client, 9)].into());
}

/// nginx ends a connection that has had its share of requests (`keepalive_requests`): the server's turn again.
#[test]
fn nginx_with_a_limit_of_requests_under_ab() {
    let Some(bench) = Bench::new("nginx_with_a_limit_of_requests_under_ab", &["nginx", "ab"]) else { return };
    let nginx = bench.nginx("keepalive_requests 10;");
    let run = bench.watch(&nginx, || {
        let ab = bench.client("ab", &["-q", "-k", "-n", "200", "-c", "1", &bench.url()]);
        assert_eq!(ab.number_after("Complete requests:"), 200, "{}", ab.output);
        Load { pids: ab.pids, connections: 20..=20 }
    });
    assert_eq!(run.total(), 20);
}

/// curl keeps the connection until it ends: the client closes first.
#[test]
fn curl_from_nginx_with_keepalive() {
    let Some(bench) = Bench::new("curl_from_nginx_with_keepalive", &["nginx", "curl"]) else { return };
    let nginx = bench.nginx("");
    let run = bench.watch(&nginx, || bench.curl(23));
    assert_eq!(run.firsts(), [(First::Client, 23)].into());
}

/// curl closes a connection that cannot be used again, and nginx closes it too: the packets decide.
#[test]
fn curl_from_nginx_without_keepalive() {
    let Some(bench) = Bench::new("curl_from_nginx_without_keepalive", &["nginx", "curl"]) else { return };
    let nginx = bench.nginx("keepalive_timeout 0;");
    let run = bench.watch(&nginx, || bench.curl(23));
    assert_eq!(run.total(), 23);
}

/// The classic way to many TIME_WAITs: each call connects, asks, leaves.
#[test]
fn redis_cli_in_a_loop() {
    let Some(bench) = Bench::new("redis_cli_in_a_loop", &["redis-server", "redis-cli"]) else { return };
    let redis = bench.redis();
    let run = bench.watch(&redis, || {
        let port = bench.port.to_string();
        bench.loop_of(101, "redis-cli", &["-h", "127.0.0.1", "-p", &port, "ping"], "PONG")
    });
    assert_eq!(run.firsts(), [(First::Client, 101)].into());
}

/// One test's folder and port.
struct Bench {
    port: u16,
    folder: PathBuf,
    _alone: std::sync::MutexGuard<'static, ()>,
}

/// A server in the foreground, ended by a signal to its pid.
struct Server {
    child: Child,
    /// Who may accept and close.
    pids: BTreeSet<u64>,
    comm: &'static str,
    end: Signal,
}

/// What a client did.
struct Load {
    pids: BTreeMap<u64, String>,
    connections: std::ops::RangeInclusive<usize>,
}

/// A client's run.
struct Client {
    pids: BTreeMap<u64, String>,
    output: String,
}

/// The verdicts of the packets, with which those of twtrace agree.
struct Verdicts(Vec<First>);

impl Bench {
    fn new(test: &str, programs: &[&str]) -> Option<Self> {
        let missing = programs.iter().find(|program| find(program).is_none());
        let reason = match missing {
            _ if !rustix::process::geteuid().is_root() => "needs root".to_owned(),
            Some(program) => format!("{program} is not installed"),
            None => {
                let alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let folder = std::env::temp_dir().join(format!("twtrace-{test}-{}", std::process::id()));
                std::fs::create_dir_all(&folder).expect("a temporary folder");
                return Some(Self { port: table::unused_port(), folder, _alone: alone });
            }
        };
        println!("skipped: programs::{test}: {reason}");
        None
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn nginx(&self, keepalive: &str) -> Server {
        let folder = self.folder.display();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
            .join("\n    ");
        let configuration = format!(
            "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    {paths}
    {keepalive}
    server {{ listen 127.0.0.1:{}; location / {{ return 200 \"ok\\n\"; }} }}
}}
",
            self.port
        );
        let file = self.folder.join("nginx.conf");
        std::fs::write(&file, configuration).expect("the configuration");
        let mut command = Command::new(find("nginx").expect("looked for before"));
        command.arg("-p").arg(&self.folder).arg("-c").arg(&file).args(["-e", "stderr"]);
        let mut server = self.serve(command, "nginx", Signal::QUIT);
        // The master listens before its worker is there; only the worker accepts.
        let master = server.child.id();
        let children = format!("/proc/{master}/task/{master}/children");
        server.pids = poll("nginx's worker", || {
            let pids: BTreeSet<u64> = std::fs::read_to_string(&children)
                .ok()?
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect();
            (!pids.is_empty()).then_some(pids)
        });
        server
    }

    fn redis(&self) -> Server {
        let mut command = Command::new(find("redis-server").expect("looked for before"));
        command.args(["--bind", "127.0.0.1", "--daemonize", "no", "--save", "", "--appendonly", "no"]);
        command.arg("--port").arg(self.port.to_string()).arg("--dir").arg(&self.folder);
        self.serve(command, "redis-server", Signal::TERM)
    }

    fn serve(&self, mut command: Command, comm: &'static str, end: Signal) -> Server {
        let log = std::fs::File::create(self.folder.join("server.log")).expect("a log");
        let second = log.try_clone().expect("a descriptor");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(second).spawn().expect("the server starts");
        let server = Server { pids: [u64::from(child.id())].into(), child, comm, end };
        // Looked up, not tried: a try would be a connection.
        table::wait_for(self.port, "a listener", |sockets| sockets.iter().any(|s| s.state == TcpState::Listen));
        server
    }

    /// Runs a client to its end, whose connections all go to the server.
    fn client(&self, program: &str, arguments: &[&str]) -> Client {
        let child = Command::new(find(program).expect("looked for before"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client starts");
        let pids = [(u64::from(child.id()), program.to_owned())].into();
        let output = child.wait_with_output().expect("the client ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {}: {text}", output.status);
        Client { pids, output: text }
    }

    /// One run after the other, each of which makes one connection.
    fn loop_of(&self, times: usize, program: &str, arguments: &[&str], answer: &str) -> Load {
        let mut pids = BTreeMap::new();
        for _ in 0..times {
            let client = self.client(program, arguments);
            assert_eq!(client.output.trim(), answer);
            pids.extend(client.pids);
        }
        Load { pids, connections: times..=times }
    }

    fn curl(&self, times: usize) -> Load {
        self.loop_of(times, "curl", &["-sS", "--noproxy", "*", &self.url()], "ok")
    }

    /// Runs the load under the oracle and under twtrace at both ends, and holds all against one another.
    fn watch(&self, server: &Server, load: impl FnOnce() -> Load) -> Verdicts {
        let port = self.port.to_string();
        let capture = Capture::start(self.port);
        let servers_end = Watch::start(&["-L", &port]);
        let clients_end = Watch::start(&["-D", &port]);
        let load = load();
        let is_settled = |s: &table::Socket| matches!(s.state, TcpState::Listen | TcpState::TimeWait);
        table::wait_for(self.port, "the last close", |sockets| sockets.iter().all(is_settled));
        let table = table::sockets(self.port);
        let servers_end = servers_end.end();
        let clients_end = clients_end.end();
        let wire = capture.end();

        let seen: usize = wire.values().map(Vec::len).sum();
        assert!(load.connections.contains(&seen), "the packets show {seen}, the client says {:?}", load.connections);
        let server_pids: BTreeMap<u64, String> = server.pids.iter().map(|&pid| (pid, server.comm.to_owned())).collect();
        compare(&wire, "server", &servers_end, &server_pids, &load.pids);
        compare(&wire, "client", &clients_end, &load.pids, &server_pids);

        // The kernel's own word: who closes first holds the TIME_WAIT. Where a tuple was used again it holds the last.
        let time_waits = |here: fn(&table::Socket) -> u16| {
            table.iter().filter(|s| s.state == TcpState::TimeWait && here(s) == self.port).count()
        };
        let by_fin = |run: &watch::Run| {
            run.lifecycles.iter().filter(|l| !l["time_wait"].is_null() && l["ended"].is_null()).count()
        };
        assert_eq!(time_waits(|s| s.local), by_fin(&servers_end), "TIME_WAITs at the server");
        assert_eq!(time_waits(|s| s.remote), by_fin(&clients_end), "TIME_WAITs at the client");
        Verdicts(wire.into_values().flatten().map(|connection| connection.first).collect())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
            eprintln!("the server said: {log}");
        }
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        watch::signal(&self.child, self.end);
        watch::wait(&mut self.child, Duration::from_secs(10));
    }
}

impl Client {
    fn number_after(&self, label: &str) -> usize {
        let rest = self.output.split_once(label).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("no number after {label:?} in {}", self.output))
    }

    fn number_before(&self, label: &str) -> usize {
        let rest = self.output.split_once(label).map(|(rest, _)| rest);
        rest.and_then(|rest| rest.split_whitespace().next_back()?.parse().ok())
            .unwrap_or_else(|| panic!("no number before {label:?} in {}", self.output))
    }
}

impl Verdicts {
    fn firsts(&self) -> BTreeMap<First, usize> {
        let mut counts = BTreeMap::new();
        self.0.iter().for_each(|&first| *counts.entry(first).or_default() += 1);
        counts
    }

    fn total(&self) -> usize {
        self.0.len()
    }
}

/// Where a program is: in PATH, or in the folders of servers, which an ordinary PATH leaves out.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn poll<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + watch::PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}
