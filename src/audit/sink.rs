//! The trail: records get their number and go to the file, in order, each whole on its line.
//!
//! Whoever ends an exchange appends its line to what is pending, under one short lock; a thread of the trail's own takes all
//! that is pending and writes it with one `write(2)`, then wakes all who wait for it. Places are bounded: one is reserved
//! before an exchange begins and is free again when its line is in the file.
//!
//! When the file can't be written, its lines are kept and tried again, from the byte at which the last attempt stopped; a
//! file that was moved or removed is opened anew by its path. It doesn't synchronise to the disk, rotate, or chain.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};
use std::{io, mem};

use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

pub use super::file::TrailError;
use super::file::TrailFile;
use super::json::digits;
use super::record::Record;
use crate::metrics::Metrics;

/// A buffer that grew beyond this is given back after use.
const KEPT_BUFFER: usize = 1024 * 1024;

/// What happens to exchanges while the trail can't be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// No exchange begins, and none that is under way ends well.
    #[default]
    Refuse,
    /// Exchanges go on. Their records wait for the trail as long as there is room and are lost beyond it; log and metrics
    /// say so.
    Continue,
}

/// The audit trail can't take a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit trail can't be written")]
pub struct Unwritable;

/// Records that were not in the file when the trail was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{records} audit records were not written before the deadline")]
pub struct Unfinished {
    /// How many.
    pub records: usize,
}

/// How long the trail waits for what.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// A record that isn't in the file after this time is taken as not written, though it may still get there.
    patience: Duration,
    /// The pause after the first failed attempt; it doubles with each further one.
    first_pause: Duration,
    /// The longest pause between attempts.
    longest_pause: Duration,
    /// The file is looked up by its path this often.
    look: Duration,
    /// Between the beginnings of two batches: under load, records that come within it share one write and one wake-up. A record that
    /// comes after a lull doesn't wait.
    gather: Duration,
    /// A failure is logged at most this often.
    log: Duration,
}

impl Timing {
    const DEFAULT: Self = Self {
        patience: Duration::from_secs(5),
        first_pause: Duration::from_millis(100),
        longest_pause: Duration::from_secs(1),
        look: Duration::from_secs(1),
        gather: Duration::from_micros(100),
        log: Duration::from_secs(10),
    };

    /// How often overdue records are looked for: often enough that [`Timing::patience`] is a bound.
    fn tick(&self) -> Duration {
        self.patience / 5
    }
}

/// The open trail. Clones are the same trail; with the last one it is closed, and what is pending still written.
#[derive(Clone, Debug)]
pub struct Trail {
    shared: Arc<Shared>,
    _closer: Arc<Closer>,
}

impl Trail {
    /// Opens the trail at `path`, made when absent (mode 0600), and continues its numbers. A torn last line, left by a crash,
    /// stays alone on its line. At most `capacity` places can be reserved at a time.
    pub fn open(path: &Path, on_failure: OnFailure, capacity: usize, metrics: Metrics) -> Result<Self, TrailError> {
        Self::open_with(path, on_failure, capacity, metrics, Timing::DEFAULT)
    }

    fn open_with(
        path: &Path,
        on_failure: OnFailure,
        capacity: usize,
        metrics: Metrics,
        timing: Timing,
    ) -> Result<Self, TrailError> {
        let (file, last) = TrailFile::open(path)?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            on_failure,
            timing,
            metrics,
            free: AtomicUsize::new(capacity),
            writable: AtomicBool::new(true),
            queue: Mutex::new(Queue {
                next: last.saturating_add(1),
                ..Queue::default()
            }),
            work: Condvar::new(),
            clock: Condvar::new(),
            logged: Mutex::new(None),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            file,
            doubted: false,
            looked: Instant::now(),
            took: Instant::now(),
        };
        start_thread("egret-audit", move || writer.run())?;
        let watch = Arc::clone(&shared);
        start_thread("egret-audit-watch", move || watch.watch())?;
        Ok(Self {
            _closer: Arc::new(Closer(Arc::clone(&shared))),
            shared,
        })
    }

    /// Takes a place for the record of an exchange that is about to begin. Under [`OnFailure::Refuse`] this fails while the
    /// trail can't be written and when no place is free; under [`OnFailure::Continue`] it never does. It never blocks.
    pub fn reserve(&self) -> Result<Slot, Unwritable> {
        let refuse = self.shared.on_failure == OnFailure::Refuse;
        if refuse && !self.writable() {
            return Err(Unwritable);
        }
        let placed = self.shared.take_place();
        if refuse && !placed {
            return Err(Unwritable);
        }
        Ok(Slot {
            shared: Arc::clone(&self.shared),
            placed,
        })
    }

    /// Whether the last attempt to write the trail, or to find its file, went well.
    pub fn writable(&self) -> bool {
        self.shared.writable.load(Ordering::Acquire)
    }

    /// Whether exchanges are refused now because the trail can't be written.
    pub fn refuses(&self) -> bool {
        self.shared.on_failure == OnFailure::Refuse && !self.writable()
    }

    /// Takes no further record, and waits until all that were taken are in the file, at most for `patience`. Blocks its
    /// thread.
    pub fn close(&self, patience: Duration) -> Result<(), Unfinished> {
        self.shared.close(patience);
        let (queue, _) = self
            .shared
            .clock
            .wait_timeout_while(self.shared.queue(), patience, |queue| !queue.ended)
            .unwrap_or_else(PoisonError::into_inner);
        match queue.records + queue.taken {
            0 => Ok(()),
            records => Err(Unfinished { records }),
        }
    }
}

/// Starts a named thread that ends by itself when the trail is closed.
fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), TrailError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map(drop)
        .map_err(TrailError::Thread)
}

/// Closes the trail when its last clone is gone.
#[derive(Debug)]
struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.close(self.0.timing.patience);
    }
}

/// A place for one record. Dropped unused, it is free again.
#[derive(Debug)]
#[must_use = "an exchange without its record breaks the trail's promise"]
pub struct Slot {
    shared: Arc<Shared>,
    /// False only under [`OnFailure::Continue`], when no place was free.
    placed: bool,
}

impl Slot {
    /// Puts the record in the queue. What comes back resolves when the record's line is in the file.
    pub fn write(mut self, record: &Record<'_>) -> Written {
        let placed = mem::take(&mut self.placed) || self.shared.take_place();
        if !placed {
            return self.shared.lose("no room for further records");
        }
        self.shared.put(record)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.placed {
            self.shared.give_places(1);
        }
    }
}

pin_project! {
    /// Resolves when the record is in the file; with [`Unwritable`] when it isn't after five seconds, though the trail keeps
    /// trying. Under [`OnFailure::Continue`] it waits only while the trail can be written, and never fails. Dropping it
    /// doesn't undo the write.
    #[derive(Debug)]
    #[must_use = "the record may not be in the file before this resolves"]
    pub struct Written {
        batch: Arc<Batch>,
        #[pin]
        ended: OwnedNotified,
    }
}

impl Written {
    /// To be made under the queue's lock, so that the end of the batch can't be missed.
    fn of(batch: &Arc<Batch>) -> Self {
        Self {
            batch: Arc::clone(batch),
            ended: Arc::clone(&batch.notify).notified_owned(),
        }
    }

    /// Resolves at once: for what has nothing to write.
    pub(crate) fn done() -> Self {
        Self::at_once(Ok(()))
    }

    fn at_once(result: Result<(), Unwritable>) -> Self {
        let batch = Arc::new(Batch::new());
        batch.end(result);
        Self::of(&batch)
    }
}

impl Future for Written {
    type Output = Result<(), Unwritable>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.batch.result.get().is_none() {
            ready!(this.ended.poll(cx));
        }
        Poll::Ready(this.batch.result.get().copied().unwrap_or(Err(Unwritable)))
    }
}

/// Records that get to the file together, and whoever waits for them.
#[derive(Debug)]
struct Batch {
    /// When its first record came.
    since: Instant,
    notify: Arc<Notify>,
    result: OnceLock<Result<(), Unwritable>>,
}

impl Batch {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            notify: Arc::default(),
            result: OnceLock::new(),
        }
    }

    fn is_open(&self) -> bool {
        self.result.get().is_none()
    }

    /// Settles the batch, unless it is settled.
    fn end(&self, result: Result<(), Unwritable>) {
        if self.result.set(result).is_ok() {
            self.notify.notify_waiters();
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole lines that the writer has not taken.
    pending: Vec<u8>,
    /// How many lines those are.
    records: usize,
    /// Lines that the writer has taken and not written.
    taken: usize,
    /// The number of the next record.
    next: u64,
    /// Who waits for what is pending.
    waiting: Option<Arc<Batch>>,
    /// Who waits for what was taken.
    writing: Option<Arc<Batch>>,
    /// The writer waits for work and must be woken.
    asleep: bool,
    /// No further record is taken.
    closed: bool,
    /// Once closed: when the writer stops trying.
    give_up: Option<Instant>,
    /// The writer is gone.
    ended: bool,
}

impl Queue {
    fn batches(&self) -> impl Iterator<Item = &Arc<Batch>> {
        self.writing.iter().chain(&self.waiting).filter(|batch| batch.is_open())
    }

    /// Appends a record, given as one JSON object.
    fn append(&mut self, object: &[u8]) {
        self.pending.extend_from_slice(super::file::LINE_START);
        digits(self.next, &mut self.pending);
        self.pending.push(b',');
        self.pending.extend_from_slice(object.get(1..).unwrap_or_default());
        self.pending.push(b'\n');
        self.next = self.next.saturating_add(1);
        self.records += 1;
    }

    /// The batch that a record just appended belongs to.
    fn batch(&mut self) -> &Arc<Batch> {
        if self.waiting.as_ref().is_none_or(|batch| !batch.is_open()) {
            self.waiting = None;
        }
        self.waiting.get_or_insert_with(|| Arc::new(Batch::new()))
    }
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    on_failure: OnFailure,
    timing: Timing,
    metrics: Metrics,
    /// Places that can be reserved.
    free: AtomicUsize,
    writable: AtomicBool,
    queue: Mutex<Queue>,
    /// There is work for the writer, or an end to it.
    work: Condvar,
    /// The writer has ended: for the watch, and for who closes.
    clock: Condvar,
    /// When a failure was last logged.
    logged: Mutex<Option<Instant>>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_place(&self) -> bool {
        let taken = self
            .free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        taken.is_ok()
    }

    fn give_places(&self, count: usize) {
        self.free.fetch_add(count, Ordering::AcqRel);
    }

    /// The place for the record is taken already.
    fn put(&self, record: &Record<'_>) -> Written {
        // Most records have a few hundred bytes.
        let mut object = Vec::with_capacity(512);
        record.write_json(&mut object);
        let mut queue = self.queue();
        if queue.closed {
            drop(queue);
            self.give_places(1);
            return self.lose("the trail is closed");
        }
        queue.append(&object);
        let written = Written::of(queue.batch());
        if self.on_failure == OnFailure::Continue && !self.writable.load(Ordering::Acquire) {
            queue.batch().end(Ok(()));
        }
        let wake = mem::take(&mut queue.asleep);
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        written
    }

    /// Counts a record that can't be kept.
    fn lose(&self, why: &'static str) -> Written {
        self.metrics.audit_error();
        if self.may_log() {
            tracing::error!(path = %self.path.display(), "audit record lost: {why}");
        }
        Written::at_once(self.verdict())
    }

    /// What those who wait are told when their record isn't written.
    fn verdict(&self) -> Result<(), Unwritable> {
        match self.on_failure {
            OnFailure::Refuse => Err(Unwritable),
            OnFailure::Continue => Ok(()),
        }
    }

    /// Notes a failed attempt. Under [`OnFailure::Continue`] nobody waits any longer.
    fn fail(&self, error: &dyn std::error::Error) {
        self.metrics.audit_error();
        let queue = self.queue();
        // Under the lock: a record that comes later sees it, one that came before is in a batch.
        self.writable.store(false, Ordering::Release);
        if self.on_failure == OnFailure::Continue {
            queue.batches().for_each(|batch| batch.end(Ok(())));
        }
        drop(queue);
        if self.may_log() {
            tracing::error!(%error, "audit records wait in memory");
        }
    }

    /// Notes that the trail can be written.
    fn recover(&self) {
        if !self.writable.swap(true, Ordering::AcqRel) {
            tracing::info!(path = %self.path.display(), "the audit trail is written again");
        }
    }

    fn may_log(&self) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let may = logged.is_none_or(|last| last.elapsed() >= self.timing.log);
        if may {
            *logged = Some(Instant::now());
        }
        may
    }

    /// Takes no further record; the writer stops when all are written, or after `patience`.
    fn close(&self, patience: Duration) {
        let mut queue = self.queue();
        queue.closed = true;
        queue.give_up.get_or_insert(Instant::now() + patience);
        drop(queue);
        self.work.notify_all();
    }

    /// Settles batches that wait too long. A thread of its own does it, since a `write(2)` can hang as well as fail.
    fn watch(&self) {
        let tick = self.timing.tick();
        let mut queue = self.queue();
        while !queue.ended {
            (queue, _) = self
                .clock
                .wait_timeout(queue, tick)
                .unwrap_or_else(PoisonError::into_inner);
            self.end_overdue(&queue, self.timing.patience.saturating_sub(tick));
        }
    }

    fn end_overdue(&self, queue: &Queue, age: Duration) {
        for batch in queue.batches().filter(|batch| batch.since.elapsed() >= age) {
            self.writable.store(false, Ordering::Release);
            self.metrics.audit_error();
            batch.end(self.verdict());
            if self.may_log() {
                tracing::error!(path = %self.path.display(), "audit records are not getting to the file");
            }
        }
    }
}

/// The thread that owns the file.
struct Writer {
    shared: Arc<Shared>,
    file: TrailFile,
    /// The last attempt failed: before the next, the file is looked up by its path.
    doubted: bool,
    /// When the file was last looked up.
    looked: Instant,
    /// When the last batch was taken.
    took: Instant,
}

impl Writer {
    fn run(mut self) {
        let mut lines = Vec::new();
        while self.take(&mut lines) {
            if !self.write_out(&lines) {
                break;
            }
            self.settle();
            lines.clear();
            lines.shrink_to(KEPT_BUFFER);
        }
        self.end();
    }

    /// Waits for lines and takes all of them; while there are none, looks after the file. False when the trail is closed and
    /// everything is written.
    fn take(&mut self, lines: &mut Vec<u8>) -> bool {
        loop {
            self.look();
            let shared = &self.shared;
            let mut queue = shared.queue();
            queue.asleep = true;
            let nothing = |queue: &mut Queue| queue.records == 0 && !queue.closed;
            (queue, _) = shared
                .work
                .wait_timeout_while(queue, shared.timing.look, nothing)
                .unwrap_or_else(PoisonError::into_inner);
            queue.asleep = false;
            if queue.records > 0 {
                let early = shared.timing.gather.saturating_sub(self.took.elapsed());
                if !early.is_zero() {
                    drop(queue);
                    thread::sleep(early);
                    queue = shared.queue();
                }
                self.took = Instant::now();
                mem::swap(&mut queue.pending, lines);
                queue.taken = mem::take(&mut queue.records);
                queue.writing = queue.waiting.take();
                return true;
            }
            if queue.closed {
                return false;
            }
        }
    }

    /// Writes the lines, however many attempts it takes. False when the trail is closed and its time is up.
    fn write_out(&mut self, lines: &[u8]) -> bool {
        let mut done = 0;
        let mut pause = self.shared.timing.first_pause;
        while done < lines.len() {
            match self.attempt(lines, done) {
                Ok(now_done) => {
                    done = now_done;
                    pause = self.shared.timing.first_pause;
                }
                Err(error) => {
                    self.doubted = true;
                    self.shared.fail(&error);
                    if !self.pause(pause) {
                        return false;
                    }
                    pause = (pause * 2).min(self.shared.timing.longest_pause);
                }
            }
        }
        true
    }

    /// Writes on from the byte `done`; gives the byte up to which the lines are written then. In a file opened anew, a line
    /// that was torn in the old one begins again.
    fn attempt(&mut self, lines: &[u8], done: usize) -> Result<usize, TrailError> {
        let reopened = self.doubted && self.reopen_if_gone()?;
        let done = if reopened { line_start(lines, done) } else { done };
        let failed = |source| TrailError::Write {
            path: self.shared.path.clone(),
            source,
        };
        match self.file.write(lines.get(done..).unwrap_or_default()) {
            Ok(0) => Err(failed(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                self.doubted = false;
                Ok(done + count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(done),
            Err(error) => Err(failed(error)),
        }
    }

    /// Frees the places of what was written, and wakes those who wait for it.
    fn settle(&self) {
        let mut queue = self.shared.queue();
        let records = mem::take(&mut queue.taken);
        let batch = queue.writing.take();
        // Under the lock, and after the batch was taken: the watch can't find it overdue afterwards and leave the trail
        // unwritable with nothing left to write.
        self.shared.recover();
        drop(queue);
        self.shared
            .metrics
            .audit_records(u64::try_from(records).unwrap_or(u64::MAX));
        self.shared.give_places(records);
        if let Some(batch) = batch {
            batch.end(Ok(()));
        }
    }

    /// Lets go of the file, and leaves whoever still waits with the verdict.
    fn end(self) {
        let Self { shared, file, .. } = self;
        drop(file);
        let mut queue = shared.queue();
        queue.closed = true;
        queue.ended = true;
        queue.batches().for_each(|batch| batch.end(shared.verdict()));
        drop(queue);
        shared.clock.notify_all();
    }

    /// Waits before the next attempt. A trail that is being closed is tried at the shortest pause; false when its time is up.
    fn pause(&self, pause: Duration) -> bool {
        let shared = &self.shared;
        let queue = shared.queue();
        let closing = queue.closed;
        let pause = if closing { shared.timing.first_pause } else { pause };
        let (queue, _) = shared
            .work
            .wait_timeout_while(queue, pause, |queue| queue.closed == closing)
            .unwrap_or_else(PoisonError::into_inner);
        queue.give_up.is_none_or(|give_up| Instant::now() < give_up)
    }

    /// Looks, once in a while, whether the file still stands at its path. Nothing is being written meanwhile.
    fn look(&mut self) {
        if self.looked.elapsed() < self.shared.timing.look {
            return;
        }
        self.looked = Instant::now();
        match self.reopen_if_gone() {
            Ok(_) if self.doubted => {
                self.doubted = false;
                self.shared.recover();
            }
            Ok(_) => {}
            Err(error) => {
                self.doubted = true;
                self.shared.fail(&error);
            }
        }
    }

    /// Opens the file anew when it no longer stands at its path. True when another file was opened.
    fn reopen_if_gone(&mut self) -> Result<bool, TrailError> {
        if self.file.stands_at(&self.shared.path) {
            return Ok(false);
        }
        (self.file, _) = TrailFile::open(&self.shared.path)?;
        Ok(true)
    }
}

/// Where the line begins to which the byte at `at` belongs.
fn line_start(lines: &[u8], at: usize) -> usize {
    let before = lines.get(..at).unwrap_or_default();
    memchr::memrchr(b'\n', before).map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use ::time::OffsetDateTime;
    use futures_util::future::join_all;
    use serde_json::Value;

    use super::*;
    use crate::audit::{Event, ExchangeId};

    /// Longer than any test may wait.
    const LONG: Duration = Duration::from_mins(1);

    /// Fails fast and looks at the file all the time.
    const HASTY: Timing = Timing {
        gather: Duration::ZERO,
        patience: Duration::from_secs(1),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(4),
        look: Duration::from_millis(1),
        log: Duration::from_secs(10),
    };

    fn metrics() -> Metrics {
        Metrics::new([])
    }

    fn open(path: &Path, on_failure: OnFailure, capacity: usize) -> Trail {
        Trail::open(path, on_failure, capacity, metrics()).unwrap()
    }

    fn hasty(path: &Path, on_failure: OnFailure, capacity: usize) -> Trail {
        Trail::open_with(path, on_failure, capacity, metrics(), HASTY).unwrap()
    }

    fn record(number: u128) -> Record<'static> {
        let time = OffsetDateTime::UNIX_EPOCH;
        Record {
            host: Some(format!("{number}.example").into()),
            ..Record::new(time, ExchangeId::new(time, number), Event::Exchange)
        }
    }

    fn put(trail: &Trail, number: u128) -> Written {
        trail.reserve().unwrap().write(&record(number))
    }

    /// Every line of the file, each of which must be whole.
    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no record: {line}")))
            .collect()
    }

    fn numbers(path: &Path) -> Vec<u64> {
        lines(path).iter().map(|line| line["seq"].as_u64().unwrap()).collect()
    }

    /// Until `done`, which the trail's threads bring about.
    fn until(what: &str, done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < LONG, "{what}");
            thread::yield_now();
        }
    }

    /// In one step, so that the trail can't make a file in between.
    fn remove(folder: &Path) {
        let away = folder.with_extension("away");
        fs::rename(folder, &away).unwrap();
        fs::remove_dir_all(&away).unwrap();
    }

    fn errors(trail: &Trail) -> u64 {
        let text = trail.shared.metrics.encode();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("egret_audit_errors_total "));
        line.unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn a_record_is_in_the_file_when_written_resolves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let trail = open(&path, OnFailure::Refuse, 1);
        for number in 1..=3 {
            assert_eq!(put(&trail, number).await, Ok(()));
            assert_eq!(lines(&path).len(), usize::try_from(number).unwrap());
        }
        let last = &lines(&path)[2];
        assert_eq!(
            (&last["v"], &last["seq"], &last["host"]),
            (&1.into(), &3.into(), &"3.example".into())
        );
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .starts_with("{\"v\":1,\"seq\":1,\"time\":\"1970-")
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(trail.shared.metrics.encode().contains("egret_audit_records_total 3\n"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_writers_lose_nothing_and_numbers_are_in_order() {
        const WRITERS: u128 = 50;
        const RECORDS: u128 = 200;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let trail = open(&path, OnFailure::Refuse, 10_000);
        let writers = (0..WRITERS).map(|writer| {
            let trail = trail.clone();
            tokio::spawn(async move {
                for number in 0..RECORDS {
                    put(&trail, writer * RECORDS + number).await.unwrap();
                }
            })
        });
        for writer in join_all(writers).await {
            writer.unwrap();
        }
        let all = lines(&path);
        let ids: HashSet<_> = all.iter().map(|line| line["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), usize::try_from(WRITERS * RECORDS).unwrap());
        let expected: Vec<_> = (1..=u64::try_from(WRITERS * RECORDS).unwrap()).collect();
        assert_eq!(numbers(&path), expected);
    }

    #[test]
    fn a_dropped_written_is_written_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let trail = open(&path, OnFailure::Refuse, 100);
        for number in 0..100 {
            drop(put(&trail, number));
        }
        assert_eq!(trail.close(LONG), Ok(()));
        assert_eq!(lines(&path).len(), 100);
    }

    #[test]
    fn a_dropped_trail_is_written_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        drop(put(&open(&path, OnFailure::Refuse, 1), 1));
        until("the record is written", || lines(&path).len() == 1);
    }

    #[tokio::test]
    async fn places_are_bounded_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let trail = open(&folder.path().join("audit.jsonl"), OnFailure::Refuse, 2);
        let first = trail.reserve().unwrap();
        let second = trail.reserve().unwrap();
        assert_eq!(trail.reserve().unwrap_err(), Unwritable);
        drop(first);
        let first = trail.reserve().unwrap();
        assert_eq!(trail.reserve().unwrap_err(), Unwritable);
        first.write(&record(1)).await.unwrap();
        drop(trail.reserve().unwrap());
        second.write(&record(2)).await.unwrap();
        assert_eq!(trail.shared.free.load(Ordering::Acquire), 2);
    }

    #[tokio::test]
    async fn a_full_disk_refuses_and_says_so() {
        let trail = hasty(Path::new("/dev/full"), OnFailure::Refuse, 4);
        let early = trail.reserve().unwrap();
        assert_eq!(put(&trail, 1).await, Err(Unwritable));
        assert!(!trail.writable() && trail.refuses());
        assert_eq!(trail.reserve().unwrap_err(), Unwritable);
        // An exchange that began before ends with the same answer.
        assert_eq!(early.write(&record(2)).await, Err(Unwritable));
        assert!(errors(&trail) > 0);
        assert_eq!(trail.close(Duration::from_millis(20)), Err(Unfinished { records: 2 }));
        until("the writer gives up", || trail.shared.queue().ended);
    }

    #[tokio::test]
    async fn on_a_full_disk_continue_lets_pass_and_counts_the_lost() {
        let trail = hasty(Path::new("/dev/full"), OnFailure::Continue, 2);
        assert_eq!(put(&trail, 1).await, Ok(()));
        until("the first attempt failed", || !trail.writable());
        assert!(!trail.refuses());
        assert_eq!(put(&trail, 2).await, Ok(()));
        let before = errors(&trail);
        for number in 3..6 {
            assert_eq!(put(&trail, number).await, Ok(()));
        }
        assert!(errors(&trail) >= before + 3);
        assert_eq!(trail.close(Duration::ZERO), Err(Unfinished { records: 2 }));
    }

    #[tokio::test]
    async fn a_folder_that_comes_back_gets_what_waited() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        let path = inner.join("audit.jsonl");
        fs::create_dir(&inner).unwrap();
        let trail = hasty(&path, OnFailure::Refuse, 4);
        put(&trail, 1).await.unwrap();
        remove(&inner);
        until("the missing folder is seen without any traffic", || !trail.writable());
        assert_eq!(trail.reserve().unwrap_err(), Unwritable);
        fs::create_dir(&inner).unwrap();
        until("the folder is seen again", || trail.writable());
        put(&trail, 2).await.unwrap();
        assert_eq!(numbers(&path), [2]);
    }

    #[tokio::test]
    async fn records_wait_in_memory_for_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        let path = inner.join("audit.jsonl");
        fs::create_dir(&inner).unwrap();
        let trail = hasty(&path, OnFailure::Refuse, 4);
        let (first, second) = (trail.reserve().unwrap(), trail.reserve().unwrap());
        remove(&inner);
        until("the missing folder is seen", || !trail.writable());
        assert_eq!(first.write(&record(1)).await, Err(Unwritable));
        drop(second.write(&record(2)));
        fs::create_dir(&inner).unwrap();
        assert_eq!(trail.close(LONG), Ok(()));
        assert_eq!(numbers(&path), [1, 2]);
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_followed_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
        let trail = hasty(&path, OnFailure::Refuse, 4);
        put(&trail, 1).await.unwrap();
        fs::rename(&path, &moved).unwrap();
        until("a new file is made", || path.exists());
        put(&trail, 2).await.unwrap();
        assert_eq!((numbers(&moved), numbers(&path)), (vec![1], vec![2]));
    }

    #[tokio::test]
    async fn a_torn_line_stays_alone_and_numbers_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let torn = "{\"v\":1,\"seq\":41,\"time\":\"x\"}\n{\"v\":1,\"seq\":42,\"ti";
        fs::write(&path, torn).unwrap();
        let trail = open(&path, OnFailure::Refuse, 1);
        put(&trail, 1).await.unwrap();
        trail.close(LONG).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with(&format!("{torn}\n{{\"v\":1,\"seq\":42,\"time\":\"1970")),
            "{text}"
        );
        let again = open(&path, OnFailure::Refuse, 1);
        put(&again, 2).await.unwrap();
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .lines()
                .last()
                .unwrap()
                .contains("\"seq\":43,")
        );
    }

    #[test]
    fn a_second_writer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let _first = open(&path, OnFailure::Refuse, 1);
        let second = Trail::open(&path, OnFailure::Refuse, 1, metrics());
        assert!(matches!(second, Err(TrailError::InUse { .. })), "{second:?}");
    }

    #[test]
    fn what_is_no_trail_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let big = folder.path().join("big");
        fs::write(&big, "not a record\n".repeat(100_000)).unwrap();
        for (path, expected) in [
            (big.as_path(), "no audit trail"),
            (folder.path(), "failed to open"),
            (Path::new("/absent/a"), "failed to open"),
        ] {
            let error = Trail::open(path, OnFailure::Refuse, 1, metrics()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn after_close_nothing_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let trail = open(&path, OnFailure::Refuse, 2);
        let slot = trail.reserve().unwrap();
        assert_eq!(trail.close(LONG), Ok(()));
        assert_eq!(slot.write(&record(1)).await, Err(Unwritable));
        assert_eq!((lines(&path).len(), errors(&trail)), (0, 1));
        assert_eq!(trail.shared.free.load(Ordering::Acquire), 2);
    }

    #[tokio::test]
    async fn a_write_that_hangs_ends_who_waits() {
        // A pipe that nobody reads takes 64 KiB and then holds the writer.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let mut reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let trail = hasty(&path, OnFailure::Refuse, 1_000);
        let slots: Vec<_> = (0..1_000).map(|_| trail.reserve().unwrap()).collect();
        let written: Vec<_> = slots
            .into_iter()
            .zip(0..)
            .map(|(slot, number)| slot.write(&record(number)))
            .collect();
        let results = join_all(written).await;
        assert!(results.contains(&Err(Unwritable)));
        assert!(trail.refuses());
        // Once somebody reads, the trail is written again.
        let drain = thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        until("the trail is written again", || trail.writable());
        assert_eq!(trail.close(LONG), Ok(()));
        // The reading end is also a writing end, so it never sees the end of the pipe: it goes with the test's process.
        drop(drain);
    }

    #[track_caller]
    fn check_line_start(at: usize, expected: usize) {
        assert_eq!(line_start(b"ab\ncd\n", at), expected);
    }

    #[test]
    fn a_torn_line_begins_at_its_first_byte() {
        check_line_start(0, 0);
        check_line_start(2, 0);
        check_line_start(3, 3);
        check_line_start(5, 3);
        check_line_start(6, 6);
    }
}
