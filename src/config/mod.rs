//! Scratch.
mod closest;
mod document;
mod error;
mod field;
mod limits;
mod source;
mod state;
