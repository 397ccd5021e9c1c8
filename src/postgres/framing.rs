//! Cuts what arrives from a server into its messages. Pure: bytes in, frames out.

use bytes::{Buf, Bytes, BytesMut};

/// How much room is made for reading at once, and from where on it counts as too little, in bytes.
const READ_BYTES: usize = 256 * 1024;
const READ_BYTES_MIN: usize = 64 * 1024;
/// How much room is made at once for a frame that is known to be longer, in bytes.
const LONG_READ_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A message of the server: its type and its body.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its type.
    pub tag: u8,
    /// What follows the length.
    pub body: Bytes,
}

/// A length that no message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLength(pub usize);

/// What has arrived and was not taken yet.
#[derive(Debug)]
pub struct Frames {
    input: BytesMut,
    frame_bytes_max: usize,
}

impl Frames {
    /// For frames of at most so many bytes.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { input: BytesMut::new(), frame_bytes_max }
    }

    /// Frames may have so many bytes from now on.
    pub fn allow(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// The next frame, if it has arrived.
    pub fn cut(&mut self) -> Result<Option<Frame>, BadLength> {
        let Some(length) = self.length()? else { return Ok(None) };
        if self.input.len() < length {
            return Ok(None);
        }
        let mut frame = self.input.split_to(length);
        let tag = frame[0];
        frame.advance(5);
        Ok(Some(Frame { tag, body: frame.freeze() }))
    }

    /// Where to put what arrives next: behind what is there, with room for more.
    pub fn room(&mut self) -> Result<&mut BytesMut, BadLength> {
        let missing = self.length()?.map_or(0, |length| length.saturating_sub(self.input.len()));
        if self.input.capacity() - self.input.len() < READ_BYTES_MIN {
            self.input.reserve(missing.clamp(READ_BYTES, LONG_READ_BYTES_MAX));
        }
        Ok(&mut self.input)
    }

    /// The length of the frame at the beginning of the input with its type byte, checked before anything is
    /// reserved for it.
    fn length(&self) -> Result<Option<usize>, BadLength> {
        let Some(&[a, b, c, d]) = self.input.get(1..5) else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length < 4 || length > self.frame_bytes_max {
            return Err(BadLength(length));
        }
        Ok(Some(length + 1))
    }
}
