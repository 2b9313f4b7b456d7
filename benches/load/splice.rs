//! The floor of a tunnelling proxy: CONNECT, and then the kernel moves the bytes by splice(2).
//!
//! It has no policy, no record, no limits, and dials 127.0.0.1 whatever the name: nobody should run it.

use std::io;
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};

const HEAD_LIMIT: usize = 8 * 1024;
/// A pipe's usual capacity.
const AT_ONCE: usize = 64 * 1024;

/// It needs to be told nothing.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Specification {}

/// Prints its port as one line, and then serves until it is ended.
#[tokio::main]
pub(crate) async fn run(specification: &str) {
    let Specification {} = serde_json::from_str(specification).expect("a specification");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    loop {
        let (stream, _) = listener.accept().await.expect("a listener accepts");
        tokio::spawn(serve(stream));
    }
}

async fn serve(mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let head = read_head(&mut client).await?;
    let port = port_of(&head).ok_or(io::ErrorKind::InvalidData)?;
    let origin = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    origin.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::try_join!(forward(&client, &origin), forward(&origin, &client))?;
    Ok(())
}

/// The head of a CONNECT. The client here sends nothing ahead of the reply.
async fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_LIMIT || client.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(head)
}

fn port_of(head: &[u8]) -> Option<u16> {
    let head = str::from_utf8(head).ok()?;
    let authority = head.strip_prefix("CONNECT ")?.split(' ').next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

/// A reading and a writing end.
type Pipe = (OwnedFd, OwnedFd);

/// Empty pipes of tunnels that ended: making one costs as much as moving a small request through it.
static PIPES: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

/// One direction, until its end, which is passed on.
async fn forward(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let kept = PIPES.lock().unwrap().pop();
    let pipe = match kept {
        Some(pipe) => pipe,
        None => pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?,
    };
    pump(from, to, &pipe).await?;
    PIPES.lock().unwrap().push(pipe);
    socket2::SockRef::from(to).shutdown(Shutdown::Write)
}

async fn pump(from: &TcpStream, to: &TcpStream, (drain, fill): &Pipe) -> io::Result<()> {
    loop {
        match step(from, Interest::READABLE, || moved(from, fill, AT_ONCE)).await? {
            0 => return Ok(()),
            filled => empty(drain, to, filled).await?,
        }
    }
}

async fn empty(pipe: &OwnedFd, to: &TcpStream, filled: usize) -> io::Result<()> {
    let mut left = filled;
    while left > 0 {
        left -= step(to, Interest::WRITABLE, || moved(pipe, to, left)).await?;
    }
    Ok(())
}

/// Tries until the socket is ready. The pipe always is: it is emptied before it is filled again.
async fn step(socket: &TcpStream, interest: Interest, mut act: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        socket.ready(interest).await?;
        match socket.try_io(interest, &mut act) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

fn moved(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}
