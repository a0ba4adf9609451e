//! A bounded load of short connections on loopback, in a network namespace of its own.
//!
//! Its TIME_WAIT sockets vanish with the namespace, so that no round finds those of the one before.

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    thread::{CpuSet, UnshareFlags, sched_setaffinity, unshare_unsafe},
    time::{ClockId, clock_gettime},
};
use std::{
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    process::{Command, ExitCode},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// One thread connects and closes first, another accepts and closes
    Pair,
    /// As many threads as there are CPUs, each at both ends of its connections
    Loops,
    /// One such thread, on one CPU
    Pinned,
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum)]
    shape: Shape,
    #[arg(long)]
    milliseconds: u64,
}

/// What a flood came to.
#[derive(Clone, Copy)]
pub(crate) struct Flood {
    pub(crate) connections: u64,
    pub(crate) lasted: Duration,
    /// CPU time of the flood itself, with what the kernel and its programs did on its account.
    cpu: Duration,
}

impl Flood {
    /// Connections a second.
    pub(crate) fn rate(&self) -> f64 {
        self.connections as f64 / self.lasted.as_secs_f64()
    }

    /// Connections a second of CPU time, which the machine's other work does not lessen.
    pub(crate) fn rate_of_cpu(&self) -> f64 {
        self.connections as f64 / self.cpu.as_secs_f64()
    }

    /// Makes one in a process of its own, which `program` (this one, optimised) is started for.
    pub(crate) fn run(program: &mut Command, shape: Shape, lasts: Duration) -> Result<Self> {
        let shape = clap::ValueEnum::to_possible_value(&shape).context("a shape without a name")?;
        let output = program
            .args(["flood", "--shape", shape.get_name()])
            .arg(format!("--milliseconds={}", lasts.as_millis()))
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cannot start the flood")?;
        ensure!(output.status.success(), "the flood ended with {}", output.status);
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [connections, lasted, cpu] = numbers[..] else { bail!("the flood printed {text:?}") };
        Ok(Self { connections, lasted: Duration::from_nanos(lasted), cpu: Duration::from_nanos(cpu) })
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    own_namespace()?;
    let lasts = Duration::from_millis(arguments.milliseconds);
    let start = Instant::now();
    let connections = match arguments.shape {
        Shape::Pair => pair(start + lasts)?,
        Shape::Loops => loops(start + lasts)?,
        Shape::Pinned => {
            pin_to_one_cpu()?;
            both_ends(start + lasts, 0)?
        }
    };
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    println!("{connections} {} {}", start.elapsed().as_nanos(), Duration::try_from(cpu)?.as_nanos());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn own_namespace() -> Result<()> {
    // SAFETY: no other thread and no open socket exists yet that could be taken by surprise.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.context("cannot make a network namespace: needs root")?;
    crate::succeed(Command::new("ip").args(["link", "set", "lo", "up"]), "bring loopback up")?;
    for (name, value) in [
        ("ip_local_port_range", "1024 65535"),
        // The default would fill up within seconds, and a connection then ends without TIME_WAIT.
        ("tcp_max_tw_buckets", "16777216"),
    ] {
        let path = format!("/proc/sys/net/ipv4/{name}");
        fs::write(&path, value).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}

/// The second CPU where there is one: interrupts like the first.
pub(super) fn pin_to_one_cpu() -> Result<()> {
    let mut set = CpuSet::new();
    set.set(usize::from(thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1)));
    sched_setaffinity(None, &set).context("cannot stay on one CPU")
}

/// A destination of its own for each connection, so that ports never run out.
pub(super) fn destination(port: u16, index: u64) -> SocketAddrV4 {
    // Not 127.0.0.0, which is a broadcast address.
    let [.., a, b, c] = (index + 1).to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(127, a, b, c), port)
}

pub(super) fn listen() -> Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("cannot listen")?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// The server's half: closes second.
pub(super) fn serve(listener: &TcpListener) -> Result<()> {
    let (mut server, _) = listener.accept().context("cannot accept")?;
    let read = server.read(&mut [0]).context("cannot read")?;
    ensure!(read == 0, "the client sent something");
    Ok(())
}

fn both_ends(end: Instant, first: u64) -> Result<u64> {
    let (listener, port) = listen()?;
    let mut connections = 0;
    while Instant::now() < end {
        let client = TcpStream::connect(destination(port, first + connections)).context("cannot connect")?;
        drop(client);
        serve(&listener)?;
        connections += 1;
    }
    Ok(connections)
}

fn loops(end: Instant) -> Result<u64> {
    let cpus = thread::available_parallelism()?.get() as u64;
    // Each from its own addresses.
    let threads: Vec<_> = (0..cpus).map(|cpu| thread::spawn(move || both_ends(end, cpu << 20))).collect();
    let mut connections = 0;
    for thread in threads {
        connections += thread.join().map_err(|_| anyhow::anyhow!("a thread of the flood panicked"))??;
    }
    Ok(connections)
}

fn pair(end: Instant) -> Result<u64> {
    /// Below the 128 that std gives the listener's queue, which drops what it has no room for.
    const AHEAD: u64 = 64;
    let (listener, port) = listen()?;
    let served = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let server = scope.spawn(|| -> Result<()> {
            while !done.load(Relaxed) {
                serve(&listener)?;
                served.fetch_add(1, Relaxed);
            }
            Ok(())
        });
        let mut connections = 0;
        while Instant::now() < end && !server.is_finished() {
            if connections - served.load(Relaxed) > AHEAD {
                thread::yield_now();
                continue;
            }
            let client = TcpStream::connect(destination(port, connections)).context("cannot connect")?;
            drop(client);
            connections += 1;
        }
        done.store(true, Relaxed);
        // Wakes the server, which may be waiting for one more.
        drop(TcpStream::connect(destination(port, connections)));
        server.join().map_err(|_| anyhow::anyhow!("the server of the flood panicked"))??;
        Ok(connections)
    })
}
