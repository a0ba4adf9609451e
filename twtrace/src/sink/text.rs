//! Rows for a person: one when a connection's closing is done, a short one when its TIME_WAIT is over.
//!
//! A cell that is too wide pushes its neighbours aside and the rest of the row falls back into its columns, so
//! that an IPv6 address spoils no other row. What is guessed is marked; [`LEGEND`] says how.

mod cells;
mod row;

use self::{
    cells::{closer, dash, ends, how_it_ended, is_open, lasted, moment, remarks, seconds, time_wait_cell},
    row::{CONNECTION, HOST, RELATIVE, Row, WALL, WIDTHS},
};
use super::{Attached, Clock, Sink, format, notes};
use crate::model::{Change, Close, Ktime, Lifecycle, Shown, Span, TcpState, Tracker, join::Origin, summary::Summary};
use std::io::{self, BufWriter, Write};

/// What the columns and marks mean, for the help.
pub const LEGEND: &str = "\
Columns of the text rows:
  PID COMM    the owner: who called connect or accept
  LOCAL REMOTE  this end and the other; -> this end called, <- it was called
  LIFE        from its opening to the end of its closing, without TIME_WAIT
  CLOSED-BY   the end that closed first, and the process that did it (of the
              other end too, where that lives on this host)
  HOW         fin, reset_sent, reset_received, refused, timed_out, destroyed,
              unreachable, abandoned, or open
  TIME_WAIT   how long; `running` where it has just begun: a short row of its
              own tells its end. FIN_WAIT2 where it may still come, when the
              other end closes
  CLOSE_WAIT  how long it took to close after the other end had
With --events there is a row for each transition too, with the process that
made it, where that is known, and the time in the state that was left.

Marks:
  -           not known, or there is none
  812~        the owner is who held the descriptor when /proc was read
  812^        the owner is who holds the listener; nobody was seen to accept
  nginx/812?  likely the closer, not seen to be
  ~60.02s     by the socket table or by arithmetic, not by an event or a timer
  3.2s+       still running";

/// What is wanted of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A column with the time of day.
    pub wall_time: bool,
    /// A column with the seconds since the probes were on.
    pub relative_time: bool,
    /// A column with the connection's id, to tell which transition belongs to which.
    pub connection: bool,
    /// Somebody is reading along: the header comes again every 40 rows.
    pub terminal: bool,
}

/// How many rows stand under one header on a terminal.
const ROWS_TO_A_HEADER: u64 = 40;

/// Bytes that are gathered between two ticks before they are written all the same.
const BUFFER: usize = 1 << 16;

/// Writes rows to one place and what else there is to say to another.
pub struct Text<W: Write, N: Write> {
    out: BufWriter<W>,
    notes: N,
    options: Options,
    clock: Option<Clock>,
    began: Option<Ktime>,
    /// Of the recording that is replayed.
    origin: Option<Origin>,
    /// The latest time that was heard of.
    now: Ktime,
    /// Rows under the last header; `None` before the first one.
    under_header: Option<u64>,
    /// TIME_WAITs shown as running whose end the run did not live to see.
    unfinished: u64,
}

impl<W: Write, N: Write> Text<W, N> {
    /// Rows go to `out`, notes to `notes`.
    pub fn new(out: W, notes: N, options: Options) -> Self {
        Self {
            out: BufWriter::with_capacity(BUFFER, out),
            notes,
            options,
            clock: None,
            began: None,
            origin: None,
            now: Ktime::default(),
            under_header: None,
            unfinished: 0,
        }
    }

    fn write(&mut self, row: Row) -> io::Result<()> {
        let under = match self.under_header {
            Some(rows) if rows < ROWS_TO_A_HEADER || !self.options.terminal => rows,
            _ => {
                self.write_header()?;
                0
            }
        };
        self.under_header = Some(under + 1);
        writeln!(self.out, "{}", row.line)
    }

    fn write_header(&mut self) -> io::Result<()> {
        let mut row = Row::default();
        if self.host().is_some() {
            row.cell(HOST, "HOST");
        }
        if self.options.wall_time {
            row.cell(WALL, "TIME(UTC)");
        }
        if self.options.relative_time {
            row.cell(RELATIVE, "SECONDS");
        }
        if self.options.connection {
            row.cell(CONNECTION, "CONN");
        }
        let names = ["PID", "COMM", "LOCAL", "", "REMOTE", "LIFE", "CLOSED-BY", "HOW", "TIME_WAIT", "CLOSE_WAIT"];
        for (width, name) in WIDTHS.into_iter().zip(names) {
            row.cell(width, name);
        }
        writeln!(self.out, "{}", row.line)
    }

    /// The cells that stand before those of every kind of row.
    fn row(&self, at: Option<Ktime>, connection: u64) -> Row {
        let mut row = Row::default();
        if let Some(host) = self.host() {
            row.cell(HOST, &format::one_line(host));
        }
        if self.options.wall_time {
            let wall = at.zip(self.clock).map(|(at, clock)| format::time_of_day(at, clock));
            row.cell(WALL, wall.as_deref().unwrap_or("-"));
        }
        if self.options.relative_time {
            row.cell(RELATIVE, &at.zip(self.began).map_or_else(dash, |(at, began)| seconds(at, began)));
        }
        if self.options.connection {
            row.cell(CONNECTION, &format!("#{connection}"));
        }
        row
    }

    /// Whose a row is, where there are several.
    fn host(&self) -> Option<&str> {
        self.origin.as_ref().filter(|origin| !origin.alone).map(|origin| &*origin.host)
    }

    fn closed(&mut self, lifecycle: &Lifecycle) -> io::Result<()> {
        let mut row = self.row(moment(lifecycle), lifecycle.id);
        ends(&mut row, lifecycle);
        if lifecycle.close == Some(Close::NoPort) {
            row.rest(&format!("** no free port to {} (EADDRNOTAVAIL)", lifecycle.tuple.remote));
            return self.write(row);
        }
        let [.., life, closed_by, how, time_wait, close_wait] = WIDTHS;
        row.cell(life, &self.life(lifecycle));
        row.cell(closed_by, &closer(lifecycle));
        row.cell(how, how_it_ended(lifecycle));
        row.cell(time_wait, &time_wait_cell(lifecycle));
        row.cell(close_wait, &self.close_wait(lifecycle));
        row.rest(&remarks(lifecycle));
        self.write(row)
    }

    /// The end of what was shown as running.
    fn over(&mut self, lifecycle: &Lifecycle) -> io::Result<()> {
        let Some(ended) = lifecycle.ended else {
            self.unfinished += 1;
            return Ok(());
        };
        let mut row = self.row(Some(ended), lifecycle.id);
        ends(&mut row, lifecycle);
        row.rest(&match lifecycle.time_wait() {
            Some(time_wait) => {
                let end = time_wait.end.map_or("ended, nobody saw how,", |end| end.name());
                let restarts = match lifecycle.time_wait_restarts {
                    0 => String::new(),
                    1 => ", started again once".to_owned(),
                    times => format!(", started again {times} times"),
                };
                format!("TIME_WAIT {end} after {}{restarts}", lasted(time_wait.lasted, time_wait.basis))
            }
            None => {
                let wait = lifecycle.span(TcpState::FinWait2);
                let wait = wait.map_or_else(dash, |span| lasted(span.lasted, span.basis));
                format!("FIN_WAIT2 over after {wait}, no TIME_WAIT: {}", how_it_ended(lifecycle))
            }
        });
        self.write(row)
    }

    fn transition(&mut self, shown: &Shown) -> io::Result<()> {
        let mut row = self.row(Some(shown.at), shown.connection);
        let [pid, comm, local, arrow, remote, life, ..] = WIDTHS;
        row.cell(pid, &shown.process.map_or_else(dash, |process| process.pid.to_string()));
        row.cell(comm, &shown.process.map_or_else(dash, |process| process.comm.to_string()));
        row.cell(local, &format::end(shown.tuple.local));
        row.cell(arrow, "");
        row.cell(remote, &format::end(shown.tuple.remote));
        row.cell(life, &lasted(shown.lasted, shown.basis));
        row.rest(&format!("{} -> {}", shown.from, shown.to));
        self.write(row)
    }

    fn life(&self, lifecycle: &Lifecycle) -> String {
        let Some(opened) = lifecycle.opened else { return dash() };
        match (lifecycle.span(TcpState::TimeWait).map(|span| span.entered), lifecycle.ended) {
            (Some(Some(over)), _) | (None, Some(over)) => format::duration(over.since(opened)),
            (Some(None), _) => dash(),
            (None, None) => format!("{}+", format::duration(self.now.since(opened))),
        }
    }

    fn close_wait(&self, lifecycle: &Lifecycle) -> String {
        match lifecycle.span(TcpState::CloseWait) {
            None => dash(),
            Some(Span { lasted: None, entered: Some(entered), .. }) if is_open(lifecycle, TcpState::CloseWait) => {
                format!("{}+", format::duration(self.now.since(*entered)))
            }
            Some(span) => lasted(span.lasted, span.basis),
        }
    }
}

impl<W: Write, N: Write> Sink for Text<W, N> {
    fn origin(&mut self, origin: &Origin) {
        self.origin = Some(origin.clone());
    }

    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.clock = Some(attached.clock);
        notes::attached(&mut self.notes, attached, self.origin.as_ref())?;
        if self.began.is_some() {
            return Ok(());
        }
        self.began = Some(attached.at);
        self.now = attached.at;
        self.write_header()?;
        self.under_header = Some(0);
        self.out.flush()
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        match change {
            Change::Transition(shown) => {
                self.now = self.now.max(shown.at);
                self.transition(shown)
            }
            Change::Closed(lifecycle) | Change::Ended { lifecycle, announced: false } => {
                self.now = self.now.max(moment(lifecycle).unwrap_or_default());
                self.closed(lifecycle)
            }
            Change::Ended { lifecycle, announced: true } => self.over(lifecycle),
            Change::Lost(lost) => {
                // The rows before it come before it, where both go to one terminal.
                self.out.flush()?;
                notes::lost(&mut self.notes, lost)
            }
        }
    }

    fn tick(&mut self, at: Ktime, _tracker: &Tracker) -> io::Result<()> {
        self.now = self.now.max(at);
        self.out.flush()
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.out.flush()?;
        if self.unfinished > 0 {
            writeln!(self.notes, "still running at the end: {} TIME_WAIT or FIN_WAIT2 shown above", self.unfinished)?;
        }
        notes::summary(&mut self.notes, summary)
    }
}

#[cfg(test)]
mod tests;
