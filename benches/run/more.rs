//! Rows about coming back, and about growth.

use super::rows::Row;

pub(super) fn rows(_quick: bool, _long: bool) -> Vec<Row> {
    Vec::new()
}
