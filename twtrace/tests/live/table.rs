//! The socket table of the calling thread's network namespace, as /proc/thread-self/net/tcp has it.

use std::time::{Duration, Instant};
use twtrace::model::TcpState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) local: u16,
    pub(crate) remote: u16,
    pub(crate) state: TcpState,
}

/// The IPv4 sockets with this port at either end.
pub(crate) fn sockets(port: u16) -> Vec<Socket> {
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").expect("the socket table");
    let parse = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
        Some(Socket {
            local: port(fields.next()?)?,
            remote: port(fields.next()?)?,
            state: TcpState::from_number(u8::from_str_radix(fields.next()?, 16).ok()?)?,
        })
    };
    table.lines().filter_map(parse).filter(|s| s.local == port || s.remote == port).collect()
}

/// Waits until the sockets with this port are as wanted.
pub(crate) fn wait_for(port: u16, what: &str, wanted: impl Fn(&[Socket]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let sockets = sockets(port);
        if wanted(&sockets) {
            return;
        }
        assert!(Instant::now() < deadline, "port {port}: waited for {what}, but the table has {sockets:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port below the ephemeral ones of which the table knows nothing, not even a TIME_WAIT.
pub(crate) fn unused_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + (std::process::id() % 100) as u16 * 100;
    (0..100)
        .map(|_| start + NEXT.fetch_add(1, Ordering::Relaxed) % 100)
        .find(|&port| sockets(port).is_empty())
        .expect("one of a hundred ports is unused")
}
