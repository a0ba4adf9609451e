//! The only home of aya, netlink and /proc: it observes, and leaves judging to the model.

pub mod ask;
pub mod btf;
mod cgroup;
pub mod clock;
pub mod collect;
pub mod cost;
pub mod counters;
pub mod decode;
pub mod holders;
pub mod host;
pub mod jiffies;
pub mod lanes;
pub mod load;
pub mod netns;
pub mod plan;
pub mod process;
pub mod sockets;
pub mod support;
pub mod symbols;
pub mod sysctl;
pub mod table;
pub mod tracefs;
