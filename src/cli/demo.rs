//! `egret demo`.
