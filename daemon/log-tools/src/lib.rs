//! Tools on the files of a durable log, whether or not a process has it open: copies, checks, salvage.
//!
//! | module | content |
//! |---|---|
//! | [`snapshot`] | the files of a log at one moment |
//! | [`backup`](mod@backup), [`restore`](mod@restore) | copies |
//! | [`walk`], [`history`] | the blocks of a file, one by one, and the tables that they give |
//! | [`check`](mod@check), [`states`] | the check of every file, and of the states |
//! | [`salvage`](mod@salvage), [`rebuild`] | a new log of what can be read of a damaged one |
//! | [`regrow`](mod@regrow) | a new log with the states in other partitions |
//! | [`transfer`] | the states for another kind of log, and a new log with the states of one |

#![deny(missing_docs)]

mod backup;
mod check;
mod history;
mod private;
mod ranges;
mod rebuild;
mod regrow;
mod report;
mod restore;
mod salvage;
mod snapshot;
mod states;
mod transfer;
mod walk;

pub use self::backup::{Copied, backup};
pub use self::check::check;
pub use self::private::make_private;
pub use self::regrow::{NewState, SplitState, regrow};
pub use self::report::{Damage, Report};
pub use self::restore::{Restored, restore};
pub use self::salvage::{Loss, Owned, salvage};
pub use self::states::{DecodeState, StateToCheck};
pub use self::transfer::{LogStates, NewLog, SavedState, make};
