//! A row under construction: what stands in which column.

pub(super) const HOST: usize = 12;
pub(super) const WALL: usize = 12;
pub(super) const RELATIVE: usize = 11;
pub(super) const CONNECTION: usize = 6;
/// PID, COMM, LOCAL, direction, REMOTE, LIFE, CLOSED-BY, HOW, TIME_WAIT, CLOSE_WAIT: 120 columns with the gaps.
pub(super) const WIDTHS: [usize; 10] = [7, 11, 18, 2, 18, 7, 15, 14, 9, 10];

/// A line under construction.
#[derive(Default)]
pub(super) struct Row {
    pub(super) line: String,
    /// Characters in the line.
    width: usize,
    /// Where the next cell should begin.
    column: usize,
}

impl Row {
    /// A cell in its column, or one blank after what took its place.
    pub(super) fn cell(&mut self, width: usize, text: &str) {
        self.put(text);
        self.column += width + 1;
    }

    /// What has no column.
    pub(super) fn rest(&mut self, text: &str) {
        self.put(text);
    }

    /// No blanks are written before there is something to write after them.
    fn put(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let begin = if self.width == 0 { self.column } else { self.column.max(self.width + 1) };
        while self.width < begin {
            self.line.push(' ');
            self.width += 1;
        }
        self.line.push_str(text);
        self.width += text.chars().count();
    }
}
