//! `egret env`: every variable that a container needs so that its clients ask Egret and trust its certificates.
//!
//! It looks at nothing but the configuration's listen address: the CA bundle itself is `egret ca bundle`'s.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args as _, ValueEnum};

use super::exit;
use crate::config;

/// Variables that hold the proxy's URL: curl reads `http_proxy` in lower case only, Go looks at upper case first.
const PROXY: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
/// Variables that name the CA bundle; most replace the system's roots, so the bundle holds those too.
const BUNDLE: [&str; 13] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "DENO_CERT",
    "YARN_HTTPS_CA_FILE_PATH",
    "NIX_SSL_CERT_FILE",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
];
