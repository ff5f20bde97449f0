//! The process's limit of open files, which files and connections share.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to the highest that the process may set. A limit that cannot be raised stays.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the limit as it is, which `connections` reads.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Returns the most connections of each of so many servers: `wanted`, or, if that is less, a quarter of the limit for one
/// or two servers and a share of half of it for more. Each has a queue of a quarter of its connections, so that three
/// eighths of the limit are left for files and for connections to other machines.
pub fn connections(wanted: usize, servers: usize) -> usize {
    wanted.min(limit() / (2 * servers.max(2))).max(1)
}

fn limit() -> usize {
    getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_most_of_the_open_files_to_the_log() {
        raise();
        assert_eq!(connections(1, 1), 1);
        assert_eq!(
            [1, 2, 5].map(|servers| connections(usize::MAX, servers)),
            [4, 4, 10].map(|part| (limit() / part).max(1))
        );
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
    }
}
