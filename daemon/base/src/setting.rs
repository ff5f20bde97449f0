//! Types of values that sections of the configuration share, with errors that show how to write one.

pub mod address;
pub mod duration;
pub mod file;
pub mod list;
mod secret;

pub use self::address::{servers, without_path};
pub use self::secret::Secret;
