//! The audit trail: one record for every exchange and tunnel, refused ones too, written to a JSON Lines file before the
//! exchange ends.
//!
//! [`record`] says what a record holds and how it reads; [`sink`] numbers the records and gets them into the file. A place
//! is reserved before an exchange begins, so that a record always has room; when no record could be written, no exchange
//! begins. [`recent`] keeps the last refusals for the console. Records are written, not synchronised to the disk: a power cut may lose the last of them, a crash of Egret not.

mod file;
mod json;
pub mod recent;
pub mod record;
pub mod sink;

pub use record::{Client, Event, ExchangeId, Form, HttpVersion, Question, Record, Redaction, Tls, Treatment, Verdict};
pub use sink::{OnFailure, Slot, Trail, TrailError, Unfinished, Unwritable, Written};
