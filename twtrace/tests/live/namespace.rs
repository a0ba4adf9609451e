//! A network namespace for as long as a test needs it.

use std::process::Command;
use twtrace::probe::netns::{self, Netns};

/// A network namespace of the test, gone with it.
pub(crate) struct TestNetns(pub(crate) String);

impl TestNetns {
    /// `None` without the right to make one.
    pub(crate) fn new(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: table::{name}: only root can make a network namespace");
            return None;
        }
        let name = format!("twtrace-{name}-{}", std::process::id());
        ip(&["netns", "add", &name]);
        let made = Self(name);
        made.ip(&["link", "set", "lo", "up"]);
        Some(made)
    }

    pub(crate) fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.0], arguments].concat());
    }

    pub(crate) fn find(&self) -> Netns {
        netns::all().found.into_iter().find(|netns| netns.path.ends_with(&self.0)).expect("it is bound to a file")
    }
}

impl Drop for TestNetns {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

pub(crate) fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("ip of iproute2");
    assert!(status.success(), "ip {arguments:?}");
}
