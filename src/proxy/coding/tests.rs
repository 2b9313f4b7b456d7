use std::io::{Read as _, Write as _};

use proptest::prelude::*;

use super::*;

fn codings(lines: &[&str]) -> Option<Codings> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(CONTENT_ENCODING, line.parse().unwrap());
    }
    Codings::of(&headers)
}

#[track_caller]
fn check_named(lines: &[&str], stacked: &[Coding], aws_chunked: bool) {
    let expected = Codings {
        stacked: stacked.to_vec(),
        aws_chunked,
    };
    assert_eq!(codings(lines), Some(expected), "{lines:?}");
}

#[test]
fn codings_are_read_from_their_names() {
    use Coding::{Brotli, Deflate, Gzip, Zstd};
    check_named(&[], &[], false);
    check_named(&["identity"], &[], false);
    check_named(&["GZip"], &[Gzip], false);
    check_named(&["x-gzip", "BR"], &[Gzip, Brotli], false);
    check_named(&["deflate, identity,zstd"], &[Deflate, Zstd], false);
    check_named(&["aws-chunked"], &[], true);
    check_named(&["aws-chunked,gzip"], &[Gzip], true);
    check_named(&["gzip, aws-chunked"], &[Gzip], true);
    for unreadable in [
        "compress",
        "gzip, compress",
        "gzip, br, gzip",
        "aws-chunked, aws-chunked",
        "gzip;q=1",
        "\u{e9}",
    ] {
        let value = HeaderValue::from_bytes(unreadable.as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, value)]);
        assert_eq!(Codings::of(&headers), None, "{unreadable}");
    }
}

/// The bytes of a body in a coding, as its reference encoder writes them.
fn coded(coding: &str, text: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "raw" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 9, 22);
            encoder.write_all(text).unwrap();
            encoder.into_inner()
        }
        "zstd" => zstd::stream::encode_all(text, 9).unwrap(),
        other => panic!("{other}"),
    }
}

fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match coding {
        "gzip" => flate2::read::MultiGzDecoder::new(body).read_to_end(&mut text).unwrap(),
        "deflate" => flate2::read::ZlibDecoder::new(body).read_to_end(&mut text).unwrap(),
        "raw" => flate2::read::DeflateDecoder::new(body).read_to_end(&mut text).unwrap(),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut text).unwrap(),
        "zstd" => zstd::stream::read::Decoder::new(body)
            .unwrap()
            .read_to_end(&mut text)
            .unwrap(),
        other => panic!("{other}"),
    };
    text
}

const ALL: [&str; 5] = ["gzip", "deflate", "raw", "br", "zstd"];

/// What the head says of a coding.
fn name(coding: &str) -> &str {
    if coding == "raw" { "deflate" } else { coding }
}

/// Takes a body apart in slices of a size, into pieces of another.
fn unfold(named: &str, body: &[u8], slice: usize, piece: usize) -> Result<(Vec<u8>, Unfolding), Fault> {
    let mut unfolding = codings(&[named]).unwrap().unfolding()?;
    let mut text = Vec::new();
    let mut out = vec![0; piece];
    for slice in body.chunks(slice) {
        unfolding.feed(slice);
        loop {
            match unfolding.next(&mut out)? {
                0 => break,
                count => text.extend_from_slice(&out[..count]),
            }
        }
    }
    if unfolding.is_whole() {
        Ok((text, unfolding))
    } else {
        Err(Fault::Unreadable)
    }
}

fn fault(named: &str, body: &[u8]) -> Option<Fault> {
    unfold(named, body, 1024, 4096).err()
}

fn prose(length: usize) -> Vec<u8> {
    let words = ["lorem ", "ipsum ", "dolor ", "sit ", "amet, ", "consectetur "];
    let mut seed = 7_usize;
    let mut text = Vec::new();
    while text.len() < length {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(words[(seed >> 33) % words.len()].as_bytes());
    }
    text.truncate(length);
    text
}

#[test]
fn every_coding_is_taken_apart_however_it_is_cut() {
    let text = prose(20_000);
    for coding in ALL {
        let body = coded(coding, &text);
        for (slice, piece) in [(1, 4096), (7, 13), (1024, 1), (1024, 4096), (usize::MAX, 65_536)] {
            let (unfolded, _) = unfold(name(coding), &body, slice, piece).unwrap();
            assert!(unfolded == text, "{coding} in slices of {slice}");
        }
    }
}

#[test]
fn two_codings_are_taken_apart_and_put_together() {
    let text = prose(20_000);
    for inner in ALL {
        for outer in ALL {
            let body = coded(outer, &coded(inner, &text));
            let named = format!("{}, {}", name(inner), name(outer));
            let (unfolded, unfolding) = unfold(&named, &body, 100, 1000).unwrap();
            assert!(unfolded == text, "{named}");
            let mut folding = unfolding.folding().unwrap();
            let mut again = folding.write(&text).unwrap();
            again.extend(folding.finish().unwrap());
            assert!(decoded(inner, &decoded(outer, &again)) == text, "{named}");
        }
    }
}

#[test]
fn what_is_flushed_can_be_read_at_once() {
    for coding in ALL {
        let (_, unfolding) = unfold(name(coding), &coded(coding, b"x"), 1024, 1024).unwrap();
        let mut folding = unfolding.folding().unwrap();
        let mut reading = codings(&[name(coding)]).unwrap().unfolding().unwrap();
        let mut out = [0; 100];
        for event in ["data: one\n\n", "data: two\n\n", "d"] {
            let mut bytes = folding.write(event.as_bytes()).unwrap();
            bytes.extend(folding.flush().unwrap());
            reading.feed(&bytes);
            let mut read = Vec::new();
            while let count @ 1.. = reading.next(&mut out).unwrap() {
                read.extend_from_slice(&out[..count]);
            }
            assert_eq!(read, event.as_bytes(), "{coding}");
            assert!(folding.flush().unwrap().is_empty(), "{coding}");
        }
    }
}

#[test]
fn what_follows_the_end_or_is_cut_short_is_refused() {
    let text = prose(3000);
    for coding in ALL {
        let body = coded(coding, &text);
        assert_eq!(
            fault(name(coding), &[&body[..], b"garbage"].concat()),
            Some(Fault::Unreadable),
            "{coding}"
        );
        assert_eq!(
            fault(name(coding), &[&body[..], &[0; 20]].concat()),
            Some(Fault::Unreadable),
            "{coding}"
        );
        assert_eq!(
            fault(name(coding), &body[..body.len() - 1]),
            Some(Fault::Unreadable),
            "{coding}"
        );
        assert_eq!(
            fault(name(coding), b"{\"not\": \"coded\"}"),
            Some(Fault::Unreadable),
            "{coding}"
        );
        assert_eq!(
            fault(name(coding), b""),
            None,
            "{coding}: nothing at all is nothing to look into"
        );
    }
}

#[test]
fn parts_may_follow_one_another() {
    for coding in ["gzip", "zstd"] {
        let body = [coded(coding, b"one, "), coded(coding, b""), coded(coding, b"two")].concat();
        assert_eq!(unfold(coding, &body, 3, 100).unwrap().0, b"one, two", "{coding}");
    }
}

#[test]
fn a_bomb_is_refused_by_its_ratio() {
    let zeros = vec![0; 64 << 20];
    for coding in ALL {
        let bomb = coded(coding, &zeros);
        assert!(bomb.len() < 100 << 10, "{coding}: {}", bomb.len());
        assert_eq!(fault(name(coding), &bomb), Some(Fault::TooFar), "{coding}");
        let wrapped = coded("gzip", &bomb);
        assert_eq!(
            fault(&format!("{}, gzip", name(coding)), &wrapped),
            Some(Fault::TooFar),
            "{coding}"
        );
    }
}

#[test]
fn windows_are_bounded() {
    let text = prose(1 << 20);
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for (window, expected) in [(23, None), (24, Some(Fault::Unreadable))] {
        encoder.window_log(window).unwrap();
        encoder.write_all(&text).unwrap();
        encoder.flush().unwrap();
        let body = encoder.finish().unwrap();
        assert_eq!(fault("zstd", &body), expected, "{window}");
        encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    }
    let params = brotli::enc::BrotliEncoderParams {
        large_window: true,
        lgwin: 28,
        quality: 5,
        ..Default::default()
    };
    let mut body = Vec::new();
    brotli::BrotliCompress(&mut &text[..], &mut body, &params).unwrap();
    assert_eq!(fault("br", &body), Some(Fault::Unreadable));
}

#[test]
fn dictionaries_are_refused() {
    let mut encoder =
        zstd::stream::write::Encoder::with_dictionary(Vec::new(), 1, b"lorem ipsum dolor sit amet").unwrap();
    encoder.write_all(b"lorem ipsum dolor sit amet").unwrap();
    let body = encoder.finish().unwrap();
    // A raw dictionary leaves no trace in the frame: it reads as broken, or as something else, but not as the text.
    let read = unfold("zstd", &body, 1024, 1024).map(|(text, _)| text);
    assert_ne!(read, Ok(b"lorem ipsum dolor sit amet".to_vec()));
    // FDICT.
    let mut zlib = coded("deflate", b"text");
    zlib[1] = (0x20..=0xff)
        .find(|flags| flags & 0x20 != 0 && is_zlib(zlib[0], *flags))
        .unwrap();
    assert_eq!(fault("deflate", &zlib), Some(Fault::Unreadable));
}

fn is_zlib(first: u8, second: u8) -> bool {
    u16::from_be_bytes([first, second]).is_multiple_of(31)
}

/// A body in frames of `size` bytes, as S3's SDKs send it.
fn framed(body: &[u8], size: usize, trailers: &str) -> Vec<u8> {
    let signature = format!(";chunk-signature={}", "ab".repeat(32));
    let mut framed = Vec::new();
    for part in body.chunks(size).chain([&b""[..]]) {
        framed.extend(format!("{:x}{signature}\r\n", part.len()).into_bytes());
        framed.extend_from_slice(part);
        if !part.is_empty() {
            framed.extend_from_slice(b"\r\n");
        }
    }
    framed.extend_from_slice(trailers.as_bytes());
    framed.extend_from_slice(b"\r\n");
    framed
}

#[test]
fn aws_frames_are_taken_off() {
    let text = prose(5000);
    let trailers = "x-amz-checksum-crc32:AAAAAA==\r\nx-amz-trailer-signature:abcd\r\n";
    for (slice, trailers) in [(1, ""), (1000, trailers), (usize::MAX, trailers)] {
        let body = framed(&text, 999, trailers);
        assert!(unfold("aws-chunked", &body, slice, 64).unwrap().0 == text);
        let body = framed(&coded("gzip", &text), 99, trailers);
        assert!(unfold("aws-chunked,gzip", &body, slice, 64).unwrap().0 == text);
    }
    let whole = framed(&text, 999, "");
    for broken in [
        &b"hello"[..],
        b"\r\n",
        b"g\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"-1\r\n",
        &whole[..100],
        &[&whole[..], b"more"].concat(),
        &[b'0'; 2000],
    ] {
        assert_eq!(fault("aws-chunked", broken), Some(Fault::Unreadable));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_makes_a_decoder_panic_or_grow(
        coding in prop::sample::select(&["gzip", "deflate", "br", "zstd", "aws-chunked"][..]),
        body in prop::collection::vec(any::<u8>(), 0..2000),
        slice in 1_usize..300,
    ) {
        let length = unfold(coding, &body, slice, 512).map_or(0, |(text, _)| text.len());
        prop_assert!(length <= 2 << 20);
    }

    #[test]
    fn a_damaged_body_is_never_another_where_there_is_a_checksum(
        coding in prop::sample::select(&["gzip", "deflate"][..]),
        at in any::<prop::sample::Index>(),
        bit in 0_u32..8,
    ) {
        let text = prose(3000);
        let mut body = coded(coding, &text);
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        let read = unfold(coding, &body, 64, 512);
        prop_assert!(read.map_or(true, |(read, _)| read == text));
    }
}
