//! Serving metrics on the side: the same for every command that traces.

use crate::model::filter::BadWord;
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where to serve metrics.
#[derive(Args, Debug)]
#[command(next_help_heading = "Metrics")]
pub struct MetricsArgs {
    /// Serve OpenMetrics at http://ADDR/metrics: a port, on 127.0.0.1, or an address and a port
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub metrics: Option<SocketAddr>,
}

fn address(word: &str) -> Result<SocketAddr, BadWord> {
    let port = word.strip_prefix(':').unwrap_or(word).parse();
    let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    port.map(loopback).or_else(|_| word.parse()).map_err(|_| {
        let rule = "write a port, or an address and a port: 9435, 0.0.0.0:9435, [::1]:9435";
        BadWord(format!("{word:?} is nothing to listen on: {rule}"))
    })
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn a_port_alone_is_on_loopback() {
        for (word, told) in [
            ("9435", "127.0.0.1:9435"),
            (":9435", "127.0.0.1:9435"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:9435", "[::1]:9435"),
        ] {
            assert_eq!(address(word).map(|address| address.to_string()).as_deref(), Ok(told), "{word}");
        }
        for word in ["", ":", "65536", "localhost:1", "127.0.0.1", "::1"] {
            assert!(address(word).is_err(), "{word}");
        }
    }
}
