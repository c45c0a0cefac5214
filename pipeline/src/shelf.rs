//! What operators put away, in a file without a name.
//!
//! The file is gone with the process, however that ends: nothing in it is needed again after, since
//! checkpoints hold what it does.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use cloudops_operators::Error;
use cloudops_operators::shelf::{Shelf, Slot};

/// A shelf in a file: batches as Arrow IPC streams, in room that is used again once it is free.
#[derive(Debug)]
pub struct FileShelf {
    file: File,
    /// Bytes up to which room has been given out.
    end: u64,
    /// Room within them that is free: where it begins, and its bytes. No two touch.
    free: BTreeMap<u64, u64>,
}

impl FileShelf {
    /// A shelf in a directory.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn new(directory: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(directory).with_context(|| {
            format!(
                "no file can be made in {}, where state is put away: set run.scratch to a directory \
                 on a disk",
                directory.display()
            )
        })?;
        Ok(Self { file, end: 0, free: BTreeMap::new() })
    }

    /// The first room of so many bytes.
    fn room(&mut self, len: u64) -> u64 {
        let Some((at, room)) = self.free.iter().find(|(_, room)| **room >= len) else {
            self.end += len;
            return self.end - len;
        };
        let (at, room) = (*at, *room);
        self.free.remove(&at);
        if room > len {
            self.free.insert(at + len, room - len);
        }
        at
    }
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Shelf(format!("{what}: {error}"))
}

impl Shelf for FileShelf {
    fn put(&mut self, state: &RecordBatch) -> cloudops_operators::Result<Slot> {
        let mut writer = StreamWriter::try_new(Vec::new(), &state.schema())?;
        writer.write(state)?;
        let bytes = writer.into_inner()?;
        let slot = Slot { at: self.room(bytes.len() as u64), len: bytes.len() as u64 };
        self.file.write_all_at(&bytes, slot.at).map_err(failed("it cannot be written"))?;
        Ok(slot)
    }

    fn get(&self, slot: Slot) -> cloudops_operators::Result<RecordBatch> {
        let mut bytes = vec![0; slot.len as usize];
        self.file.read_exact_at(&mut bytes, slot.at).map_err(failed("it cannot be read"))?;
        let batch = StreamReader::try_new(&bytes[..], None)?.next().transpose()?;
        batch.ok_or_else(|| Error::Shelf(format!("nothing is at {}", slot.at)))
    }

    fn free(&mut self, Slot { mut at, mut len }: Slot) {
        if let Some((before, room)) = self.free.range(..at).next_back().map(|(b, r)| (*b, *r))
            && before + room == at
        {
            self.free.remove(&before);
            (at, len) = (before, room + len);
        }
        if let Some(room) = self.free.remove(&(at + len)) {
            len += room;
        }
        if at + len == self.end {
            self.end = at;
        } else {
            self.free.insert(at, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, UInt64Array};
    use proptest::prelude::*;

    use super::*;

    fn batch(from: u64, rows: u64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(from..from + rows));
        RecordBatch::try_from_iter([("number", numbers)]).unwrap()
    }

    proptest! {
        /// What is put away is found again whatever goes and comes, and all room is free in the end.
        #[test]
        fn a_shelf_gives_back_what_was_put_there(
            steps in prop::collection::vec((any::<bool>(), 0..2_000_u64, any::<prop::sample::Index>()), 1..60),
        ) {
            let mut shelf = FileShelf::new(&std::env::temp_dir()).unwrap();
            let mut known: Vec<(Slot, RecordBatch)> = Vec::new();
            for (step, (put, rows, which)) in steps.into_iter().enumerate() {
                if put || known.is_empty() {
                    let batch = batch(step as u64, rows);
                    known.push((shelf.put(&batch).unwrap(), batch));
                } else {
                    let (slot, _) = known.swap_remove(which.index(known.len()));
                    shelf.free(slot);
                }
                for (slot, batch) in &known {
                    prop_assert_eq!(&shelf.get(*slot).unwrap(), batch);
                }
                let (taken, free): (u64, u64) =
                    (known.iter().map(|(slot, _)| slot.len).sum(), shelf.free.values().sum());
                prop_assert_eq!(taken + free, shelf.end);
            }
            known.into_iter().for_each(|(slot, _)| shelf.free(slot));
            prop_assert_eq!((shelf.end, shelf.free.len()), (0, 0));
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = FileShelf::new(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all") && error.contains("run.scratch"), "{error}");
    }
}
