//! A table in Markdown, aligned so that it can be read on a terminal too.

/// A table. The first column is text, the others are numbers unless said otherwise.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    text: usize,
}

impl Table {
    /// With these headings; the first `text` columns are text.
    pub(crate) fn new(text: usize, headings: &[&str]) -> Table {
        let headings = headings.iter().map(|&heading| heading.to_owned()).collect();
        Table {
            rows: vec![headings],
            text,
        }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let columns = self.rows[0].len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let width =
                    |row: &Vec<String>| row.get(column).map_or(0, |cell| cell.chars().count());
                self.rows.iter().map(width).max().unwrap_or(0).max(2)
            })
            .collect();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            for (column, width) in widths.iter().copied().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                text += &if column < self.text {
                    format!("| {cell:<width$} ")
                } else {
                    format!("| {cell:>width$} ")
                };
            }
            text += "|\n";
            if index == 0 {
                for (column, width) in widths.iter().copied().enumerate() {
                    let line = "-".repeat(width + 1);
                    text += &if column < self.text {
                        format!("|{line}-")
                    } else {
                        format!("|{line}:")
                    };
                }
                text += "|\n";
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(1, &["", "ms"]);
        table.row(["floor".to_owned(), "1.9".to_owned()]);
        table.row(["naïve".to_owned(), "6,100".to_owned()]);
        assert_eq!(
            table.markdown(),
            "|       |    ms |\n|-------|------:|\n| floor |   1.9 |\n| naïve | 6,100 |\n"
        );
    }
}
