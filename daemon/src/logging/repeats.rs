//! Repeated messages: of each kind the first, and then at most one in ten seconds with the number of those left out.
//!
//! Two warnings or errors are of one kind if the same statement made them, about the same thing, and their texts differ
//! in digits only, as those of errors with a number do. Other messages are of one kind if they are equal.
//!
//! Messages come without a time; each line gets the time at which it is written.

use std::fmt::{self, Debug};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use daemon_base::clock::{Clock as _, SystemClock};
use daemon_base::one_line::is_not_shown;
use daemon_base::repeats::{ANSWER, Due, INTERVAL, LIMITED, RepeatLimit};
use daemon_base::stop::Stop;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::stamp::Stamp;

/// The fields that name what a warning is about.
const SUBJECTS: [&str; 14] = [
    "facility",
    "fate",
    "format",
    "input",
    "node",
    "partition",
    "server",
    "sink",
    "source",
    "stream",
    "thread",
    "topic",
    "url",
    "worker",
];

/// The fields whose digits distinguish texts, too: they locate a fault.
const LOCATIONS: [&str; 2] = ["client", "offset"];

/// The most texts of one statement about one thing that are distinguished, so that a fault with ever new texts makes few
/// lines, too.
const TEXTS: u64 = 16;

/// The most kinds of messages that are distinguished.
const MAX_KINDS: usize = 1024;

/// How often the held messages are checked.
const TICK: Duration = Duration::from_secs(1);

/// What makes a message a repeated one.
type Kind = (Identifier, u64, u64);

/// A message without its time, and the time at which it was made.
struct Held {
    line: String,
    at: String,
}

/// The limit of all messages of the process.
pub(super) struct Repeats {
    limit: Mutex<RepeatLimit<Kind, Held>>,
    clock: SystemClock,
    stamp: Stamp,
}

impl Repeats {
    pub(super) fn new(stamp: Stamp) -> Arc<Self> {
        let limit = Mutex::new(RepeatLimit::new(INTERVAL, MAX_KINDS));
        Arc::new(Self { limit, clock: SystemClock::new(), stamp })
    }

    /// Returns the line to write now; `None` if it is held.
    fn add(&self, kind: Kind, line: String) -> Option<String> {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let Due { message, count } = limit.add(kind, 1, Held { line, at: Stamp::now() }, self.clock.monotonic())?;
        Some(self.line(&message.line, count, None))
    }

    fn due(&self) -> Vec<String> {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let due = limit.due(self.clock.monotonic());
        self.held_lines(due)
    }

    fn finish(&self) -> Vec<String> {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let left = limit.finish();
        self.held_lines(left)
    }

    /// The lines of messages that were held, in the order in which they were made.
    fn held_lines(&self, mut due: Vec<Due<Held>>) -> Vec<String> {
        due.sort_by(|a, b| a.message.at.cmp(&b.message.at));
        let lines = due.iter().map(|due| self.line(&due.message.line, due.count, Some(&due.message.at)));
        lines.collect()
    }

    /// The line with its time, and with the number of messages that were left out before it.
    fn line(&self, line: &str, count: u64, last_at: Option<&str>) -> String {
        let mut line = self.stamp.line(line);
        self.stamp.add(&mut line, count.saturating_sub(1), last_at);
        line
    }
}

/// A format, without a time of its own, that leaves repeated messages out.
pub(super) struct Limited<F> {
    pub(super) format: F,
    pub(super) repeats: Arc<Repeats>,
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let line = in_one_line(line);
        if *event.metadata().level() > Level::INFO || [ANSWER, LIMITED].contains(&event.metadata().name()) {
            return writer.write_str(&self.repeats.stamp.line(&line));
        }
        // Without internal errors logged, a message that is not formatted is not written.
        let line = self.repeats.add(kind(event), line).ok_or(fmt::Error)?;
        writer.write_str(&line)
    }
}

/// The line with the breaks within it escaped, and what turns the direction of a text: a key or a name that somebody sends
/// must not make a line of its own or change how the rest reads, which could look like a message of the daemon.
fn in_one_line(line: String) -> String {
    let text = line.strip_suffix('\n').unwrap_or(&line);
    if !text.contains(|character| character != '\t' && is_not_shown(character)) {
        return line;
    }
    let mut escaped = String::with_capacity(line.len());
    for (at, character) in text.char_indices() {
        match character {
            '\n' => escaped += "\\n",
            '\r' => escaped += "\\r",
            '\x1b' if is_style(&text[at..]) => escaped.push(character),
            '\t' => escaped.push(character),
            // Of JSON, too.
            _ if is_not_shown(character) => escaped += &format!("\\u{:04x}", u32::from(character)),
            _ => escaped.push(character),
        }
    }
    escaped.push('\n');
    escaped
}

/// Whether a text begins with a code for colours and weights, as a line in a terminal has them. Of a sender they change
/// nothing but those.
fn is_style(text: &str) -> bool {
    let numbers =
        text.strip_prefix("\x1b[").map(|text| text.trim_start_matches(|it: char| it.is_ascii_digit() || it == ';'));
    numbers.is_some_and(|rest| rest.starts_with('m'))
}

fn kind(event: &Event<'_>) -> Kind {
    let metadata = event.metadata();
    let all = *metadata.level() > Level::WARN;
    let mut hash = FieldHash { all, subject: DefaultHasher::new(), text: DefaultHasher::new() };
    event.record(&mut hash);
    (metadata.callsite(), hash.subject.finish(), hash.text.finish() % TEXTS)
}

/// The hashes of the fields of a message.
struct FieldHash {
    /// Whether all fields belong to the subject.
    all: bool,
    subject: DefaultHasher,
    text: DefaultHasher,
}

impl Visit for FieldHash {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.all || SUBJECTS.contains(&field.name()) {
            (field.name(), format!("{value:?}")).hash(&mut self.subject);
        } else if LOCATIONS.contains(&field.name()) {
            (field.name(), format!("{value:?}")).hash(&mut self.text);
        } else {
            let text = format!("{value:?}").replace(|character: char| character.is_ascii_digit(), "");
            (field.name(), text).hash(&mut self.text);
        }
    }
}

/// The thread that writes held messages once they are due, and those that are left when it is dropped.
pub(super) struct Ticker {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread. Without it, held messages wait for the next one of their kind.
    pub(super) fn start(repeats: Arc<Repeats>, mut writer: NonBlocking) -> Self {
        let stop = Stop::default();
        let stopped = stop.clone();
        // Its writer never fails.
        let mut write = move |lines: Vec<String>| lines.iter().for_each(|line| drop(writer.write_all(line.as_bytes())));
        let body = move || {
            while stopped.rest(TICK) {
                write(repeats.due());
            }
            write(repeats.finish());
        };
        Self { stop, thread: thread::Builder::new().name("repeated messages".into()).spawn(body).ok() }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::{subscriber, warn};
    use tracing_subscriber::fmt::format;

    use super::*;
    use crate::config::LogFormat;

    /// The lines of what `work` logs, with those that were held.
    fn logged(work: impl FnOnce()) -> Vec<String> {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let repeats = Repeats::new(Stamp { format: LogFormat::Text, ansi: false });
        let format = Limited { format: format().with_ansi(false).without_time(), repeats: Arc::clone(&repeats) };
        let writer = Arc::clone(&written);
        let builder = tracing_subscriber::fmt().log_internal_errors(false).event_format(format);
        let writer = move || Buffer(Arc::clone(&writer));
        subscriber::with_default(builder.with_writer(writer).finish(), work);
        let text = String::from_utf8(written.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let mut lines: Vec<_> = text.expect("UTF-8").lines().map(str::to_owned).collect();
        lines.extend(repeats.finish());
        lines
    }

    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_count_of_a_message_that_is_limited_where_it_is_made_is_not_left_out() {
        let lines = logged(|| {
            for records in [2, 3, 4] {
                warn!(name: LIMITED, fate = "late", records, "Records were dropped.");
            }
        });
        let count = |line: &String| line.split_once("records=")?.1.split(' ').next()?.trim().parse::<u64>().ok();
        assert_eq!(lines.iter().filter_map(count).sum::<u64>(), 9, "{lines:#?}");
    }

    #[test]
    fn a_text_with_line_breaks_makes_one_line() {
        let lines = logged(|| warn!(node = %"a\nERROR forged\r\n", "It failed."));
        assert!(lines.len() == 1 && lines[0].ends_with("node=a\\nERROR forged\\r\\n"), "{lines:#?}");
    }

    #[test]
    fn a_text_does_not_turn_the_rest_of_its_line() {
        let lines = logged(|| warn!(node = %"a\u{202e}b", "It failed."));
        assert!(lines.len() == 1 && lines[0].ends_with("node=a\\u202eb"), "{lines:#?}");
    }

    #[test]
    fn a_text_does_not_move_the_cursor() {
        let lines = logged(|| warn!(node = %"a\x1b[2K\x1b[1Gb\x1b", "It failed."));
        assert!(lines.len() == 1 && lines[0].ends_with("node=a\\u001b[2K\\u001b[1Gb\\u001b"), "{lines:#?}");
        assert_eq!(in_one_line("\x1b[2mx\x1b[0;31my\n".to_owned()), "\x1b[2mx\x1b[0;31my\n");
    }

    #[test]
    fn places_of_a_fault_are_distinguished_up_to_a_bound() {
        let lines = logged(|| {
            for number in 0..100 {
                warn!(offset = number, "A record cannot be read.");
                warn!(client = format!("10.0.0.{number}"), "A client is refused.");
                warn!(number, "Something else failed.");
            }
        });
        let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        for place in ["offset=", "client="] {
            // As many first ones, and as many that were held.
            assert!((4..=32).contains(&count(place)), "{place}: {lines:#?}");
        }
        assert_eq!(count("Something else"), 2, "{lines:#?}");
    }

    #[test]
    fn refusals_of_one_input_hide_none_of_another() {
        let reject = |format: &str, reason: &str| warn!(format, reason, "Samples were rejected.");
        let refuse = |input: &str, reason: &str| warn!(input, reason, "A request was refused.");
        let lines = logged(|| {
            for text in 0..200 {
                reject("samples", &"x".repeat(text));
                refuse("samples", &"x".repeat(text));
            }
            reject("otlp", "y");
            refuse("otlp", "y");
        });
        for subject in ["format=\"otlp\"", "input=\"otlp\""] {
            let written = lines.iter().position(|line| line.contains(subject));
            assert!(written.is_some_and(|index| !lines[index].contains("last_at=")), "{subject}: {lines:#?}");
        }
    }

    #[test]
    fn held_messages_have_the_time_of_their_line_and_their_own_in_order() {
        let lines = logged(|| {
            for _ in 0..2 {
                for what in ["c", "a", "b"] {
                    warn!(sink = what, "It failed.");
                }
            }
        });
        let times: Vec<_> = lines.iter().map(|line| line.split(' ').next()).collect();
        assert!(lines.len() == 6 && times.is_sorted(), "{lines:#?}");
        for (line, what) in lines.iter().zip(["c", "a", "b"].into_iter().cycle()) {
            assert!(line.contains(&format!("sink=\"{what}\"")), "{lines:#?}");
        }
        let (at_once, held) = lines.split_at(3);
        assert!(at_once.iter().all(|line| !line.contains("last_at=")), "{lines:#?}");
        assert!(held.iter().all(|line| line.contains(" last_at=2")), "{lines:#?}");
    }
}
