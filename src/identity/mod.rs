//! Who is asking: the workload whose policy applies to a client, found by its network, its proxy credential and its
//! certificate.
//!
//! Not here: the refusal itself. A client that is nobody is told so by the caller, with 403 or 407.

mod certificate;
mod credential;
mod workload;

pub use certificate::{CertificateName, CertificateNames};
pub use credential::{Credential, SecretHash, Shown};
pub use workload::{Identified, Match, Workload, Workloads};
