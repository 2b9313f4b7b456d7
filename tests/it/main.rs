//! Integration tests of Egret: real TLS, real DNS, real clients.
