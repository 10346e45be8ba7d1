//! Files with a secret key of 32 bytes that is made at the first start.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::hex;

/// The key in the file, which is made if it is not there, and which only its owner can read.
pub(crate) fn open(path: &Path) -> io::Result<[u8; 32]> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make(path),
        text => text?,
    };
    let text = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default().trim();
    let wrong = || {
        let why =
            "it is no key: expected 64 hexadecimal digits, or no file at all to have one made";
        io::Error::new(io::ErrorKind::InvalidData, why)
    };
    hex::decode(text).or_else(|| older(text)).ok_or_else(wrong)
}

/// As an older version wrote it.
fn older(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

fn make(path: &Path) -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    write(path, &hex::encode(&bytes))?;
    Ok(bytes)
}

/// Writes it under another name first, so that a crash leaves the old file or the new one.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    crate::serve::write_secret(&new, text)?;
    std::fs::rename(&new, path)?;
    // The new name is durable once its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_in_both_forms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let made = open(&path).unwrap();
        assert_ne!(made, [0; 32]);
        assert_eq!(open(&path).unwrap(), made);
        std::fs::write(&path, format!("# words\n{}\n", URL_SAFE_NO_PAD.encode([7; 32]))).unwrap();
        assert_eq!(open(&path).unwrap(), [7; 32]);
        for text in ["", "hunter2", &hex::encode(&[1; 31])] {
            std::fs::write(&path, text).unwrap();
            assert!(open(&path).unwrap_err().to_string().contains("64 hexadecimal digits"));
        }
    }
}
