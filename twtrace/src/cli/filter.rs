//! The filters, the same for every command.

use crate::model::filter::{Cgroup, Family, Filter, Name, Netns, Network, Ports};
use clap::{Args, Parser};

/// The filters, the same for every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters (a list is separated by commas; different filters must all match)")]
pub struct FilterArgs {
    /// Connections owned by these processes
    #[arg(short, long = "pid", value_name = "PIDS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub pids: Vec<u32>,
    /// Connections owned by processes with these names, as the kernel has them (15 bytes)
    #[arg(long = "comm", value_name = "NAMES", value_delimiter = ',')]
    pub comms: Vec<Name>,
    /// Connections owned by processes of these users, by number
    #[arg(long = "uid", value_name = "UIDS", value_delimiter = ',')]
    pub uids: Vec<u32>,
    /// Ports of this end, e.g. 80,443,8000-8999
    #[arg(short = 'L', long = "local-port", value_name = "PORTS", value_delimiter = ',')]
    pub local_ports: Vec<Ports>,
    /// Ports of the other end, e.g. 80,443,8000-8999
    #[arg(short = 'D', long = "remote-port", value_name = "PORTS", value_delimiter = ',')]
    pub remote_ports: Vec<Ports>,
    /// Addresses of this end, e.g. 10.0.0.0/8 or ::1
    #[arg(long = "local-addr", value_name = "NETWORKS", value_delimiter = ',')]
    pub local_addrs: Vec<Network>,
    /// Addresses of the other end, e.g. 10.0.0.0/8 or ::1
    #[arg(long = "remote-addr", value_name = "NETWORKS", value_delimiter = ',')]
    pub remote_addrs: Vec<Network>,
    /// IPv4 alone, v4-mapped connections of IPv6 sockets among it
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 alone
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Network namespaces, by inode number as in `readlink /proc/PID/ns/net`
    #[arg(long, value_name = "INODES", value_delimiter = ',')]
    pub netns: Vec<Netns>,
    /// Connections owned by processes in these cgroups or below, e.g. /system.slice/nginx.service
    #[arg(long = "cgroup", value_name = "PATHS", value_delimiter = ',')]
    pub cgroups: Vec<Cgroup>,
}

impl FilterArgs {
    /// What these words choose, or what is wrong with them on one line. A word in quotes may have blanks in it.
    pub fn parse_line(line: &str) -> Result<Filter, String> {
        let words = words(line).ok_or_else(|| "a quote is not closed".to_owned())?;
        let parsed = Self::parse(&words).map_err(|error| {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        })?;
        Ok(parsed.filter())
    }

    /// As the model takes it.
    pub fn filter(self) -> Filter {
        let Self {
            pids,
            comms,
            uids,
            local_ports,
            remote_ports,
            local_addrs,
            remote_addrs,
            ipv4,
            ipv6,
            netns,
            cgroups,
        } = self;
        let family = match (ipv4, ipv6) {
            (true, _) => Some(Family::Ipv4),
            (_, true) => Some(Family::Ipv6),
            (false, false) => None,
        };
        Filter { pids, comms, uids, local_ports, remote_ports, local_addrs, remote_addrs, family, netns, cgroups }
    }

    /// The same as words of a command line, for a recording to keep.
    pub fn words(&self) -> Vec<String> {
        let Self {
            pids,
            comms,
            uids,
            local_ports,
            remote_ports,
            local_addrs,
            remote_addrs,
            ipv4,
            ipv6,
            netns,
            cgroups,
        } = self;
        let lists = [
            ("--pid", list(pids)),
            ("--comm", list(comms)),
            ("--uid", list(uids)),
            ("--local-port", list(local_ports)),
            ("--remote-port", list(remote_ports)),
            ("--local-addr", list(local_addrs)),
            ("--remote-addr", list(remote_addrs)),
            ("--netns", list(netns)),
            ("--cgroup", list(cgroups)),
        ];
        let given = lists.into_iter().filter(|(_, values)| !values.is_empty());
        let flags = [(*ipv4, "--ipv4"), (*ipv6, "--ipv6")].into_iter().filter(|(on, _)| *on);
        let flags = flags.map(|(_, word)| word.to_owned());
        given.map(|(word, values)| format!("{word}={values}")).chain(flags).collect()
    }

    /// What [`words`](Self::words) gave.
    ///
    /// # Errors
    ///
    /// Where another version knew filters that this one does not.
    pub fn parse(words: &[String]) -> Result<Self, clap::Error> {
        #[derive(Parser)]
        #[command(no_binary_name = true, disable_help_flag = true)]
        struct Words {
            #[command(flatten)]
            filter: FilterArgs,
        }
        Words::try_parse_from(words).map(|words| words.filter)
    }
}

fn list(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The words of a line; `None` where a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}
