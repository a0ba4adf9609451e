use super::*;
use crate::model::{Basis, Comm, Ktime, Owner, OwnerBasis, TcpState, process::Place};

fn filter(build: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter::default();
    build(&mut filter);
    filter
}

fn word<T: FromStr<Err = BadWord>>(word: &str) -> T {
    word.parse().unwrap_or_else(|error| panic!("{word}: {error}"))
}

fn error<T: FromStr<Err = BadWord> + fmt::Debug>(word: &str) -> String {
    word.parse::<T>().expect_err("bad").to_string()
}

fn nginx() -> Process {
    Process { pid: 812, uid: 33, started: None, comm: Comm::new(b"nginx") }
}

fn life(local: &str, remote: &str, owner: Option<Process>) -> Lifecycle {
    let [local, remote] = [local, remote].map(|end| {
        let end: std::net::SocketAddr = end.parse().expect("an address and a port");
        Endpoint { ip: end.ip(), port: end.port() }
    });
    Lifecycle {
        netns: Some(4_026_531_840),
        owner: owner.map(|process| Owner { process, basis: OwnerBasis::Accept }),
        ..Lifecycle::new(1, FourTuple { local, remote })
    }
}

fn shown(life: &Lifecycle) -> Shown {
    Shown {
        at: Ktime(0),
        connection: life.id,
        tuple: life.tuple,
        v4_mapped: life.v4_mapped,
        netns: life.netns,
        from: TcpState::Established,
        to: TcpState::FinWait1,
        lasted: None,
        process: None,
        owner: life.owner.map(|owner| owner.process),
        place: life.place.clone(),
        basis: Basis::Observed,
    }
}

/// What a filter says of a connection, and of its transitions: always the same.
fn check(filter: &Filter, life: &Lifecycle, matches: bool) {
    assert_eq!(filter.matches(life), matches, "{filter:?}");
    assert_eq!(filter.matches_shown(&shown(life)), matches, "{filter:?}");
}

#[test]
fn nothing_asked_for_matches_everything() {
    check(&Filter::default(), &life("10.0.0.1:80", "10.0.0.2:40000", None), true);
}

#[test]
fn each_filter_looks_at_its_own_field() {
    let life = life("10.0.0.1:80", "10.1.0.2:40000", Some(nginx()));
    let cases = [
        (filter(|f| f.pids = vec![1, 812]), true),
        (filter(|f| f.pids = vec![813]), false),
        (filter(|f| f.uids = vec![33]), true),
        (filter(|f| f.uids = vec![0]), false),
        (filter(|f| f.comms = vec![word("nginx")]), true),
        (filter(|f| f.comms = vec![word("ngin")]), false),
        (filter(|f| f.local_ports = vec![word("443"), word("80-81")]), true),
        (filter(|f| f.local_ports = vec![word("40000")]), false),
        (filter(|f| f.remote_ports = vec![word("32768-60999")]), true),
        (filter(|f| f.remote_ports = vec![word("80")]), false),
        (filter(|f| f.local_addrs = vec![word("10.0.0.0/24")]), true),
        (filter(|f| f.local_addrs = vec![word("10.1.0.2")]), false),
        (filter(|f| f.remote_addrs = vec![word("::1"), word("10.1.0.2")]), true),
        (filter(|f| f.remote_addrs = vec![word("10.0.0.0/16")]), false),
        (filter(|f| f.family = Some(Family::Ipv4)), true),
        (filter(|f| f.family = Some(Family::Ipv6)), false),
        (filter(|f| f.netns = vec![word("net:[4026531840]")]), true),
        (filter(|f| f.netns = vec![word("4026531841")]), false),
        (filter(|f| (f.pids, f.local_ports) = (vec![812], vec![word("81")])), false),
    ];
    for (filter, matches) in cases {
        check(&filter, &life, matches);
    }
}

#[test]
fn what_is_not_known_does_not_match() {
    let mut life = life("10.0.0.1:80", "10.1.0.2:40000", None);
    life.netns = None;
    check(&filter(|f| f.pids = vec![0]), &life, false);
    check(&filter(|f| f.uids = vec![0]), &life, false);
    check(&filter(|f| f.comms = vec![word("nginx")]), &life, false);
    check(&filter(|f| f.netns = vec![word("0")]), &life, false);
}

#[test]
fn v4_mapped_is_ipv4() {
    let mut life = life("10.0.0.1:80", "10.1.0.2:40000", None);
    life.v4_mapped = true;
    check(&filter(|f| f.family = Some(Family::Ipv4)), &life, true);
    check(&filter(|f| f.remote_addrs = vec![word("::ffff:10.1.0.2")]), &life, true);
    check(&filter(|f| f.remote_addrs = vec![word("::ffff:10.1.0.0/112")]), &life, true);
    check(&filter(|f| f.remote_addrs = vec![word("::/0")]), &life, false);
}

#[test]
fn names_are_taken_as_the_kernel_has_them_or_as_they_are_shown() {
    let mut process = nginx();
    process.comm = Comm::new(b"a_name_too_long_for_the_kernel");
    let long = life("10.0.0.1:80", "10.1.0.2:40000", Some(process));
    check(&filter(|f| f.comms = vec![word("a_name_too_long_for_the_kernel")]), &long, true);
    process.comm = Comm::new(b"\x1b[31m\xff");
    let hostile = life("10.0.0.1:80", "10.1.0.2:40000", Some(process));
    check(&filter(|f| f.comms = vec![word("\\u{1b}[31m\\xff")]), &hostile, true);
}

#[test]
fn bad_words_are_named_with_the_rule() {
    let rule = "a port is 1 to 65535, a range is 8000-8999";
    for (bad, part) in
        [("0", "0"), ("65536", "65536"), ("http", "http"), ("", ""), ("80-", ""), ("-80", ""), ("1-2-3", "2-3")]
    {
        assert_eq!(error::<Ports>(bad), format!("{part:?} is no port: {rule}"));
    }
    assert_eq!(error::<Ports>("90-80"), "the range ends before it begins: write 80-90");
    let rule = "write an address or a network: 10.0.0.1, 10.0.0.0/8, 2001:db8::/32";
    for bad in ["", "10.0.0", "10.0.0.0/33", "::/129", "localhost", "10.0.0.1:80"] {
        assert_eq!(error::<Network>(bad), format!("{bad:?} is neither an address nor a network: {rule}"));
    }
    let rule = "write its inode number as in `readlink /proc/PID/ns/net`: 4026531840 or net:[4026531840]";
    for bad in ["", "/run/netns/a", "net:[]", "-1", "4294967296"] {
        assert_eq!(error::<Netns>(bad), format!("{bad:?} is no network namespace: {rule}"));
    }
    assert_eq!(error::<Name>(""), "a process name has at least one character");
}

#[test]
fn a_cgroup_has_all_below_it() {
    let mut life = life("10.0.0.1:80", "10.0.0.2:40000", Some(nginx()));
    check(&filter(|f| f.cgroups = vec![word("/")]), &life, false);
    let place = Place { cgroup: Some("/system.slice/nginx.service/worker".into()), container: None };
    life.place = Some(place.into());
    let cases = [
        ("/system.slice/nginx.service/worker", true),
        ("/system.slice/nginx.service", true),
        ("/system.slice/", true),
        ("/", true),
        ("/sys/fs/cgroup", true),
        ("/sys/fs/cgroup/system.slice/nginx.service", true),
        ("/sys/fs/cgroup/unified/system.slice", true),
        ("/system.slice/nginx", false),
        ("/nginx.service", false),
        ("/system.slice/nginx.service/worker/one", false),
        ("/sys/fs/cgroups", false),
    ];
    for (path, matches) in cases {
        check(&filter(|f| f.cgroups = vec![word(path)]), &life, matches);
    }
    check(&filter(|f| f.cgroups = vec![word("/user.slice"), word("/system.slice")]), &life, true);
    assert!(error::<Cgroup>("system.slice").contains("write its path as in /proc/PID/cgroup"));
}
