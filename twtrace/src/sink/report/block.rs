//! Paragraphs and tables of text in a given width.

/// A paragraph, each line indented and none longer than `width` unless a word is.
pub(super) fn paragraph(text: &str, indent: usize, width: usize) -> String {
    hanging("", text, indent, width)
}

/// The same, with a label before its first line; the lines stand below one another behind it.
pub(super) fn hanging(label: &str, text: &str, indent: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut line = format!("{label:indent$}");
    let mut length = line.chars().count();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let word_length = word.chars().count();
        if !is_empty && length + 1 + word_length > width {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = " ".repeat(indent);
            length = indent;
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += word_length;
        is_empty = false;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table as wide as what is in it; the last column is not filled up.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(columns: [(&'static str, Align); N]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The header and the rows, each line indented by two.
    pub(super) fn lines(&self) -> (String, Vec<String>) {
        let length = |text: &str| text.chars().count();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|index| {
                let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| length(cell));
                cells.chain([length(self.columns[index].0)]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &[&str]| {
            let mut line = String::new();
            for ((cell, width), (_, align)) in cells.iter().zip(&widths).zip(&self.columns) {
                let pad = " ".repeat(width - length(cell));
                let (before, after) = if *align == Align::Right { (pad.as_str(), "") } else { ("", pad.as_str()) };
                line.push_str("  ");
                line.push_str(before);
                line.push_str(cell);
                line.push_str(after);
            }
            line.trim_end().to_owned()
        };
        let header: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let rows = self.rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
        (line(&header), rows.collect())
    }
}

/// Values over time in so many characters at the most, the highest of each part.
pub(super) fn sparkline(values: &[u64], width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = values.iter().copied().max().unwrap_or(0);
    let part = values.len().div_ceil(width).max(1);
    let parts = values.chunks(part).map(|part| part.iter().copied().max().unwrap_or(0));
    parts
        .map(|value| match value {
            0 => ' ',
            value => LEVELS[usize::try_from((value.saturating_mul(8)).div_ceil(highest) - 1).unwrap_or(7).min(7)],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Align, Table, hanging, paragraph, sparkline};

    #[test]
    fn paragraphs_keep_their_width() {
        assert_eq!(paragraph("one two three", 2, 9), "  one two\n  three\n");
        assert_eq!(hanging("Why", "one two three", 5, 12), "Why  one two\n     three\n");
        assert_eq!(paragraph("averyveryverylongword x", 0, 5), "averyveryverylongword\nx\n");
        assert_eq!(paragraph("", 3, 5), "\n");
    }

    #[test]
    fn columns_stand_below_their_names() {
        let mut table = Table::new([("NAME", Align::Left), ("N", Align::Right), ("WHAT", Align::Left)]);
        table.row(["a".to_owned(), "12".to_owned(), "x".to_owned()]);
        let (header, rows) = table.lines();
        assert_eq!(header, "  NAME   N  WHAT");
        assert_eq!(rows, ["  a     12  x"]);
    }

    #[test]
    fn a_line_of_time_shows_its_peaks() {
        assert_eq!(sparkline(&[0, 1, 8, 4], 4), " ▁█▄");
        assert_eq!(sparkline(&[0, 9, 0, 0], 2), "█ ");
        assert_eq!(sparkline(&[], 4), "");
        assert_eq!(sparkline(&[u64::MAX / 8, 1], 2).chars().count(), 2);
    }
}
