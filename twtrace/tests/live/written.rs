//! Recordings that are written by hand.

use crate::{folder::Folder, trace};
use std::{collections::BTreeMap, fs, path::PathBuf};
use twtrace::{
    model::{
        Ktime,
        attached::{Attached, Clock, Precision, Probe},
        tracker::Means,
    },
    trace::{Header, Writer},
};

/// 2026-01-01T00:00:00Z.
pub(crate) const NEW_YEAR: i64 = 1_767_225_600_000_000_000;

/// A connection of web to db that web closes, as web's host has it.
pub(crate) const WEB: &str = "
    1s     #7 10.0.0.1:40000 10.0.0.2:80 CLOSE>SYN_SENT by web/812
    1s     #7 SYN_SENT>ESTABLISHED
    1.5s   #7 ESTABLISHED>FIN_WAIT1 by web/812
    1.501s #7 FIN_WAIT1>FIN_WAIT2 dead
    1.501s #7 FIN_WAIT2>CLOSE done dead
    3s     tick
    61.5s  #7 timer expire TIME_WAIT due=61.5s
    62s    tick
    63s    tick";

/// The same on db's host, which was booted 40 s later; its cookies are its own.
pub(crate) const DB: &str = "
    21s      #7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
    21s      #7 SYN_RECV>ESTABLISHED
    21s      #7 accept by db/55
    21.5s    #7 ESTABLISHED>CLOSE_WAIT
    21.5s    #7 CLOSE_WAIT>LAST_ACK by db/55
    21.501s  #7 LAST_ACK>CLOSE
    23s      tick
    24s      tick";

pub(crate) fn header(host: &str, realtime: i64) -> Header {
    Header {
        version: "0.0.9".to_owned(),
        host: host.to_owned(),
        boot: Some(format!("boot of {host}")),
        piece: 1,
        own_netns: 1,
        command: vec!["twtrace".to_owned()],
        filters: Vec::new(),
        sysctls: BTreeMap::new(),
        attached: Attached {
            at: Ktime(0),
            kernel: "6.6.6".to_owned(),
            probes: vec![Probe { name: "tp_btf/inet_sock_set_state".into(), off: None }],
            precision: Precision::Hook,
            clock: Clock { realtime, boottime: 0 },
        },
        means: Means { timer_ends: true, ..Means::default() },
    }
}

/// Writes a recording, a batch for each of its parts.
pub(crate) fn record(folder: &Folder, name: &str, header: &Header, parts: &[&str]) -> PathBuf {
    let path = folder.0.join(name);
    let mut writer = Writer::new(fs::File::create(&path).unwrap(), header).unwrap();
    for part in parts {
        for (observation, _) in trace::parse(part) {
            writer.push(observation).unwrap();
        }
        writer.flush().unwrap();
    }
    writer.finish().unwrap();
    path
}
