//! The line in which filter words are typed.

use super::Key;

/// Longer than any filter that somebody would type.
const LONGEST: usize = 500;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// What is wrong with it, until it is changed.
    pub(crate) error: Option<String>,
}

/// What came of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Going,
    Done,
    Left,
}

impl Line {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), error: None }
    }

    pub(super) fn press(&mut self, key: Key) -> Typed {
        match key {
            Key::Enter => return Typed::Done,
            Key::Esc => return Typed::Left,
            Key::Char(c) if self.text.len() < LONGEST && !c.is_control() => self.text.push(c),
            Key::Backspace => drop(self.text.pop()),
            Key::Erase => self.text.clear(),
            _ => return Typed::Going,
        }
        self.error = None;
        Typed::Going
    }
}
