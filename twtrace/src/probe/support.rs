//! Facts on the running kernel; what to make of them is [`plan`](super::plan)'s business.

use super::{btf::Btf, netns, symbols::Symbols, table::SocketTable, tracefs};
use std::{io, path::PathBuf};
use twtrace_common::Layout;

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// `uname -r`.
    pub kernel: String,
    /// Offsets into the kernel's structures, or what stands in the way of knowing them.
    pub layout: Result<Layout, String>,
    /// Arguments of the tracepoints that programs of ours would sit on, by BTF.
    pub tracepoints: Vec<(&'static str, usize)>,
    /// `enum sk_rst_reason`, by number.
    pub reset_reasons: Vec<(u32, String)>,
    /// Addresses of the functions that matter.
    pub symbols: Symbols,
    /// Where tracefs is, or why it cannot be read.
    pub tracefs: Result<PathBuf, String>,
    /// Nanoseconds of a jiffy.
    pub jiffy: u64,
    /// `none`, `integrity` or `confidentiality`, where it can be read.
    pub lockdown: Option<String>,
    /// The socket table can be read.
    pub sock_diag: Result<(), String>,
}

/// Tracepoints that programs of ours sit on.
pub const TRACEPOINTS: [&str; 7] = [
    "inet_sock_set_state",
    "tcp_receive_reset",
    "tcp_send_reset",
    "tcp_destroy_sock",
    "timer_start",
    "timer_expire_entry",
    "timer_cancel",
];

impl Support {
    /// Asks the running kernel.
    pub fn detect() -> Self {
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let symbols = Symbols::read().unwrap_or_default();
        let mut support = Self {
            kernel,
            layout: Err(String::new()),
            tracepoints: Vec::new(),
            reset_reasons: Vec::new(),
            symbols,
            tracefs: tracefs::find().map_err(|error| tracefs::explain(&error)),
            jiffy: jiffy(),
            lockdown: lockdown(),
            sock_diag: sock_diag().map_err(|error| error.to_string()),
        };
        match std::fs::read(BTF) {
            Ok(bytes) => support.read_btf(&bytes),
            Err(error) => {
                support.layout = Err(format!("cannot read {BTF}: {error} (needs CONFIG_DEBUG_INFO_BTF)"));
            }
        }
        support
    }

    fn read_btf(&mut self, bytes: &[u8]) {
        let Some(btf) = Btf::parse(bytes) else {
            self.layout = Err(format!("{BTF} is not in a form that twtrace knows"));
            return;
        };
        self.layout = layout(&btf);
        self.tracepoints =
            TRACEPOINTS.iter().filter_map(|&name| Some((name, btf.tracepoint_arguments(name)?))).collect();
        if let Ok(layout) = &mut self.layout {
            let arguments =
                |name: &str| self.tracepoints.iter().find(|(known, _)| *known == name).map(|(_, count)| *count);
            layout.tw_timer_handler = self.symbols.tw_timer_handler.unwrap_or(0);
            layout.has_reset_reason = u32::from(arguments("tcp_send_reset") == Some(3));
        }
        self.reset_reasons = btf
            .enumerators("sk_rst_reason")
            .into_iter()
            .map(|(name, number)| (number, name.trim_start_matches("SK_RST_REASON_").to_owned()))
            .collect();
    }
}

const BTF: &str = "/sys/kernel/btf/vmlinux";

fn layout(btf: &Btf<'_>) -> Result<Layout, String> {
    let need = |path: &str| btf.offset(path).ok_or_else(|| format!("this kernel's BTF has no {path}"));
    let timer = need("inet_timewait_sock.tw_timer")?;
    let (time_waits, tw_uncounted) = time_waits(btf);
    Ok(Layout {
        tw_timer_handler: 0,
        lane_bytes: 0,
        lane_shift: 0,
        owned: need("sock.sk_lock.owned")?,
        error: need("sock.sk_err")?,
        socket: need("sock.sk_socket")?,
        file: need("socket.file")?,
        inode: need("file.f_inode")?,
        inode_number: need("inode.i_ino")?,
        flags: need("sock_common.skc_flags")?,
        family: need("sock_common.skc_family")?,
        state: need("sock_common.skc_state")?,
        addresses: need("sock_common.skc_daddr")?,
        addresses_v6: need("sock_common.skc_v6_daddr").unwrap_or(0),
        ports: need("sock_common.skc_dport")?,
        source_port: need("inet_sock.inet_sport")?,
        bytes_sent: need("tcp_sock.bytes_sent")?,
        bytes_received: need("tcp_sock.bytes_received")?,
        retransmits: need("tcp_sock.total_retrans")?,
        smoothed_rtt: need("tcp_sock.srtt_us")?,
        last_sent: need("tcp_sock.lsndtime")?,
        last_received: need("inet_connection_sock.icsk_ack.lrcvtime")?,
        protocol: need("sock.sk_protocol")?,
        cookie: need("sock_common.skc_cookie")?,
        net: need("sock_common.skc_net")?,
        net_inum: need("net.ns.inum")?,
        tw_refcount: time_waits,
        tw_uncounted,
        max_tw_buckets: btf.offset("net.ipv4.tcp_death_row.sysctl_max_tw_buckets").unwrap_or(0),
        files: need("task_struct.files")?,
        fdt: need("files_struct.fdt")?,
        fd: need("fdtable.fd")?,
        private_data: need("file.private_data")?,
        sk: need("socket.sk")?,
        tgid: need("task_struct.tgid")?,
        comm: need("task_struct.comm")?,
        real_cred: need("task_struct.real_cred")?,
        uid: need("cred.uid")?,
        task_flags: need("task_struct.flags")?,
        group_leader: need("task_struct.group_leader")?,
        start_time: need("task_struct.start_boottime")?,
        timer_function: need("timer_list.function")?,
        timer_expires: need("timer_list.expires")?,
        tw_timer: timer,
        tw_substate: need("inet_timewait_sock.tw_substate")?,
        has_cookie: u16::from(btf.has_function("bpf_get_socket_ptr_cookie")),
        has_task: u16::from(btf.has_function("bpf_get_current_task_btf")),
        has_reset_reason: 0,
    })
}

/// Where time-wait sockets are counted, and what the count lacks. Some kernels before 6.1 have the death row outside of
/// `struct net`: there nothing hints at an overflow.
fn time_waits(btf: &Btf<'_>) -> (u32, u32) {
    let counted = |name: &str| btf.offset(&format!("net.ipv4.tcp_death_row.{name}"));
    match (counted("tw_refcount"), counted("tw_count")) {
        (Some(refcount), _) => (refcount, 0),
        (None, Some(count)) => (count, 1),
        (None, None) => (0, 0),
    }
}

/// The tick is the resolution of the coarse clock (`hrtimer_get_res`, `posix_get_coarse_res()`).
fn jiffy() -> u64 {
    let resolution = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse);
    u64::try_from(resolution.tv_nsec).unwrap_or(0).max(1)
}

/// Really asked for, in our own network namespace.
fn sock_diag() -> io::Result<()> {
    SocketTable::open(netns::own()?.inode)?.check()
}

fn lockdown() -> Option<String> {
    const PLACE: &str = "/sys/kernel/security";
    let read = || std::fs::read_to_string(format!("{PLACE}/lockdown"));
    let is_mounted = std::fs::read_dir(PLACE).is_ok_and(|mut entries| entries.next().is_some());
    let text = match read() {
        Err(_) if !is_mounted => tracefs::with("securityfs", PLACE, read).ok()?,
        text => text,
    };
    chosen(&text.ok()?).map(str::to_owned)
}

/// The word in brackets: `none [integrity] confidentiality` (`lockdown_read()`, security/lockdown/lockdown.c).
fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word)
}

#[cfg(test)]
pub(crate) mod samples {
    use super::{Layout, Support, Symbols, TRACEPOINTS};

    /// A kernel that allows all.
    pub(crate) fn everything() -> Support {
        Support {
            kernel: "6.18.0-test".to_owned(),
            layout: Ok(Layout::default()),
            tracepoints: TRACEPOINTS.map(|name| (name, 3)).to_vec(),
            reset_reasons: Vec::new(),
            symbols: Symbols::parse(&b"ffffffff81000000 t tw_timer_handler\n"[..]),
            tracefs: Ok("/sys/kernel/tracing".into()),
            jiffy: 4_000_000,
            lockdown: Some("integrity".to_owned()),
            sock_diag: Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Support, chosen};

    #[test]
    fn lockdown_is_the_word_in_brackets() {
        assert_eq!(chosen("[none] integrity confidentiality\n"), Some("none"));
        assert_eq!(chosen("none [integrity] confidentiality\n"), Some("integrity"));
        assert_eq!(chosen("none integrity [confidentiality]\n"), Some("confidentiality"));
        for nonsense in ["", "none", "[none", "none]", "]["] {
            assert_eq!(chosen(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn the_running_kernel_answers() {
        let support = Support::detect();
        assert!(!support.kernel.is_empty());
        // CONFIG_HZ is 100 to 1200 on every architecture.
        assert!((800_000..=10_000_000).contains(&support.jiffy), "{}", support.jiffy);
        assert_eq!(support.sock_diag, Ok(()), "everybody may read the socket table");
    }
}
