//! What was seen where: marks in what tenants of a zone send, and those who look for them in the places that it
//! may, and may not, come to.
//!
//! Whoever is given something calls [`Watch::see`] with all of it; of the files of stores, [`scan`] reads every byte.
//! So a violation is counted where it happens, whatever the server says that it does.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Mutex;

/// Begins the name of an applicant of a bank in the zone.
pub(crate) const EUROPEAN: &str = "eu-subject-";
/// Begins the name of any other applicant.
pub(crate) const ELSEWHERE: &str = "xx-subject-";
/// Longer than any name.
const NAME_MAX: usize = 64;
const CHUNK: usize = 1 << 20;

/// Applicants whose names were seen at one place.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Seen>);

/// Names, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) european: BTreeSet<String>,
    pub(crate) others: BTreeSet<String>,
}

impl Watch {
    /// Somebody there was given this.
    pub(crate) fn see(&self, bytes: &[u8]) {
        let mut seen = self.0.lock().expect("whoever notes a name does not panic");
        seen.note(bytes, bytes.len());
    }

    pub(crate) fn seen(&self) -> Seen {
        self.0.lock().expect("whoever notes a name does not panic").clone()
    }
}

impl Seen {
    /// Notes the names that begin before `end`.
    fn note(&mut self, bytes: &[u8], end: usize) {
        for (mark, names) in [(EUROPEAN, &mut self.european), (ELSEWHERE, &mut self.others)] {
            let mut from = 0;
            while let Some(at) = find(&bytes[from..], mark.as_bytes()) {
                let begin = from + at;
                if begin >= end {
                    break;
                }
                from = begin + mark.len();
                let is_name = |byte: &&u8| byte.is_ascii_digit() || **byte == b'-';
                let rest = bytes[from..].iter().take_while(is_name).count();
                names.insert(String::from_utf8_lossy(&bytes[begin..from + rest]).into_owned());
            }
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.european.extend(other.european);
        self.others.extend(other.others);
    }
}

/// What is in the files of a folder: in those whose names begin so, and in all others.
pub(crate) fn scan(folder: &Path, own: &str) -> io::Result<[Seen; 2]> {
    let mut found = [Seen::default(), Seen::default()];
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            // Nothing in a store's folder is a store of its region but the files beside each other.
            for seen in scan(&entry.path(), own)? {
                found[1].add(seen);
            }
            continue;
        }
        let is_own = entry.file_name().to_string_lossy().starts_with(own);
        match File::open(entry.path()) {
            Ok(file) => read(file, &mut found[usize::from(!is_own)])?,
            // The server may have done away with a file of its log.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Piece by piece; a name that begins at the end of one is noted with the next.
fn read(mut file: impl Read, seen: &mut Seen) -> io::Result<()> {
    let mut held = Vec::new();
    loop {
        let read = (&mut file).take(CHUNK as u64).read_to_end(&mut held)?;
        let end = if read == 0 { held.len() } else { held.len().saturating_sub(NAME_MAX) };
        seen.note(&held, end);
        if read == 0 {
            return Ok(());
        }
        held.drain(..end);
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        from += bytes[from..].iter().position(|byte| *byte == mark[0])?;
        if bytes[from..].starts_with(mark) {
            return Some(from);
        }
        from += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_counted_once() {
        let watch = Watch::default();
        watch.see(b"{\"applicant\":\"eu-subject-0-17\"} eu-subject-0-17 xx-subject-4-2!");
        let seen = watch.seen();
        assert_eq!(seen.european, ["eu-subject-0-17".to_owned()].into());
        assert_eq!(seen.others, ["xx-subject-4-2".to_owned()].into());
    }

    #[test]
    fn a_name_across_the_pieces_of_a_file_is_read_whole() {
        for before in [CHUNK - 3, CHUNK - NAME_MAX, CHUNK - 12, CHUNK] {
            let mut bytes = vec![b'e'; before];
            bytes.extend(b"eu-subject-1-23 ");
            let mut seen = Seen::default();
            read(&bytes[..], &mut seen).unwrap();
            assert_eq!(seen.european, ["eu-subject-1-23".to_owned()].into(), "after {before}");
        }
    }

    #[test]
    fn files_of_another_store_are_outside() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("eu-west-1.db-wal", "eu-subject-1"),
            ("us-east-1.db", "xx-subject-1 eu-subject-2"),
            ("server.log", "eu-subject-3"),
        ] {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let [own, elsewhere] = scan(folder.path(), "eu-west-1.").unwrap();
        assert_eq!(own.european, ["eu-subject-1".to_owned()].into());
        assert_eq!(elsewhere.european, ["eu-subject-2".into(), "eu-subject-3".into()].into());
        assert_eq!(elsewhere.others, ["xx-subject-1".to_owned()].into());
    }
}
