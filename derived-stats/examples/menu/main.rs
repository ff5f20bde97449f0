//! Writes the tables of the menu into the pages of the book, between their markers.
//!
//! ```text
//! cargo run -p derived-stats --example menu
//! ```
//!
//! A test compares the pages with the menu.

mod tables;

use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for table in tables::tables() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(table.page);
        let page = fs::read_to_string(&path)?;
        fs::write(&path, table.replaced_in(&page)?)?;
        println!("{}: {}", table.page, table.name);
    }
    Ok(())
}
