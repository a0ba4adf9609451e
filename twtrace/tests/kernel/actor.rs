//! A process that does with sockets what it is told, line by line on stdin.
//!
//! Each line is answered by one line `BEFORE AFTER ok VALUE` or `BEFORE AFTER errno NUMBER`, the two times being
//! `CLOCK_MONOTONIC` nanoseconds around the system calls: whatever the act made the kernel do in the caller's
//! context happened between them. The actor knows nothing of twtrace.

use crate::uring::Ring;
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt,
};
use std::collections::HashMap;
use std::io::{BufRead, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

/// How long anything that waits for the other side may take.
const PATIENCE: Duration = Duration::from_secs(60);

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Runs until stdin ends; `netns` is the path of the network namespace to enter first.
pub(crate) fn run(netns: Option<&str>) -> Result<()> {
    if let Some(path) = netns {
        let file = std::fs::File::open(path).with_context(|| format!("cannot open {path}"))?;
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))
            .with_context(|| format!("cannot enter {path}"))?;
    }
    let mut sockets = Sockets::default();
    let mut answers = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let before = monotonic();
        let outcome = sockets.act(&words);
        let after = monotonic();
        match outcome {
            Ok(value) => writeln!(answers, "{before} {after} ok {value}")?,
            Err(error) => match error.downcast_ref::<Errno>() {
                Some(errno) => writeln!(answers, "{before} {after} errno {}", errno.raw_os_error())?,
                None => bail!("cannot do {line:?}: {error:#}"),
            },
        }
        answers.flush()?;
    }
    Ok(())
}

/// `CLOCK_MONOTONIC` in nanoseconds, the clock of the kernel's events.
pub(crate) fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The actor's sockets by the names it was given for them.
#[derive(Default)]
struct Sockets(HashMap<String, OwnedFd>, Ring);

impl Sockets {
    fn act(&mut self, words: &[&str]) -> Result<String> {
        let nothing = String::new();
        match *words {
            ["listen", name, address, backlog, ref options @ ..] => {
                let socket = bound(address.parse()?, &Options::parse(options)?)?;
                rustix::net::listen(&socket, backlog.parse()?)?;
                self.keep(name, socket)
            }
            ["bind", name, address] => {
                let socket = bound(address.parse()?, &Options::default())?;
                self.keep(name, socket)
            }
            ["accept", name, listener] => {
                let listener = self.get(listener)?;
                wait(listener, PollFlags::IN)?;
                let socket = rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?;
                self.keep(name, socket)
            }
            ["uring-accept", name, listener] => {
                let listener = self.0.get(listener).with_context(|| format!("no socket {listener}"))?;
                let socket = self.1.accept(listener)?;
                self.keep(name, socket)
            }
            ["uring-accept-for-good", listener] => {
                let listener = self.0.get(listener).with_context(|| format!("no socket {listener}"))?;
                self.1.accept_for_good(listener).map(|()| nothing)
            }
            ["uring-close", name] => {
                let socket = self.take(name)?;
                self.1.close(socket).map(|()| nothing)
            }
            ["uring-close-by-worker", name] => {
                let socket = self.take(name)?;
                self.1.close_by_worker(socket).map(|()| nothing)
            }
            ["connect", name, remote, ref options @ ..] => self.connect(name, remote.parse()?, options),
            // To the very port it is bound to: TCP's simultaneous open, with itself.
            ["connect-self", name, address] => {
                let socket = bound(address.parse()?, &Options::default())?;
                rustix::net::connect(&socket, &end(&socket)?)?;
                self.keep(name, socket)
            }
            ["disconnect", name] => Ok(rustix::net::connect_unspec(self.get(name)?).map(|()| nothing)?),
            ["send", name, count] => {
                let bytes = vec![b'x'; count.parse()?];
                Ok(rustix::net::send(self.get(name)?, &bytes, SendFlags::NOSIGNAL)?.to_string())
            }
            ["recv", name, count] => {
                let mut rest = vec![0; count.parse()?];
                let mut got = 0;
                while got < rest.len() {
                    wait(self.get(name)?, PollFlags::IN)?;
                    let (now, _) = rustix::net::recv(self.get(name)?, &mut rest[got..], RecvFlags::empty())?;
                    if now == 0 {
                        break;
                    }
                    got += now;
                }
                Ok(got.to_string())
            }
            ["end", name] => Ok(end(self.get(name)?)?.to_string()),
            // Returns when there is something to read, or when the other side has shut down or reset.
            ["await", name, "data"] => wait(self.get(name)?, PollFlags::IN).map(|()| nothing),
            // Whether there is one to accept: 1 or 0.
            ["pending", name] => {
                Ok(poll(&mut [PollFd::from_borrowed_fd(self.get(name)?, PollFlags::IN)], Some(&NOW))?.to_string())
            }
            ["await", name, "fin"] => wait(self.get(name)?, PollFlags::RDHUP).map(|()| nothing),
            ["await", name, "reset"] => wait(self.get(name)?, PollFlags::ERR).map(|()| nothing),
            ["shutdown", name] => Ok(rustix::net::shutdown(self.get(name)?, Shutdown::Write).map(|()| nothing)?),
            ["close", name] => {
                drop(self.take(name)?);
                Ok(nothing)
            }
            ["linger", name, seconds] => {
                let time = Duration::from_secs(seconds.parse()?);
                Ok(sockopt::set_socket_linger(self.get(name)?, Some(time)).map(|()| nothing)?)
            }
            ["linger2", name, seconds] => {
                set_tcp_option(self.get(name)?, libc::TCP_LINGER2, seconds.parse()?).map(|()| nothing)
            }
            ["user-timeout", name, milliseconds] => {
                Ok(sockopt::set_tcp_user_timeout(self.get(name)?, milliseconds.parse()?).map(|()| nothing)?)
            }
            // One question after a second without a word, and a second for the answer.
            ["keepalive", name] => {
                let socket = self.get(name)?;
                sockopt::set_tcp_keepidle(socket, Duration::from_secs(1))?;
                sockopt::set_tcp_keepintvl(socket, Duration::from_secs(1))?;
                sockopt::set_tcp_keepcnt(socket, 1)?;
                Ok(sockopt::set_socket_keepalive(socket, true).map(|()| nothing)?)
            }
            ["mailbox", path] => {
                let socket =
                    rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
                rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
                self.0.insert("mailbox".to_owned(), socket);
                Ok(nothing)
            }
            ["pass", name, path] => pass(self.get(name)?, path).map(|()| nothing),
            ["take", name] => {
                let socket = take(self.get("mailbox")?)?;
                self.keep(name, socket)
            }
            ["flood", remote, count] => flood(remote.parse()?, count.parse()?).map(|()| nothing),
            ["serve", listener, count] => serve(self.get(listener)?, count.parse()?).map(|()| nothing),
            ["exit"] => std::process::exit(0),
            _ => bail!("unknown act"),
        }
    }

    fn connect(&mut self, name: &str, remote: SocketAddr, options: &[&str]) -> Result<String> {
        let options = Options::parse(options)?;
        let socket = match options.from {
            Some(address) => bound(address, &options)?,
            None => fresh(remote, &options)?,
        };
        if let Some(count) = options.retries {
            set_tcp_option(socket.as_fd(), libc::TCP_SYNCNT, count)?;
        }
        if options.fastopen {
            // The SYN waits for the first bytes, and takes them along.
            set_tcp_option(socket.as_fd(), libc::TCP_FASTOPEN_CONNECT, 1)?;
        }
        if options.nonblocking {
            rustix::io::ioctl_fionbio(&socket, true)?;
        }
        match rustix::net::connect(&socket, &remote) {
            Err(Errno::INPROGRESS) if options.nonblocking => {}
            outcome => outcome?,
        }
        self.keep(name, socket)
    }

    /// Answers with the socket's own end.
    fn keep(&mut self, name: &str, socket: OwnedFd) -> Result<String> {
        let end = end(&socket)?;
        self.0.insert(name.to_owned(), socket);
        Ok(end.to_string())
    }

    fn take(&mut self, name: &str) -> Result<OwnedFd> {
        self.0.remove(name).with_context(|| format!("no socket {name}"))
    }

    fn get(&self, name: &str) -> Result<BorrowedFd<'_>> {
        Ok(self.0.get(name).with_context(|| format!("no socket {name}"))?.as_fd())
    }
}

fn end(socket: impl AsFd) -> Result<SocketAddr> {
    Ok(SocketAddr::try_from(rustix::net::getsockname(socket)?)?)
}

/// How a socket is made.
#[derive(Default)]
struct Options {
    from: Option<SocketAddr>,
    retries: Option<i32>,
    nonblocking: bool,
    fastopen: bool,
    mptcp: bool,
    reuseport: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        for word in words {
            match word.split_once('=') {
                Some(("from", address)) => options.from = Some(address.parse()?),
                Some(("retries", count)) => options.retries = Some(count.parse()?),
                None if *word == "nonblocking" => options.nonblocking = true,
                None if *word == "fastopen" => options.fastopen = true,
                None if *word == "mptcp" => options.mptcp = true,
                None if *word == "reuseport" => options.reuseport = true,
                _ => bail!("unknown option {word}"),
            }
        }
        Ok(options)
    }
}

fn fresh(like: SocketAddr, options: &Options) -> Result<OwnedFd> {
    let family = if like.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let protocol = options.mptcp.then_some(ipproto::MPTCP);
    Ok(rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, protocol)?)
}

fn bound(address: SocketAddr, options: &Options) -> Result<OwnedFd> {
    let socket = fresh(address, options)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if options.reuseport {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &SocketAddrAny::from(address))?;
    Ok(socket)
}

fn wait(socket: BorrowedFd<'_>, what: PollFlags) -> Result<()> {
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let mut wanted = [PollFd::from_borrowed_fd(socket, what)];
    if poll(&mut wanted, Some(&patience))? == 0 {
        bail!("nothing came in {PATIENCE:?}");
    }
    Ok(())
}

/// rustix has no word for these options.
fn set_tcp_option(socket: BorrowedFd<'_>, option: i32, value: i32) -> Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointer and the size are those of `value`, which outlives the call.
    let outcome = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, option, std::ptr::from_ref(&value).cast(), size)
    };
    if outcome != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(())
}

fn pass(socket: BorrowedFd<'_>, path: &str) -> Result<()> {
    let by = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let passed = [socket];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&passed)) {
        bail!("no room for a descriptor");
    }
    let to = SocketAddrUnix::new(path)?;
    rustix::net::sendmsg_addr(by, &to, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
    Ok(())
}

fn take(mailbox: BorrowedFd<'_>) -> Result<OwnedFd> {
    wait(mailbox, PollFlags::IN)?;
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(mailbox, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut taken = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    taken.next().context("no descriptor came")
}

/// Connects and closes, one after the other.
fn flood(remote: SocketAddr, count: usize) -> Result<()> {
    for _ in 0..count {
        let socket = fresh(remote, &Options::default())?;
        rustix::net::connect(&socket, &remote)?;
    }
    Ok(())
}

/// Accepts, reads to the end and closes, one after the other.
fn serve(listener: BorrowedFd<'_>, count: usize) -> Result<()> {
    for _ in 0..count {
        wait(listener, PollFlags::IN)?;
        let socket = rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?;
        let mut byte = [0];
        while rustix::net::recv(&socket, &mut byte, RecvFlags::empty())?.0 > 0 {}
    }
    Ok(())
}
