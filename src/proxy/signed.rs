//! Bodies that can't be changed without being noticed: under a signature or digest, or in a format with checksums of its own.
//!
//! A secret in one of them is refused, not rewritten. Told by the request's head alone: the type of one part of a multipart body stands in the
//! body itself and isn't seen here, so that an image in a form is rewritten like any other part.

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

/// Fields that hold a digest of the body, or a signature over it.
const COVERING: [&str; 43] = [
    // Digests (RFC 1864, RFC 9530, RFC 3230).
    "content-md5",
    "content-digest",
    "repr-digest",
    "digest",
    // Clouds.
    "x-amz-trailer",
    "x-amz-sha256-tree-hash",
    "x-goog-hash",
    "x-goog-content-sha256",
    "x-ms-content-sha256",
    "x-ms-content-crc64",
    "x-ms-blob-content-md5",
    "x-content-sha256",
    "x-acs-content-sha256",
    "x-bz-content-sha1",
    // Webhooks and their like.
    "x-hub-signature",
    "x-hub-signature-256",
    "x-gitea-signature",
    "x-gogs-signature",
    "stripe-signature",
    "x-slack-signature",
    "webhook-signature",
    "svix-signature",
    "x-shopify-hmac-sha256",
    "x-twilio-signature",
    "x-line-signature",
    "linear-signature",
    "x-signature",
    "x-signature-256",
    "x-signature-ed25519",
    "x-webhook-signature",
    "x-request-signature",
    "x-body-signature",
    "x-payload-signature",
    "x-hmac-signature",
    "x-hmac-sha256",
    "x-zm-signature",
    "x-square-hmacsha256-signature",
    "x-square-signature",
    "paddle-signature",
    "paypal-transmission-sig",
    "typeform-signature",
    "sentry-hook-signature",
    "x-vercel-signature",
];
/// The beginnings of names of such fields.
const COVERING_FAMILIES: [&str; 1] = ["x-amz-checksum-"];
/// Where the payload's hash stands when a request to AWS is signed; this value says that there is none.
const AMZ_CONTENT_SHA256: &str = "x-amz-content-sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The beginnings of schemes of `Authorization` that sign a hash of the payload, whether or not a field shows it.
const SIGNING_SCHEMES: [&str; 6] = [
    "AWS4-HMAC-SHA256",
    "AWS4-ECDSA-P256-SHA256",
    "GOOG4-",
    "TC3-HMAC-SHA256",
    "ACS3-",
    "SDK-HMAC-SHA256",
];

/// Types of content whose own checksums, or whose structure, break when a byte changes.
const FIXED_TYPES: [&str; 44] = [
    "application/x-git-",
    "application/vnd.git-lfs",
    "application/vnd.oci.",
    "application/vnd.docker.",
    "application/zip",
    "application/x-zip",
    "application/gzip",
    "application/x-gzip",
    "application/zlib",
    "application/zstd",
    "application/x-zstd",
    "application/x-bzip",
    "application/x-xz",
    "application/x-lzma",
    "application/x-lz4",
    "application/x-tar",
    "application/x-gtar",
    "application/x-compress",
    "application/x-7z-compressed",
    "application/vnd.rar",
    "application/x-rar",
    "application/java-archive",
    "application/vnd.android.package-archive",
    "application/vnd.debian.binary-package",
    "application/x-debian-package",
    "application/x-rpm",
    "application/x-apple-diskimage",
    "application/x-iso9660-image",
    "application/wasm",
    "application/pdf",
    "application/msword",
    "application/vnd.ms-",
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
    "application/vnd.sqlite3",
    "application/vnd.apache.parquet",
    "application/font-",
    "application/x-font-",
    "application/ogg",
    "image/",
    "audio/",
    "video/",
    "font/",
    "model/",
];
/// Types among those that are text after all.
const TEXT_TYPES: [&str; 1] = ["image/svg+xml"];
/// The ends of types that are archives by their structure (RFC 6838 §4.2.8).
const FIXED_SUFFIXES: [&str; 3] = ["+zip", "+gzip", "+zstd"];

/// Whether a body must go on as it came, or not at all.
pub(super) fn is_fixed(headers: &HeaderMap, path: &str) -> bool {
    is_covered(headers) || has_fixed_type(headers) || is_blob(path)
}

fn is_covered(headers: &HeaderMap) -> bool {
    let in_family = |name: &str| COVERING_FAMILIES.iter().any(|family| name.starts_with(family));
    COVERING.iter().any(|name| headers.contains_key(*name))
        || headers.keys().any(|name| in_family(name.as_str()))
        || is_payload_signed(headers)
        || is_digest_signed(headers)
}

/// Requests to clouds: unless the payload is said to be unsigned, its hash is part of what is signed.
fn is_payload_signed(headers: &HeaderMap) -> bool {
    if let Some(hash) = headers.get(AMZ_CONTENT_SHA256) {
        return hash != UNSIGNED;
    }
    let signs = |value: &HeaderValue| {
        SIGNING_SCHEMES
            .iter()
            .any(|scheme| begins_with(value.as_bytes(), scheme))
    };
    headers.get_all(AUTHORIZATION).iter().any(signs)
}

/// HTTP message signatures (RFC 9421) and their forerunners cover a body by its digest, which may stand in a trailer.
fn is_digest_signed(headers: &HeaderMap) -> bool {
    let names_digest = |value: &HeaderValue| {
        value
            .as_bytes()
            .windows(DIGEST.len())
            .any(|part| part.eq_ignore_ascii_case(DIGEST))
    };
    ["signature-input", "signature"]
        .iter()
        .any(|name| headers.get_all(*name).iter().any(names_digest))
}

const DIGEST: &[u8] = b"digest";

fn has_fixed_type(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().any(|value| {
        let named = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        let named = named.trim_ascii();
        let is_text = TEXT_TYPES
            .iter()
            .any(|text| named.eq_ignore_ascii_case(text.as_bytes()));
        let is_fixed = FIXED_TYPES.iter().any(|kind| begins_with(named, kind))
            || FIXED_SUFFIXES.iter().any(|suffix| ends_with(named, suffix));
        is_fixed && !is_text
    })
}

/// Content that is addressed by its digest: blobs and manifests of the OCI distribution API.
fn is_blob(path: &str) -> bool {
    path.starts_with("/v2/") && (path.contains("/blobs/uploads/") || path.contains("/manifests/"))
}

fn begins_with(text: &[u8], beginning: &str) -> bool {
    text.get(..beginning.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
}

fn ends_with(text: &[u8], end: &str) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|rest| rest.eq_ignore_ascii_case(end.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderName;

    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: bool) {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            )
        });
        let headers: HeaderMap = fields.collect();
        assert_eq!(is_fixed(&headers, "/"), expected, "{headers:?}");
    }

    #[test]
    fn a_signature_or_digest_fixes_a_body() {
        let aws = (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=x/20260101/eu-west-1/dynamodb/aws4_request",
        );
        check(&[aws], true);
        check(&[aws, ("x-amz-content-sha256", "e3b0")], true);
        check(&[aws, ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], false);
        check(&[("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")], true);
        check(
            &[
                ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
                ("x-amz-checksum-crc32c", "AAAAAA=="),
            ],
            true,
        );
        check(&[("X-Amz-Checksum-SHA256", "x")], true);
        check(&[("Content-MD5", "x")], true);
        check(&[("Repr-Digest", "sha-256=:AAAA:")], true);
        check(
            &[("Signature-Input", "sig=(\"@method\" \"Content-Digest\");keyid=\"k\"")],
            true,
        );
        check(&[("Signature-Input", "sig=(\"@method\" \"@path\");keyid=\"k\"")], false);
        check(
            &[("Signature", "keyId=\"k\",headers=\"date digest\",signature=\"x\"")],
            true,
        );
        check(&[("X-Hub-Signature-256", "sha256=x")], true);
        check(&[("Svix-Signature", "v1,x")], true);
        check(&[("authorization", "Bearer x"), ("x-amz-date", "x")], false);
        check(&[], false);
    }

    #[test]
    fn a_type_with_checksums_fixes_a_body() {
        for kind in [
            "application/x-git-receive-pack-request",
            "Application/ZIP",
            "application/vnd.oci.image.manifest.v1+json",
            "image/png",
            "font/woff2",
            "application/wasm",
            "application/pdf; x=y",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/epub+zip",
        ] {
            check(&[("content-type", kind)], true);
        }
        for kind in [
            "application/json",
            "image/svg+xml; charset=utf-8",
            "multipart/form-data; boundary=application/zip",
            "application/octet-stream",
            "text/plain",
            "",
        ] {
            check(&[("content-type", kind)], false);
        }
    }

    #[test]
    fn content_addressed_by_its_digest_is_fixed() {
        let none = HeaderMap::new();
        assert!(is_fixed(&none, "/v2/library/app/blobs/uploads/4f3c"));
        assert!(is_fixed(&none, "/v2/library/app/manifests/latest"));
        assert!(!is_fixed(&none, "/v2/users/blobs"));
    }
}
