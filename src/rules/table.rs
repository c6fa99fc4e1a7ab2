//! A short table of thresholds: from each on, its value holds.

use std::{fmt, str};

/// Up to [`Table::MOST`] rows of a threshold and its value, the thresholds ascending. Inline, so that terms are `Copy` and a
/// decision allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    rows: [(i64, i64); Self::MOST],
    len: usize,
}

impl Table {
    /// The longest published table, that of eBay, has ten rows.
    pub(crate) const MOST: usize = 16;

    /// `None` without rows, with too many, or if the thresholds do not ascend.
    pub(crate) fn new(given: impl IntoIterator<Item = (i64, i64)>) -> Option<Self> {
        let mut table = Self { rows: [(0, 0); Self::MOST], len: 0 };
        for row in given {
            if table.rows().last().is_some_and(|last| row.0 <= last.0) {
                return None;
            }
            *table.rows.get_mut(table.len)? = row;
            table.len = table.len.checked_add(1)?;
        }
        (table.len > 0).then_some(table)
    }

    pub(crate) fn rows(&self) -> &[(i64, i64)] {
        self.rows.get(..self.len).expect("a table has no more rows than room")
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = i64> {
        self.rows().iter().map(|row| row.1)
    }

    pub(crate) fn starts_at_zero(&self) -> bool {
        self.rows().first().is_some_and(|row| row.0 == 0)
    }

    /// Whether each value is less than the one before.
    pub(crate) fn falls(&self) -> bool {
        self.values().zip(self.values().skip(1)).all(|(before, after)| after < before)
    }

    /// The value at a key: that of the last threshold which is not above it, or the first one below all of them.
    pub(crate) fn at(&self, key: i64) -> i64 {
        let below = self.rows().iter().rev().find(|(from, _)| *from <= key);
        below.or(self.rows().first()).expect("a table has a row").1
    }
}

/// As a column keeps it: `0:5,100:25`.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, value)) in self.rows().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{from}:{value}")?;
        }
        Ok(())
    }
}

impl str::FromStr for Table {
    type Err = NoTable;

    fn from_str(text: &str) -> Result<Self, NoTable> {
        let row = |text: &str| {
            let (from, value) = text.split_once(':')?;
            Some((from.parse().ok()?, value.parse().ok()?))
        };
        let rows: Option<Vec<_>> = text.split(',').map(row).collect();
        rows.and_then(Self::new).ok_or(NoTable)
    }
}

/// A text is not a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoTable;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_from_its_threshold_on() {
        let table = Table::new([(0, 5), (100, 25), (500, 50)]).unwrap();
        for (key, value) in [(-1, 5), (0, 5), (99, 5), (100, 25), (499, 25), (i64::MAX, 50)] {
            assert_eq!(table.at(key), value, "{key}");
        }
    }

    #[test]
    fn what_is_no_table() {
        assert_eq!(Table::new([]), None);
        assert_eq!(Table::new([(0, 1), (0, 2)]), None);
        assert_eq!(Table::new([(5, 1), (4, 2)]), None);
        let rows = |many: i64| (0..many).map(|from| (from, 1));
        assert!(Table::new(rows(16)).is_some());
        assert_eq!(Table::new(rows(17)), None);
    }

    #[test]
    fn a_table_survives_its_column() {
        let table = Table::new([(0, 5), (100, 25)]).unwrap();
        assert_eq!(table.to_string(), "0:5,100:25");
        assert_eq!("0:5,100:25".parse(), Ok(table));
        for text in ["", "0", "0:5,", "0:5,0:6", "0:x", "0:5:6"] {
            assert_eq!(text.parse::<Table>(), Err(NoTable), "{text:?}");
        }
    }
}
