//! Many sockets that stay, in a network namespace of their own: most in TIME_WAIT, some open.

use super::flood;
use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpStream,
    process::{Child, Command, ExitCode, Stdio},
};

/// As a proxy has them: few, with many connections each.
const DESTINATIONS: u64 = 16;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Connections that are closed at once, and so wait
    #[arg(long)]
    waiting: u64,
    /// Connections that stay open, both ends in this process
    #[arg(long)]
    open: u64,
}

/// A crowd in a process of its own, which ends with the value.
pub(crate) struct Crowd(Child);

impl Crowd {
    /// Returns when all are there; `program` is this one, optimised.
    pub(crate) fn gather(program: &mut Command, waiting: u64, open: u64) -> Result<Self> {
        let mut child = program
            .args(["crowd", &format!("--waiting={waiting}"), &format!("--open={open}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the crowd")?;
        let mut ready = String::new();
        BufReader::new(child.stdout.take().context("a crowd without stdout")?).read_line(&mut ready)?;
        let crowd = Self(child);
        ensure!(ready == "ready\n", "the crowd did not gather");
        Ok(crowd)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Already gone is as good.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Gathers, says so, and stays until its stdin ends.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    flood::own_namespace()?;
    let limit = getrlimit(Resource::Nofile);
    let wanted = arguments.open * 2 + 100;
    if limit.current.is_some_and(|current| current < wanted) {
        let more = Rlimit { current: Some(wanted), maximum: limit.maximum.map(|maximum| maximum.max(wanted)) };
        setrlimit(Resource::Nofile, more).context("cannot have so many descriptors")?;
    }
    let (listener, port) = flood::listen()?;
    let mut open = Vec::new();
    let destination = |index: u64| flood::destination(port, index % DESTINATIONS);
    for index in 0..arguments.open {
        let client = TcpStream::connect(destination(index)).context("cannot connect")?;
        open.push((client, listener.accept().context("cannot accept")?));
    }
    for index in 0..arguments.waiting {
        drop(TcpStream::connect(destination(arguments.open + index)).context("cannot connect")?);
        flood::serve(&listener)?;
    }
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(ExitCode::SUCCESS)
}
