//! Decompresses a file of zstd frames as a stream.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// The largest window of a frame, which the decoder holds in memory. The usual levels have windows up to 8 MiB.
const MAX_WINDOW: u64 = 64 << 20;

/// The text of all frames, one after the other.
pub(crate) struct ZstdStream<R> {
    compressed: R,
    state: State,
}

enum State {
    /// Before a frame.
    Between,
    In(Box<FrameDecoder>),
    End,
}

/// Returns a stream of the decompressed bytes. It reads nothing yet.
pub(crate) const fn decoder<R: BufRead>(compressed: R) -> ZstdStream<R> {
    ZstdStream { compressed, state: State::Between }
}

impl<R: BufRead> Read for ZstdStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // After an error the stream is at its end.
            match std::mem::replace(&mut self.state, State::End) {
                State::End => return Ok(0),
                State::Between => {
                    if self.compressed.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    self.state = self.begin()?;
                }
                State::In(mut frame) => {
                    while frame.can_collect() == 0 && !frame.is_finished() {
                        frame
                            .decode_blocks(&mut self.compressed, BlockDecodingStrategy::UptoBlocks(1))
                            .map_err(io::Error::other)?;
                    }
                    let read = frame.read(buffer)?;
                    if read > 0 {
                        self.state = State::In(frame);
                        return Ok(read);
                    }
                    let expected = frame.get_checksum_from_data();
                    if expected.is_some() && expected != frame.get_calculated_checksum() {
                        return Err(io::Error::other("the checksum of a frame does not match its text"));
                    }
                    self.state = State::Between;
                }
            }
        }
    }
}

impl<R: BufRead> ZstdStream<R> {
    /// Reads the header of a frame, or skips a frame without text.
    fn begin(&mut self) -> io::Result<State> {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(MAX_WINDOW);
        match frame.init(&mut self.compressed) {
            Ok(()) => Ok(State::In(Box::new(frame))),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                io::copy(&mut self.compressed.by_ref().take(length.into()), &mut io::sink())?;
                Ok(State::Between)
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
