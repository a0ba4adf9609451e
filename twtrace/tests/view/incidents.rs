//! What the views say of incidents that real processes acted, out of their recordings (tests/golden).

use crate::stage::Stage;
use insta::assert_snapshot;

const SIZES: [(&str, (u16, u16)); 3] = [("small", (80, 24)), ("middle", (120, 40)), ("large", (250, 70))];

/// The view after these keys, at every size; the cursor is where the keys took it.
#[track_caller]
fn picture(incident: &str, view: &str, keys: &str) {
    let mut stage = Stage::of_recording(incident);
    stage.press(keys);
    for (name, size) in SIZES {
        assert_snapshot!(format!("{incident}_{view}_{name}"), stage.picture(size));
    }
}

/// 330 calls, each with a connection of its own, out of 400 ports.
#[test]
fn a_client_that_floods_one_destination() {
    picture("flood", "overview", "o");
    picture("flood", "time_wait", "t");
    picture("flood", "connections", "csss");
}

/// 130 calls out of 100 ports.
#[test]
fn ports_that_are_used_up() {
    picture("exhausted", "overview", "o");
    picture("exhausted", "events", "e");
}

/// 50 clients that close, and a server that does not.
#[test]
fn a_server_that_never_closes() {
    picture("leak", "overview", "o");
    picture("leak", "close_wait", "a");
    // The oldest of them, with its other end.
    picture("leak", "detail", "a<Tab><Enter>");
}

/// 200 requests, each by a connection to the upstream that the proxy closes first.
#[test]
fn a_proxy_that_closes_first() {
    picture("proxy", "closers", "r");
}

/// A backlog of 16 holds 17; of 30 clients 8 close, and the others wait.
#[test]
fn an_accept_queue_that_nobody_empties() {
    picture("queue", "close_wait", "a");
}

#[test]
fn a_healthy_run() {
    picture("healthy", "overview", "o");
}
