//! For a person: what there is most of first, and at the end what could not be seen.

use super::table::Table;
use crate::{
    model::{
        Endpoint, Process, TcpState,
        sockets::{CloseWait, Counts, Load, Reading},
    },
    sink::{Clock, format},
};
use std::io::{self, Write};

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rows of each table.
    pub top: usize,
    /// Show each socket.
    pub each: bool,
}

/// Writes a reading; `before` is the one before, where there is one.
pub fn text(
    out: &mut impl Write,
    reading: &Reading,
    before: Option<&Counts>,
    clock: Clock,
    options: Options,
) -> io::Result<()> {
    let shown = Shown { reading, options, several: reading.sockets.namespaces.len() > 1 };
    shown.heading(out, clock)?;
    shown.states(out, before)?;
    shown.outgoing(out)?;
    shown.incoming(out)?;
    shown.processes(out)?;
    shown.close_waits(out)?;
    shown.listeners(out)?;
    shown.each(out, clock)?;
    shown.unseen(out)?;
    out.flush()
}

struct Shown<'a> {
    reading: &'a Reading,
    options: Options,
    /// There is more than one namespace to tell apart.
    several: bool,
}

impl Shown<'_> {
    fn heading(&self, out: &mut impl Write, clock: Clock) -> io::Result<()> {
        let Reading { at, took, sockets, .. } = self.reading;
        let (count, spaces) = (sockets.counts.total(), sockets.namespaces.len());
        let plural = if spaces == 1 { "" } else { "s" };
        let (time, took) = (format::time_of_day(*at, clock), format::duration(*took));
        writeln!(out, "{count} TCP sockets in {spaces} network namespace{plural} at {time} UTC, read in {took}")
    }

    fn states(&self, out: &mut impl Write, before: Option<&Counts>) -> io::Result<()> {
        let counts = self.reading.sockets.counts;
        let mut states: Vec<_> = TcpState::ALL
            .into_iter()
            .map(|state| (state, counts.of(state), before.map(|before| before.of(state))))
            .collect();
        states.retain(|&(_, count, before)| count > 0 || before.is_some_and(|before| before > 0));
        states.sort_by_key(|&(_, count, _)| std::cmp::Reverse(count));
        let change = |count, before| match before {
            Some(before) if before != count => format!("{:+}", i128::from(count) - i128::from(before)),
            _ => String::new(),
        };
        let mut table = Table::new(&["STATE", "SOCKETS>", "CHANGE>", ""]);
        if before.is_none() {
            table = Table::new(&["STATE", "SOCKETS>", ">", ""]);
        }
        for (state, count, before) in states {
            table.row(vec![state.name().to_owned(), count.to_string(), change(count, before), self.remark(state)]);
        }
        table.write(out)
    }

    /// What makes a state worth a look.
    fn remark(&self, state: TcpState) -> String {
        let sockets = &self.reading.sockets;
        let mut remarks = Vec::new();
        match state {
            TcpState::TimeWait => {
                remarks.extend(sockets.time_wait_left.map(|(least, most)| format!("{} left", span(least, most))));
            }
            TcpState::Established if sockets.unaccepted > 0 => {
                remarks.push(format!("{} not accepted yet", sockets.unaccepted));
            }
            TcpState::CloseWait => {
                let unaccepted = sockets.close_waits.iter().filter(|one| one.is_in_accept_queue()).count();
                if unaccepted > 0 {
                    remarks.push(format!("{unaccepted} never accepted"));
                }
                let oldest = sockets.close_waits.iter().filter_map(|one| one.at_least).max();
                remarks.extend(oldest.map(|oldest| format!("the oldest for {} or longer", format::duration(oldest))));
            }
            TcpState::Listen => {
                let full = sockets.listeners.iter().filter(|one| one.is_full()).count();
                if full > 0 {
                    remarks.push(format!("{full} with a full accept queue"));
                }
            }
            _ => {}
        }
        remarks.join(", ")
    }

    fn outgoing(&self, out: &mut impl Write) -> io::Result<()> {
        let (ways, count) = self.reading.sockets.outgoing(self.options.top);
        if count == 0 {
            return Ok(());
        }
        writeln!(out, "\noutgoing, by destination: ports held of those that connect() may choose")?;
        let heads = ["FROM", "TO", "PORTS>", "OF>", "USED>", "TIME_WAIT>", "NEXT FREE>", "LAST FREE>", "OTHERS"];
        let mut table = self.table(&heads);
        for (netns, from, to, load) in &ways {
            let pool = self.reading.sockets.namespaces.get(netns).and_then(|netns| netns.ports.as_ref()?.pool().into());
            let used = pool.filter(|pool| *pool > 0).map(|pool| load.ports as f64 * 100.0 / f64::from(pool));
            let (next, last) = load.time_wait_left.unzip();
            let mut cells = vec![from.to_string(), to.to_string(), load.ports.to_string()];
            cells.push(pool.map_or_else(unknown, |pool| pool.to_string()));
            cells.push(used.map_or_else(unknown, |used| format!("{used:.1}%")));
            cells.push(load.counts.of(TcpState::TimeWait).to_string());
            cells.extend([next, last].map(|nanos| nanos.map_or_else(unknown, left)));
            cells.push(others(&load.counts, &[TcpState::TimeWait]));
            self.row(&mut table, *netns, cells);
        }
        table.write(out)?;
        self.more(out, count)
    }

    fn incoming(&self, out: &mut impl Write) -> io::Result<()> {
        let (ways, count) = self.reading.sockets.incoming(self.options.top);
        if count == 0 {
            return Ok(());
        }
        writeln!(out, "\nincoming, by service")?;
        let mut table = self.table(&["AT", "SOCKETS>", "TIME_WAIT>", "LEFT", "OTHERS"]);
        for (netns, at, Load { counts, time_wait_left, .. }) in &ways {
            let left = time_wait_left.map_or_else(unknown, |(least, most)| span(least, most));
            let waits = counts.of(TcpState::TimeWait);
            let cells = vec![at.to_string(), counts.total().to_string(), waits.to_string(), left];
            self.row(&mut table, *netns, [cells, vec![others(counts, &[TcpState::TimeWait])]].concat());
        }
        table.write(out)?;
        self.more(out, count)
    }

    fn processes(&self, out: &mut impl Write) -> io::Result<()> {
        let owned = self.reading.sockets.owned();
        if owned.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nby process")?;
        let heads = ["PID>", "COMM", "CLOSE_WAIT>", "ESTABLISHED>", "LISTEN>", "OTHERS", "DESCRIPTORS>", "IN"];
        let mut table = Table::new(&heads);
        for one in owned.iter().take(self.options.top) {
            let Process { pid, comm, .. } = one.process;
            let states = [TcpState::CloseWait, TcpState::Established, TcpState::Listen];
            let mut cells = vec![pid.to_string(), comm.to_string()];
            cells.extend(states.map(|state| one.counts.of(state).to_string()));
            cells.push(others(&one.counts, &states));
            let known = self.reading.processes.get(&pid).and_then(Option::as_ref);
            let descriptors = known.and_then(|known| {
                let limit = known.descriptor_limit.map_or_else(|| "?".to_owned(), |limit| limit.to_string());
                Some(format!("{} of {limit}", known.descriptors?))
            });
            cells.push(descriptors.unwrap_or_else(unknown));
            let container = known.and_then(|known| known.container.as_ref());
            let cgroup = || known.and_then(|known| known.cgroup.as_deref()).map(format::one_line);
            let place = container.map(|container| {
                let pod = container.pod.as_deref().map(|pod| format!(" pod {pod}")).unwrap_or_default();
                let id: String = container.id.chars().take(40).collect();
                format::one_line(&format!("{} {id}{pod}", container.runtime.name()))
            });
            cells.push(place.or_else(cgroup).unwrap_or_else(unknown));
            table.row(cells);
        }
        table.write(out)?;
        self.more(out, owned.len())
    }

    fn close_waits(&self, out: &mut impl Write) -> io::Result<()> {
        let close_waits = &self.reading.sockets.close_waits;
        if close_waits.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\nCLOSE_WAIT, oldest first: the peer closed no later than its last ACK, and after its last data"
        )?;
        let mut table = self.table(&["FOR AT LEAST>", "AT MOST>", "LOCAL", "REMOTE", "HELD BY"]);
        for one in close_waits.iter().take(self.options.top) {
            let ages = [one.at_least, one.at_most].map(|age| age.map_or_else(unknown, format::duration));
            let tuple = one.row.tuple;
            let cells = [ages.to_vec(), vec![tuple.local.to_string(), tuple.remote.to_string(), held_by(one)]].concat();
            self.row(&mut table, one.row.netns, cells);
        }
        table.write(out)?;
        self.more(out, close_waits.len())
    }

    fn listeners(&self, out: &mut impl Write) -> io::Result<()> {
        let mut waiting: Vec<_> = self.reading.sockets.listeners.iter().filter(|one| one.waiting > 0).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        waiting.sort_by_key(|one| (std::cmp::Reverse(one.waiting), one.row.netns, one.row.tuple.local));
        writeln!(out, "\nlisteners with connections that nobody has accepted yet")?;
        let mut table = self.table(&["AT", "WAITING>", "BACKLOG>", "", "HELD BY"]);
        for one in waiting.iter().take(self.options.top) {
            let full = if one.is_full() { "full" } else { "" };
            let cells = vec![one.row.tuple.local.to_string(), one.waiting.to_string(), one.backlog.to_string()];
            let cells = [cells, vec![full.to_owned(), one.owner.map_or_else(unknown, name)]].concat();
            self.row(&mut table, one.row.netns, cells);
        }
        table.write(out)?;
        self.more(out, waiting.len())
    }

    fn each(&self, out: &mut impl Write, clock: Clock) -> io::Result<()> {
        let Some(rows) = self.reading.sockets.all().filter(|_| self.options.each) else { return Ok(()) };
        writeln!(out, "\neach socket")?;
        let mut table = self.table(&["STATE", "LOCAL", "REMOTE", "LEFT>", "SINCE", "HELD BY"]);
        for row in rows {
            let left = row.time_wait_left.map_or_else(unknown, left);
            let began = row.time_wait_began().map_or_else(unknown, |began| format::time_of_day(began, clock));
            let owner = row.inode.and_then(|inode| self.reading.owners.get(&inode)).copied();
            let (local, remote) = (row.tuple.local.to_string(), peer(row.tuple.remote));
            let cells = vec![row.state.name().to_owned(), local, remote, left, began, owner.map_or_else(unknown, name)];
            self.row(&mut table, row.netns, cells);
        }
        table.write(out)
    }

    /// What could not be seen, and what to do about it.
    fn unseen(&self, out: &mut impl Write) -> io::Result<()> {
        let Reading { unread, partial, all_found, hidden, looked, sockets, .. } = self.reading;
        let mut notes = Vec::new();
        for (netns, reason) in unread {
            notes.push(format!("network namespace {netns}: {}; run as root of the host", format::one_line(reason)));
        }
        for netns in partial {
            notes.push(format!("network namespace {netns} changed while it was read: some sockets may be missing"));
        }
        if !all_found {
            notes.push("some processes hide their network namespace: run as root of the host".to_owned());
        }
        if *hidden > 0 {
            notes.push(format!(
                "who holds {hidden} sockets: some processes hide their descriptors; run as root of the host"
            ));
        } else if *looked && sockets.ownerless().total() > 0 {
            let (count, states) = (sockets.ownerless().total(), others(&sockets.ownerless(), &[]));
            notes.push(format!(
                "no process holds {count} sockets with a file ({states}): the kernel's, or on their way"
            ));
        }
        if !looked {
            notes.push("who holds the sockets was not looked for".to_owned());
        }
        if !notes.is_empty() {
            writeln!(out, "\nnot seen")?;
        }
        notes.iter().try_for_each(|note| writeln!(out, "  {note}"))
    }

    /// With the namespace in front where there is more than one.
    fn table(&self, heads: &[&'static str]) -> Table {
        let netns: &[_] = if self.several { &["NETNS"] } else { &[] };
        Table::new(&[netns, heads].concat())
    }

    fn row(&self, table: &mut Table, netns: u32, mut cells: Vec<String>) {
        if self.several {
            cells.insert(0, netns.to_string());
        }
        table.row(cells);
    }

    fn more(&self, out: &mut impl Write, rows: usize) -> io::Result<()> {
        match rows.saturating_sub(self.options.top) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more: --top {rows} shows all"),
        }
    }
}

fn unknown() -> String {
    "-".to_owned()
}

/// What a TIME_WAIT has left; the timer of one that has none may still be late.
fn left(nanos: u64) -> String {
    if nanos == 0 { "due".to_owned() } else { format::duration(nanos) }
}

fn span(least: u64, most: u64) -> String {
    if least == most { left(least) } else { format!("{} to {}", left(least), left(most)) }
}

fn others(counts: &Counts, but: &[TcpState]) -> String {
    let each = counts.each().filter(|(state, _)| !but.contains(state));
    let words: Vec<String> = each.map(|(state, count)| format!("{state} {count}")).collect();
    if words.is_empty() { unknown() } else { words.join(" ") }
}

fn name(process: Process) -> String {
    format!("{}/{}", process.comm, process.pid)
}

fn held_by(one: &CloseWait) -> String {
    match one.owner {
        Some(owner) => name(owner),
        None if one.is_in_accept_queue() => "nobody: never accepted".to_owned(),
        None => unknown(),
    }
}

fn peer(end: Endpoint) -> String {
    if end.port == 0 { unknown() } else { end.to_string() }
}
