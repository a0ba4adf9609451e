//! What a person has chosen to look at: changed by keys alone, so that every sequence of keys can be tested.
//!
//! Knows no connection. Where a key concerns the row under the cursor, it says so and leaves the rest to the desk.

mod line;
mod tabs;

pub(super) use self::tabs::{List, Sort, Tab};

use self::line::Line;
use super::{Command, Key, Options, Seek};
use crate::model::filter::Filter;

/// No help and no life is longer.
const FARTHEST: u16 = 60;

/// See the module.
#[derive(Debug)]
pub(super) struct View {
    pub(super) tab: Tab,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The id of the connection that is looked at, if one is.
    pub(super) detail: Option<u64>,
    /// Its timeline leaves TIME_WAIT out.
    pub(super) zoomed: bool,
    /// How far the detail or the help is scrolled.
    pub(super) scroll: u16,
    /// What is typed after `/`.
    pub(super) line: Option<Line>,
    pub(super) filter: Filter,
    pub(super) words: String,
    parse: fn(&str) -> Result<Filter, String>,
    replayed: bool,
    /// The second list of a tab that has two has the cursor.
    second: [bool; Tab::ALL.len()],
    cursors: [Cursor; List::ALL.len()],
    orders: [Order; List::ALL.len()],
    /// Where Enter on a group came from, to go back to with Esc.
    back: Vec<(Tab, String)>,
}

/// The row that is chosen in a list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    pub(super) row: usize,
    pub(super) top: usize,
    /// What is in that row, followed when the list moves; `None` while the cursor stays at the top.
    pub(super) holds: Option<u64>,
    /// A key moved it, so what it holds is to be looked up again.
    pub(super) moved: bool,
    /// Rows of a page, as drawn last.
    pub(super) page: usize,
}

impl Cursor {
    /// The list has so many rows now, of which `page` can be seen: finds the row again.
    pub(super) fn settle(&mut self, rows: usize, page: usize, identity: impl Fn(usize) -> u64) {
        self.page = page;
        let Some(last) = rows.checked_sub(1) else {
            (self.row, self.top) = (0, 0);
            return;
        };
        if std::mem::take(&mut self.moved) {
            self.row = self.row.min(last);
        } else {
            let found = self.holds.and_then(|held| (0..rows).find(|&row| identity(row) == held));
            let row = found.unwrap_or(if self.holds.is_some() { self.row.min(last) } else { 0 });
            // What came in above pushes the window along.
            self.top = (self.top + row).saturating_sub(self.row);
            self.row = row;
        }
        self.holds = (self.row > 0).then(|| identity(self.row));
        let lowest = self.row.saturating_sub(page.saturating_sub(1));
        self.top = self.top.clamp(lowest, self.row).min(rows.saturating_sub(page));
    }
}

/// How a list is sorted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    index: usize,
    pub(super) reversed: bool,
}

/// What a key asks of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Only what is looked at changed, if anything.
    Look,
    /// Open what is under the cursor.
    Open,
    /// The same in another order.
    Sort,
    /// Other connections are wanted now.
    Filter,
    /// The picture stands still from now on, or moves again.
    Pause,
    /// Something for the run.
    Command(Command),
}

impl View {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            tab: Tab::Overview,
            paused: false,
            help: false,
            detail: None,
            zoomed: false,
            scroll: 0,
            line: None,
            filter: Filter::default(),
            words: String::new(),
            parse: options.parse,
            replayed: options.replayed,
            second: [false; _],
            cursors: [Cursor::default(); _],
            orders: [Order::default(); _],
            back: Vec::new(),
        }
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: Key) -> Act {
        if key == Key::Interrupt {
            return Act::Command(Command::Quit);
        }
        if let Some(line) = &mut self.line {
            return match line.press(key) {
                line::Typed::Going => Act::Look,
                line::Typed::Left => {
                    self.line = None;
                    Act::Look
                }
                line::Typed::Done => self.take_line(),
            };
        }
        if self.help || self.detail.is_some() {
            if let Some(act) = self.press_over(key) {
                return act;
            }
        } else if self.press_in_list(key) {
            return Act::Look;
        }
        self.press_anywhere(key)
    }

    /// Keys that mean something else over the help or a connection.
    fn press_over(&mut self, key: Key) -> Option<Act> {
        match key {
            Key::Esc => self.leave(),
            Key::Enter => {}
            Key::Char('?') if self.help => self.leave(),
            Key::Char('s') if !self.help => self.zoomed = !self.zoomed,
            Key::Up | Key::Char('k') | Key::WheelUp => self.scroll = self.scroll.saturating_sub(1),
            Key::Down | Key::Char('j') | Key::WheelDown => self.scroll = (self.scroll + 1).min(FARTHEST),
            Key::PageUp => self.scroll = self.scroll.saturating_sub(10),
            Key::PageDown => self.scroll = (self.scroll + 10).min(FARTHEST),
            Key::Char('g') => self.scroll = 0,
            _ => return None,
        }
        Some(Act::Look)
    }

    /// Back to what was under it.
    fn leave(&mut self) {
        self.scroll = 0;
        if self.help {
            self.help = false;
        } else {
            self.detail = None;
        }
    }

    /// Keys that move the cursor; true if it was one.
    fn press_in_list(&mut self, key: Key) -> bool {
        let cursor = &mut self.cursors[self.list() as usize];
        let page = cursor.page.max(1);
        let row = match key {
            Key::Up | Key::Char('k') => cursor.row.saturating_sub(1),
            Key::Down | Key::Char('j') => cursor.row.saturating_add(1),
            Key::WheelUp => cursor.row.saturating_sub(3),
            Key::WheelDown => cursor.row.saturating_add(3),
            Key::PageUp => cursor.row.saturating_sub(page),
            Key::PageDown => cursor.row.saturating_add(page),
            Key::Char('g') => 0,
            Key::Home if !self.replayed => 0,
            Key::Char('G') => usize::MAX,
            Key::End if !self.replayed => usize::MAX,
            _ => return false,
        };
        cursor.row = row;
        cursor.moved = true;
        true
    }

    fn press_anywhere(&mut self, key: Key) -> Act {
        if let Some(tab) = Tab::of(key) {
            self.go(tab);
            return Act::Look;
        }
        match key {
            Key::Char('q') => return Act::Command(Command::Quit),
            Key::Char('w') => return Act::Command(Command::Record),
            Key::Char('p' | ' ') if self.replayed => return Act::Command(Command::Replay(Seek::Pause)),
            Key::Char('p' | ' ') => {
                self.paused = !self.paused;
                return Act::Pause;
            }
            Key::Enter => return Act::Open,
            Key::Char('?') => {
                self.help = true;
                self.scroll = 0;
            }
            Key::Char('/') => self.line = Some(Line::new(&self.words)),
            Key::Char('s') => return self.next_order(),
            Key::Char('S') => {
                let order = &mut self.orders[self.list() as usize];
                order.reversed = !order.reversed;
                return Act::Sort;
            }
            Key::Tab | Key::BackTab if self.tab.lists().len() > 1 => {
                let second = &mut self.second[self.tab as usize];
                *second = !*second;
            }
            Key::Esc => return self.go_back(),
            Key::Char('h') | Key::BackTab => self.go(self.tab.before()),
            Key::Char('l') | Key::Tab => self.go(self.tab.after()),
            _ => return self.press_to_seek(key),
        }
        Act::Look
    }

    /// In a recording some keys move in time; the arrows change the tab where there is none.
    fn press_to_seek(&mut self, key: Key) -> Act {
        if !self.replayed {
            match key {
                Key::Left => self.go(self.tab.before()),
                Key::Right => self.go(self.tab.after()),
                _ => {}
            }
            return Act::Look;
        }
        let seek = match key {
            Key::Left => Seek::Back,
            Key::Right => Seek::Forward,
            Key::Home => Seek::Begin,
            Key::End => Seek::End,
            Key::Char('.') => Seek::Event,
            Key::Char(',') => Seek::Second,
            Key::Char('+' | '=') => Seek::Faster,
            Key::Char('-') => Seek::Slower,
            _ => return Act::Look,
        };
        Act::Command(Command::Replay(seek))
    }

    fn go(&mut self, tab: Tab) {
        self.tab = tab;
        self.detail = None;
        self.help = false;
        self.scroll = 0;
    }

    fn next_order(&mut self) -> Act {
        let list = self.list();
        let order = &mut self.orders[list as usize];
        *order = Order { index: (order.index + 1) % list.sorts().len(), reversed: false };
        Act::Sort
    }

    fn take_line(&mut self) -> Act {
        let Some(line) = &mut self.line else { return Act::Look };
        match (self.parse)(&line.text) {
            Ok(filter) => {
                self.words = line.text.trim().to_owned();
                self.filter = filter;
                self.line = None;
                self.back.clear();
                Act::Filter
            }
            Err(error) => {
                line.error = Some(error);
                Act::Look
            }
        }
    }

    /// Shows the connections that these words choose; Esc goes back. Nothing happens where they are none.
    pub(super) fn choose(&mut self, words: &str) -> Act {
        let words = format!("{} {words}", self.words).trim().to_owned();
        let Ok(filter) = (self.parse)(&words) else { return Act::Look };
        self.back.push((self.tab, std::mem::replace(&mut self.words, words)));
        self.filter = filter;
        self.tab = Tab::Connections;
        self.cursors[List::Connections as usize] = Cursor::default();
        Act::Filter
    }

    fn go_back(&mut self) -> Act {
        let (tab, words) = self.back.pop().unwrap_or((self.tab, String::new()));
        if (tab, &words) == (self.tab, &self.words) {
            return Act::Look;
        }
        self.tab = tab;
        // They were good before.
        self.filter = (self.parse)(&words).unwrap_or_default();
        self.words = words;
        Act::Filter
    }

    /// The list that has the cursor.
    pub(super) fn list(&self) -> List {
        let lists = self.tab.lists();
        lists[usize::from(self.second[self.tab as usize]).min(lists.len() - 1)]
    }

    pub(super) fn cursor(&mut self, list: List) -> &mut Cursor {
        &mut self.cursors[list as usize]
    }

    pub(super) fn cursor_of(&self, list: List) -> Cursor {
        self.cursors[list as usize]
    }

    pub(super) fn sort(&self, list: List) -> (Sort, bool) {
        let order = self.orders[list as usize];
        (list.sorts()[order.index], order.reversed)
    }
}

#[cfg(test)]
mod tests;
